"""A sweep with nothing to do: requests, seconds and memory as the number of models grows.

MLflow's delays are those of a real server, measured first; GitHub's are a stated constant. Both are added up instead of
waited for, since a quiet sweep asks one thing after the other; `rebuilt_in` waits for them. Every tenth model was
merged, the others were adopted.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import psutil
import requests
from sqlalchemy import create_engine, insert

from bot.domain.keys import RepositoryKey, Urgency
from bot.gateways.embedded_redis import embedded_redis
from bot.gateways.queue import WorkQueue
from bot.gateways.redis_connection import connect
from bot.sandbox.mlflow_server import MlflowServer
from tests.memory import peak_memory
from tests.simulation.fleet import ENVIRONMENTS, REPOSITORY, VERSIONS, Deployed, MlflowPages, deployed, model_name
from workers.desk import Desk
from workers.jobs import look_at

SIZES: Final = (1_250, 2_500, 5_000, 10_000)
RECORDED: Final = 10  # one of so many models has its entries recorded by deployments, as merged
GITHUB: Final = 0.03  # seconds for one request
_LOOKED_FOR_EVERY: Final = 0.2  # seconds
PAGES: Final = {"registered-models/search": 1_000, "model-versions/search": 5_000}  # rows that the bot asks for


@dataclass(frozen=True)
class Cost:
    """One sweep: requests to GitHub, those that it answered with 304, CPU seconds, and keys that it queued."""

    github: int
    unchanged: int
    cpu: float
    queued: int


@dataclass(frozen=True)
class Measured:
    """One size: its sweeps, requests to MLflow by path, and megabytes before the first and at most."""

    models: int
    first: Cost
    quiet: Cost
    mlflow: dict[str, int]
    before: float
    peak: float

    def seconds(self, delays: dict[str, float]) -> float:
        """What a quiet sweep takes."""
        return self.quiet.cpu + self.quiet.github * GITHUB + self._mlflow(delays)

    def _mlflow(self, delays: dict[str, float]) -> float:
        return sum(count * delays[path] for path, count in self.mlflow.items())


def run() -> Iterator[tuple[str, str]]:
    """Delays, a line a size, and how time and memory grow."""
    delays = delays_of_mlflow()
    said = ", ".join(f"{delays[path]:.2f} s for {rows:,} {path.partition('/')[0]}" for path, rows in PAGES.items())
    yield "delays", f"MLflow {said} (real server on SQLite); GitHub {GITHUB * 1e3:.0f} ms a request"
    found = [in_a_process_of_its_own(models) for models in SIZES]
    for one in found:
        yield (
            f"{one.models:,} models × {VERSIONS} versions",
            f"GitHub {one.quiet.github} ({one.quiet.unchanged} of them 304), MLflow {sum(one.mlflow.values())}; "
            f"{one.quiet.cpu:.1f} s of CPU, {one.seconds(delays):.0f} s with the delays; "
            f"{one.peak:.0f} MB at most, {one.before:.0f} MB before; {one.quiet.queued} keys queued",
        )
    for one in found:
        recorded = len(ENVIRONMENTS) * one.models // RECORDED
        yield (
            f"{one.models:,} models, cache emptied, {recorded:,} entries recorded",
            f"GitHub {one.first.github}, {one.first.cpu:.1f} s of CPU",
        )
    yield "CPU of each size to the one before (2 is linear)", _ratios([one.quiet.cpu for one in found])
    yield "memory above the start, the same", _ratios([one.peak - one.before for one in found])


def _ratios(values: Sequence[float]) -> str:
    return ", ".join(f"{larger / smaller:.2f}" for smaller, larger in pairwise(values))


def in_a_process_of_its_own(models: int) -> Measured:
    """The sweeps of a process whose memory is nobody else's; MLflow is served by this one."""
    pages = MlflowPages(models)
    with pages.serving() as url:
        command = [sys.executable, "-m", __name__, str(models), url]
        said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout)
    mlflow = {path: pages.requests[path] // 2 for path in PAGES}
    return Measured(models, Cost(**said["first"]), Cost(**said["quiet"]), mlflow, said["before"], said["peak"])


@dataclass(frozen=True)
class Rebuilt:
    """Seconds until an emptied Redis holds the whole board again, and until the sweep that filled it has ended."""

    board: float
    sweep: float


def rebuilt_in(models: int, delays: Mapping[str, float]) -> Rebuilt:
    """What rebuilding takes; every delay is waited for."""
    with MlflowPages(models, delays=delays).serving() as url:
        command = [sys.executable, "-m", __name__, str(models), url, "rebuild"]
        said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout
        return Rebuilt(**json.loads(said))


def _rebuild(models: int, mlflow_url: str) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        embedded_redis(Path(folder)) as redis_url,
        deployed(models, mlflow_url, redis_url) as fleet,
    ):
        fleet.record_history(models // RECORDED)
        _ = fleet.gateways.registry.client
        queue, reader = WorkQueue(connect(redis_url)), WorkQueue(connect(redis_url))
        fleet.wire.latency, started = GITHUB, time.perf_counter()
        with ThreadPoolExecutor(1) as beside:
            swept = beside.submit(_sweep, fleet, queue)
            while not (there := len(reader.boards.rows())) and not swept.done():
                time.sleep(_LOOKED_FOR_EVERY)
            board = time.perf_counter() - started
            swept.result()
        sweep = time.perf_counter() - started
        if there != models:
            raise RuntimeError("the board is not whole")
        print(json.dumps(asdict(Rebuilt(board, sweep))))


def _measure(models: int, mlflow_url: str) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        embedded_redis(Path(folder)) as redis_url,
        deployed(models, mlflow_url, redis_url) as fleet,
    ):
        fleet.record_history(models // RECORDED)
        _ = fleet.gateways.registry.client  # its import is no part of a sweep
        queue = WorkQueue(connect(redis_url))
        before = psutil.Process().memory_info().rss / 2**20
        first, quiet = _sweep(fleet, queue), _sweep(fleet, queue)
        peak = peak_memory() / 2**20
        print(json.dumps({"first": asdict(first), "quiet": asdict(quiet), "before": before, "peak": peak}))


def _sweep(fleet: Deployed, queue: WorkQueue) -> Cost:
    seen, key = len(fleet.github.requests), RepositoryKey(REPOSITORY)
    queue.request(key, urgency=Urgency.SWEEP)
    (claimed,) = queue.claim()
    if not queue.begin(claimed):
        raise RuntimeError("the sweep does not begin")
    started, standin = time.process_time(), fleet.wire.standin
    look_at(key, Desk(queue, claimed), fleet.as_in_a_new_process())
    cpu = time.process_time() - started - (fleet.wire.standin - standin)
    queue.finish(claimed)
    answers, depth = fleet.github.requests[seen:], queue.depth()
    return Cost(len(answers), sum(a.status == 304 for a in answers), cpu, depth.due + depth.later)


# --- a real MLflow ----------------------------------------------------------------------------------------------------


def delays_of_mlflow() -> dict[str, float]:
    """Seconds until a real server has answered with one full page of each list; the best of two."""
    with tempfile.TemporaryDirectory() as folder, MlflowServer(Path(folder), allow_webhooks=False) as server:
        _fill(Path(folder))
        return {path: min(_seconds(server.url, path, rows) for _ in range(2)) for path, rows in PAGES.items()}


def _seconds(url: str, path: str, rows: int) -> float:
    started = time.perf_counter()
    answer = requests.get(f"{url}/api/2.0/mlflow/{path}", params={"max_results": rows}, timeout=60)
    seconds = time.perf_counter() - started
    if sum(len(page) for page in answer.json().values() if isinstance(page, list)) != rows:
        raise RuntimeError(f"the page of {path} is not full")
    return seconds


def _fill(folder: Path) -> None:
    """A thousand models, of which the first have 20 versions each and the others two; all with four tags a version."""
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion, SqlModelVersionTag, SqlRegisteredModel

    now = int(time.time() * 1000)
    at = {"creation_time": now, "last_updated_time": now}
    models = range(1, PAGES["registered-models/search"] + 1)
    versions = [(model_name(m), v) for m in models for v in range(1, VERSIONS + 1 if m <= 200 else 3)]
    rows = [
        {"name": name, "version": version, "current_stage": "None", "status": "READY", "source": "models:/m-0", **at}
        for name, version in versions
    ]
    tags = [
        {"name": name, "version": version, "key": key, "value": "0123456789"}
        for name, version in versions
        for key in ("validation_status", "promotion.release", "git_commit", "data_version")
    ]
    with create_engine(f"sqlite:///{folder}/mlflow.db").begin() as connection:
        connection.execute(insert(SqlRegisteredModel), [{"name": model_name(m), **at} for m in models])
        connection.execute(insert(SqlModelVersion), rows)
        connection.execute(insert(SqlModelVersionTag), tags)


if __name__ == "__main__":
    (_rebuild if sys.argv[3:] else _measure)(int(sys.argv[1]), sys.argv[2])
