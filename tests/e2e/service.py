"""The service as it runs: a house whose bot is a real `promotion-bot worker`, behind proxies."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import requests

from bot.sandbox.ports import free_port
from bot.settings import AppCredentials, Secret
from tests.conftest import wait_until
from tests.e2e.house import House, house
from tests.e2e.proxy import Proxy, Write, proxied
from tests.processes import ROOT, WorkerTree


@dataclass
class Service:
    """A house whose worker is a process tree that can be killed at any write."""

    house: House
    github: Proxy
    mlflow: Proxy
    worker: WorkerTree
    environment: dict[str, str] = field(default_factory=dict)
    disturbed: list[Write] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

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
        self._until(lambda: pull.labels, "it has its labels, which a merged one would not get any more")
        built.approve_and_merge(pull)
        self._until(lambda: "Merged and live" in pull.body, "it is live, and its text says so")
        staging = built.proposed("staging", version)
        self._until(lambda: "Merged and live" in staging.body, "the text of the first says so too")
        self._until(lambda: built.tags(version).get("promotion.production.status") == "live", "the tag says so")
        self._until(lambda: built.repository.branches() == ["main"], "the branches are gone")

    def _until(self, condition: Callable[[], object], what: str) -> None:
        try:
            wait_until(condition, what, 300)
        except AssertionError:
            sys.stderr.write(
                f"{len(self.disturbed)} times, last: {self.disturbed[-3:]}\n{self.worker.log.read_text()[-4000:]}"
            )
            raise


@contextmanager
def web(running: Service, log: Path) -> Iterator[str]:
    """The web service beside the worker, with everything that only the worker needs too: nothing of it may be shown."""
    port = free_port()
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "bot.cli", "web", "--port", str(port)],
            env=running.environment,
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: is_ready(url), "the web service is ready")
            yield url
        finally:
            process.terminate()
            process.wait(60)


def is_ready(url: str) -> bool:
    try:
        return requests.get(f"{url}/readyz", timeout=60).ok
    except requests.RequestException:
        return False


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
            "PROMOTION_QUEUE_LEASE": "30s",
            "PROMOTION_SWEEP_INTERVAL": "1s",
            "REDIS_URL": redis_url.reveal(),
            **{name: value.replace("{mlflow}", urlsplit(mlflow.url).netloc) for name, value in (further or {}).items()},
        }
        worker = WorkerTree(environment, folder / "worker.log")
        try:
            yield Service(built, github, mlflow, worker, environment)
        finally:
            github.wrote = mlflow.wrote = lambda _write: None
            worker.close()
