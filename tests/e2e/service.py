"""The service as it runs: a real `promotion-bot worker`, its supervisor, scheduler and work-horses, behind proxies."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from bot.settings import AppCredentials, Secret
from tests.conftest import wait_until
from tests.e2e.house import House, house
from tests.e2e.proxy import Proxy, Write, proxied

ROOT = Path(__file__).parents[2]
# A process that has imported everything and forks a worker for each line it reads: a restart takes no five seconds.
NURSERY = textwrap.dedent(
    """
    import os, sys
    from bot import wiring
    import workers.jobs, workers.process
    from bot.cli import main
    wiring.preload()
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os.setsid()
            os.close(0)
            sys.argv = ["promotion-bot", "worker", "--workers", "2"]
            try:
                main()
            finally:
                os._exit(1)
        print(pid, flush=True)
        os.waitpid(pid, 0)
        print("ended", flush=True)
    """
)


@dataclass
class Service:
    """A house whose worker is a process tree that can be killed at any write."""

    house: House
    github: Proxy
    mlflow: Proxy
    log: Path
    nursery: subprocess.Popen[str]
    supervisor: psutil.Process | None = None
    environment: dict[str, str] = field(default_factory=dict)
    disturbed: list[Write] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Start the worker."""
        assert self.nursery.stdin is not None
        assert self.nursery.stdout is not None
        self.nursery.stdin.write("start\n")
        self.nursery.stdin.flush()
        self.supervisor = psutil.Process(int(self.nursery.stdout.readline()))

    def kill(self) -> None:
        """SIGKILL for the supervisor and everything below it; returns when all are dead."""
        assert self.supervisor is not None
        family = [self.supervisor, *self.supervisor.children(recursive=True)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        psutil.wait_procs(family[1:], 10)
        assert self.nursery.stdout is not None
        assert self.nursery.stdout.readline() == "ended\n"
        self.supervisor = None

    def restart(self) -> None:
        """Kill it, and start it again."""
        self.kill()
        self.start()

    def disturb(self, what: Callable[[], None], every: int = 1) -> None:
        """Do `what` once after each different write, or after each n-th, before its answer reaches the worker."""
        seen: set[Write] = set()

        def wrote(write: Write) -> None:
            with self._lock:
                if write in seen:
                    return
                seen.add(write)
                if len(seen) % every == 0:
                    self.disturbed.append(write)
                    what()

        self.github.wrote = self.mlflow.wrote = wrote

    def story(self) -> None:
        """A version is registered, goes to staging by itself, and to production by two approvals and a merge."""
        built = self.house
        version = built.register()
        self._until(lambda: built.proposal("production", version), "it is proposed for production")
        pull = built.proposed("production", version)
        self._until(lambda: pull.check("promotion/policy") == "success", "its checks are green")
        built.approve_and_merge(pull)
        self._until(lambda: "Merged and live" in pull.body, "it is live, and its text says so")
        staging = built.proposed("staging", version)
        self._until(lambda: "Merged and live" in staging.body, "the text of the first says so too")
        self._until(lambda: built.tags(version).get("promotion.production.status") == "live", "the tag says so")
        self._until(lambda: built.repository.branches() == ["main"], "the branches are gone")

    def _until(self, condition: Callable[[], object], what: str) -> None:
        try:
            wait_until(condition, what, 150)
        except AssertionError:
            sys.stderr.write(
                f"{len(self.disturbed)} times, last: {self.disturbed[-3:]}\n{self.log.read_text()[-4000:]}"
            )
            raise


@contextmanager
def service(
    registry_url: str, redis_url: Secret, folder: Path, further: Mapping[str, str] | None = None
) -> Iterator[Service]:
    """A house with a worker that has not been started yet; everything below it is gone at the end.

    `further` are variables of its environment; `{mlflow}` in one stands for the host and port of MLflow.
    """
    with (
        house(registry_url, redis_url) as built,
        proxied("github", built.github.url) as github,
        proxied("mlflow", registry_url) as mlflow,
        (folder / "worker.log").open("w") as log,
    ):
        credentials = built.gateways.settings.github_credentials
        assert isinstance(credentials, AppCredentials)
        environment = {
            **os.environ,
            "GITHUB_API_URL": github.url,
            "GITHUB_APP_ID": credentials.app_id,
            "GITHUB_APP_PRIVATE_KEY": credentials.private_key.reveal(),
            "MLFLOW_TRACKING_URI": mlflow.url,
            "PROMOTION_REPOSITORIES": built.repository.repo.full_name,
            "PROMOTION_QUEUE_LEASE": "1s",
            "PROMOTION_SWEEP_INTERVAL": "1s",
            "REDIS_URL": redis_url.reveal(),
            **{name: value.replace("{mlflow}", urlsplit(mlflow.url).netloc) for name, value in (further or {}).items()},
        }
        nursery = subprocess.Popen(
            [sys.executable, "-c", NURSERY],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        running = Service(built, github, mlflow, folder / "worker.log", nursery, environment=environment)
        try:
            yield running
        finally:
            github.wrote = mlflow.wrote = lambda _write: None
            family = psutil.Process(nursery.pid).children(recursive=True)
            nursery.kill()
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(family, 10)
            nursery.wait(10)
