"""A sweep that finds Redis empty asks GitHub and MLflow at once, each thing once, and fills the board all the same."""

from __future__ import annotations

import pytest
import redis

from bot.domain.errors import Unreachable
from bot.domain.keys import RepositoryKey, Urgency
from bot.gateways.queue import WorkQueue
from bot.settings import Secret
from tests.simulation.fleet import REPOSITORY, Deployed, MlflowPages, deployed
from workers.desk import Desk
from workers.jobs import look_at

MODELS = 60  # each with two entries that deployments record


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
        assert len(statuses) == len(set(statuses)) == 2 * MODELS
        before = [(row.model, row.cells) for row in queue.boards.rows()]
        assert len(before) == MODELS
        assert all(cell.by == "alice" and cell.since is not None for _, cells in before for cell in cells)
        assert not [path for path in sweep(fleet, queue) if path.endswith("/statuses")]
        valkey.flushall()
        assert len([path for path in sweep(fleet, queue) if path.endswith("/statuses")]) == 2 * MODELS
        assert [(row.model, row.cells) for row in queue.boards.rows()] == before


def test_mlflow_that_is_away_is_said_there_too(valkey: redis.Redis, valkey_url: Secret) -> None:
    with deployed(MODELS, "http://127.0.0.1:1", valkey_url) as fleet:
        fleet.record_history(MODELS)
        with pytest.raises(Unreachable, match="MLflow"):
            sweep(fleet, WorkQueue(valkey))
