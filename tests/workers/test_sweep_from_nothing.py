"""A sweep that finds Redis empty fills the board from lists first, and asks GitHub about each deployment once."""

from __future__ import annotations

import pytest
import redis

from bot.domain.errors import Unreachable
from bot.domain.keys import RepositoryKey, Urgency
from bot.gateways.queue import WorkQueue
from bot.settings import Secret
from tests.simulation.fleet import ENVIRONMENTS, REPOSITORY, Deployed, MlflowPages, deployed
from workers.desk import Desk
from workers.jobs import look_at

MODELS = 60  # each with its entries recorded by deployments
STATUSES = len(ENVIRONMENTS) * MODELS


def sweep(fleet: Deployed, queue: WorkQueue) -> list[str]:
    """One sweep in a process of its own; what it asked GitHub."""
    seen = len(fleet.github.requests)
    queue.request(RepositoryKey(REPOSITORY), urgency=Urgency.SWEEP)
    (claimed,) = queue.claim()
    assert queue.begin(claimed)
    try:
        look_at(claimed.key, Desk(queue, claimed), fleet.as_in_a_new_process())
    finally:
        queue.finish(claimed)
    return [request.path for request in fleet.github.requests[seen:]]


def test_an_emptied_redis_is_filled_by_one_sweep(valkey: redis.Redis, valkey_url: Secret) -> None:
    pages = MlflowPages(MODELS)
    with pages.serving() as url, deployed(MODELS, url, valkey_url) as fleet:
        fleet.record_history(MODELS)
        queue = WorkQueue(valkey)
        statuses = [path for path in sweep(fleet, queue) if path.endswith("/statuses")]
        assert len(statuses) == len(set(statuses)) == STATUSES
        before = [(row.model, row.cells) for row in queue.boards.rows()]
        assert len(before) == MODELS
        assert all(cell.by == "alice" and cell.since is not None for _, cells in before for cell in cells)
        assert not [path for path in sweep(fleet, queue) if path.endswith("/statuses")]
        valkey.flushall()
        assert len([path for path in sweep(fleet, queue) if path.endswith("/statuses")]) == STATUSES
        assert [(row.model, row.cells) for row in queue.boards.rows()] == before


def test_the_board_is_there_while_github_does_not_say_how_deployments_ended(
    valkey: redis.Redis, valkey_url: Secret
) -> None:
    pages = MlflowPages(MODELS)
    with pages.serving() as url, deployed(MODELS, url, valkey_url) as fleet:
        fleet.record_history(MODELS)
        queue = WorkQueue(valkey)
        sweep(fleet, queue)
        before = [(row.model, row.cells) for row in queue.boards.rows()]
        valkey.flushall()
        fleet.github.fail(r"GET .*/statuses", status=502)
        with pytest.raises(Unreachable, match="502"):
            sweep(fleet, queue)
        assert [(row.model, row.cells) for row in queue.boards.rows()] == before
        assert queue.depth().due + queue.depth().later == 0  # what nobody knows yet is no reason to act


def test_mlflow_that_is_away_is_said_there_too(valkey: redis.Redis, valkey_url: Secret) -> None:
    with deployed(MODELS, "http://127.0.0.1:1", valkey_url) as fleet:
        fleet.record_history(MODELS)
        with pytest.raises(Unreachable, match="MLflow"):
            sweep(fleet, WorkQueue(valkey))
