"""What the lineage of one version asks of MLflow, where the model has few versions and where it has many."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, insert

from benchmarks.place import place
from tests.e2e.house import House, house
from workers.lineage import read_lineage
from workers.reading import registered, version_of

VERSIONS = (100, 1_000, 3_000)
DATA = {"data_hash": "md5:" + "a" * 32, "data_version": "data-v1.0"}


def run() -> Iterator[tuple[str, str]]:
    """Requests and seconds by the number of versions, all of them siblings: the worst that there can be."""
    with place() as there, house(there.registry, there.redis) as world:
        parent = world.mlflow.create_run("0", run_name="sweep").info.run_id
        tags = {**DATA, "mlflow.parentRunId": parent}
        world.register(tags=tags)
        known = 1
        for versions in VERSIONS:
            _fill(there.folder, world.model, tags, range(known + 1, versions + 1))
            known = versions
            seconds, requests, siblings = _ask(world)
            assert siblings == versions - 1, siblings
            yield f"lineage among {versions} versions, all siblings", f"{requests} requests to MLflow, {seconds:.1f} s"


def _ask(world: House) -> tuple[float, int, int]:
    started = time.perf_counter()
    with world.counted() as cost:
        model = registered(world.gateways, world.model)
        found = read_lineage(world.gateways.registry, model, version_of(model, 1))
    assert found.same_parent == found.same_data
    return time.perf_counter() - started, len(cost.mlflow), len(found.same_parent)


def _fill(folder: Path, model: str, tags: dict[str, str], numbers: range) -> None:
    """Runs and versions as training makes them, put into the server's database directly."""
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion
    from mlflow.store.tracking.dbmodels.models import SqlRun, SqlTag

    now = int(time.time() * 1000)
    versions: list[dict[str, Any]] = []
    runs: list[dict[str, Any]] = []
    run_tags: list[dict[str, Any]] = []
    for number in numbers:
        run_id = f"{number:032x}"
        runs.append(
            {"run_uuid": run_id, "experiment_id": 0, "name": f"r{number}", "user_id": "dana", "status": "FINISHED",
             "start_time": now, "end_time": now, "lifecycle_stage": "active", "artifact_uri": "mlflow-artifacts:/x"}
        )  # fmt: skip
        run_tags += [{"run_uuid": run_id, "key": key, "value": value} for key, value in tags.items()]
        versions.append(
            {"name": model, "version": number, "creation_time": now, "last_updated_time": now, "run_id": run_id,
             "current_stage": "None", "status": "READY"}
        )  # fmt: skip
    with create_engine(f"sqlite:///{folder}/mlflow.db").begin() as connection:
        connection.execute(insert(SqlRun), runs)
        connection.execute(insert(SqlTag), run_tags)
        connection.execute(insert(SqlModelVersion), versions)
