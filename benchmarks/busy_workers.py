"""Real worker processes whose looks meet a simulated MLflow and GitHub: `python -m benchmarks.busy_workers …`.

What a worker does is real: RQ, its forks, the queue on Valkey, the look with its cache. The two services are those of
`tests.simulation.fleet`, which wait before they answer as real ones do.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
import rq
from rq.serializers import JSONSerializer

import workers.execution
import workers.process
from bot.gateways.embedded_redis import embedded_redis
from bot.gateways.queue import WorkQueue
from bot.gateways.redis_connection import connect, connect_waiting
from bot.settings import Secret, load_settings
from tests.simulation.fleet import MlflowPages, deployed, environment_of
from workers.execution import NEEDS
from workers.process import Supervisor, add_workers

BARE: Final = "bare"
_ROOT: Final = Path(__file__).parents[1]
_LONGEST: Final = 120.0  # seconds for anything that is waited for


@dataclass(frozen=True)
class Running:
    """Workers that wait for keys, and the queue that hands them out."""

    queue: WorkQueue
    redis_url: Secret
    process: psutil.Process

    def cpu(self) -> float:
        """CPU seconds of all processes of the workers so far, with those of jobs that have ended."""
        tree = [self.process, *self.process.children()]
        return sum(sum(process.cpu_times()[:4]) for process in tree)

    def looks(self) -> int:
        """How many looks at models have ended well, of those that MLflow's events and other looks asked for."""
        return sum(tally.count for tally in self.queue.tallies() if tally.result == "done")

    def is_idle(self) -> bool:
        """Whether nothing is left to look at."""
        depth = self.queue.depth()
        return depth.due == depth.active == 0

    def jobs(self) -> rq.Queue:
        """RQ's own queue of the bare workers."""
        return rq.Queue(BARE, connection=connect_waiting(self.redis_url), serializer=JSONSerializer)


@contextmanager
def working(count: int, models: int, github: float = 0.0, mlflow: float = 0.0) -> Iterator[Running]:
    """So many workers at a fleet of so many models; GitHub and MLflow take so many seconds for a request.

    No sweep disturbs what is measured: the one at the start is over.
    """
    pages = MlflowPages(models, mlflow)
    with tempfile.TemporaryDirectory() as folder, embedded_redis(Path(folder)) as redis_url, pages.serving() as url:
        command = [sys.executable, "-m", __name__, str(count), str(models), url, str(github)]
        process = subprocess.Popen(command, cwd=_ROOT, env={**os.environ, "REDIS_URL": redis_url.reveal()})
        running = Running(WorkQueue(connect(redis_url)), redis_url, psutil.Process(process.pid))
        try:
            until(
                lambda: process.poll() is not None or (running.looks() and running.is_idle()), "the sweep at the start"
            )
            if process.poll() is not None:
                raise RuntimeError("the workers did not start")
            yield running
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(_LONGEST)


def until(condition: Callable[[], object], what: str) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + _LONGEST
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"did not happen in {_LONGEST:.0f} s: {what}")
        time.sleep(0.02)


def no_op() -> None:
    """The least that a job can do."""


def _work(count: int, models: int, mlflow_url: str, latency: float) -> None:
    """Beside the workers of the bot, which are idle meanwhile, as many of RQ's own wait for jobs that do nothing."""
    redis_url = Secret(os.environ["REDIS_URL"])
    with deployed(models, mlflow_url, redis_url, latency) as fleet, Supervisor() as supervisor:
        os.environ.update(environment_of(fleet.gateways.settings), PROMOTION_SWEEP_INTERVAL="1h")
        _ = fleet.gateways.registry.client
        workers.execution.gateways_of = workers.process.gateways_of = lambda _settings: fleet.gateways
        add_workers(supervisor, load_settings(os.environ, NEEDS), count)
        for number in range(count):
            supervisor.add(f"bare-{number + 1}", _bare)
        supervisor.wait()


def _bare() -> None:
    connection = connect_waiting(Secret(os.environ["REDIS_URL"]))
    rq.Worker([BARE], connection=connection, serializer=JSONSerializer).work(logging_level="WARNING")


if __name__ == "__main__":
    _work(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], float(sys.argv[4]))
