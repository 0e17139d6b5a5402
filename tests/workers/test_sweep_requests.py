"""A sweep with nothing to do: what it asks, walks through and queues does not grow with what it finds as it is."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import redis

from bot.domain.keys import ModelKey, RepositoryKey, Urgency, dump_key
from bot.gateways import registry
from bot.gateways.queue import INBOX, WorkQueue
from bot.settings import Secret
from tests.simulation.fleet import REPOSITORY, Deployed, MlflowPages, deployed, model_name
from workers.desk import Desk
from workers.jobs import look_at

FEW, MANY = 50, 500


@dataclass
class Sweep:
    """What one sweep cost: requests to GitHub and those that were not answered with 304, requests to MLflow, and calls
    of the product's own functions. `queued` are the keys that it left behind."""

    github: int
    changed: int
    mlflow: int
    calls: int
    queued: list[str]


class Fleet:
    """A repository with so many models, all live everywhere, and a bot that sweeps it."""

    def __init__(self, house: Deployed, pages: MlflowPages, valkey: redis.Redis) -> None:
        self.house = house
        self.pages = pages
        self.queue = WorkQueue(valkey)
        self._valkey = valkey

    def sweep(self) -> Sweep:
        key = RepositoryKey(REPOSITORY)
        self.queue.request(key, urgency=Urgency.SWEEP)
        (claimed,) = self.queue.claim()
        assert self.queue.begin(claimed)
        seen, asked = len(self.house.github.requests), self.pages.requests.total()
        with calls_counted() as calls:
            look_at(key, Desk(self.queue, claimed), self.house.as_in_a_new_process())
        self.queue.finish(claimed)
        answers = self.house.github.requests[seen:]
        return Sweep(
            github=len(answers),
            changed=sum(answer.status != 304 for answer in answers),
            mlflow=self.pages.requests.total() - asked,
            calls=calls[0],
            queued=[name.decode() for name in self._valkey.zrange(INBOX, 0, -1)],
        )


@contextlib.contextmanager
def calls_counted() -> Iterator[list[int]]:
    """How many calls of functions in the domain and the workers are made inside."""
    calls = [0]

    def count(frame: object, event: str, _argument: object) -> None:
        if event == "call" and frame.f_globals.get("__name__", "").startswith(("bot.domain.", "workers.")):  # type: ignore[attr-defined]
            calls[0] += 1

    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(None)


@contextlib.contextmanager
def fleet(
    models: int, valkey: redis.Redis, valkey_url: Secret, recorded: int = 0, adopted: bool = True
) -> Iterator[Fleet]:
    valkey.flushall()
    pages = MlflowPages(models)
    with pages.serving() as mlflow_url, deployed(models, mlflow_url, valkey_url, adopted=adopted) as house:
        house.record_history(recorded)
        yield Fleet(house, pages, valkey)


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_MODELS_A_PAGE", 100)
    monkeypatch.setattr(registry, "_VERSIONS_A_PAGE", 1000)


def quiet_sweep(models: int, valkey: redis.Redis, valkey_url: Secret) -> Sweep:
    """The sweep after one that filled the cache; each entry of every fifth model was merged and is recorded."""
    with fleet(models, valkey, valkey_url, recorded=models // 5) as all_models:
        all_models.sweep()
        return all_models.sweep()


def test_requests_grow_with_pages_and_work_with_models(valkey: redis.Redis, valkey_url: Secret) -> None:
    few, many = quiet_sweep(FEW, valkey, valkey_url), quiet_sweep(MANY, valkey, valkey_url)
    assert (few.queued, many.queued) == ([], [])
    assert many.github == few.github <= 8
    assert (few.changed, many.changed) == (0, 0), "nothing that GitHub counts"
    assert (few.mlflow, many.mlflow) == (1 + 1, 5 + 10), "pages of 100 models and 1,000 versions"
    assert many.calls < 1.1 * MANY / FEW * few.calls, "no model walks through what is another's"


def test_a_manifest_is_adopted_by_one_look(valkey: redis.Redis, valkey_url: Secret) -> None:
    with fleet(FEW, valkey, valkey_url, adopted=False) as models:
        assert models.sweep().queued == [dump_key(ModelKey(REPOSITORY, model_name(1)))]
        (claimed,) = models.queue.claim()
        assert models.queue.begin(claimed)
        look_at(ModelKey(REPOSITORY, model_name(1)), Desk(models.queue, claimed), models.house.as_in_a_new_process())
        models.queue.finish(claimed)
        assert models.house.gateways.github(REPOSITORY).deployments.adoption() is not None
        assert models.sweep().queued == []
