"""What a backtest over 10,000 versions asks of MLflow, counted at a real server whose database was filled directly."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import create_engine, insert

from benchmarks.place import place
from policies.policy import parse_policy
from tests.e2e.house import House, house
from workers.backtest import History, backtest
from workers.repository_view import RepositoryView

VERSIONS = 10_000
HEAD = "apiVersion: promotion-bot/v1\nkind: Policy\nname: p\nchecks:\n"
ON_VERSIONS = (
    HEAD + "  - {id: reviewed, tag: {name: reviewed, present: true}}\n  - {id: age, age: {not_older_than: 30d}}\n"
)
ON_RUNS = HEAD + "  - {id: accuracy, metric: {name: accuracy, at_least: 0.9}}\n"


def run() -> Iterator[tuple[str, str]]:
    """Requests and seconds of a policy on what the lists say, and requests a version of one on runs."""
    with place() as there, house(there.registry, there.redis) as world:
        for _ in range(20):
            world.register()
        seconds, requests, rows = _backtest(world, ON_RUNS)
        yield "policy on runs, requests to MLflow a version (budget 2)", f"{(requests - 2) / rows:.1f}"
        _fill(there.folder, world.model, rows)
        seconds, requests, rows = _backtest(world, ON_VERSIONS)
        yield f"policy on version data over {rows} versions", f"{requests} requests to MLflow, {seconds:.1f} s"


def _backtest(world: House, text: str) -> tuple[float, int, int]:
    now = datetime.now(UTC)
    view = RepositoryView(world.gateways, world.repository.repo.full_name, now)
    policies = {"staging": parse_policy(text, "p.yaml")}
    started = time.perf_counter()
    with world.counted() as cost:
        history = History.since(view, now - timedelta(days=90))
        rows = sum(1 for _ in backtest(view, policies, history, now))
    return time.perf_counter() - started, len(cost.mlflow), rows


def _fill(folder: Path, model: str, there: int) -> None:
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion

    now = int(time.time() * 1000)
    row = {"name": model, "creation_time": now, "last_updated_time": now, "current_stage": "None", "status": "READY"}
    rows = [{**row, "version": number} for number in range(there + 1, VERSIONS + 1)]
    with create_engine(f"sqlite:///{folder}/mlflow.db").begin() as connection:
        connection.execute(insert(SqlModelVersion), rows)
