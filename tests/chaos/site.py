"""Everything that runs: MLflow, Valkey, the GitHub stand-in behind proxies, the web service and the workers."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psutil

from bot.gateways.mlflow_api import MlflowApi
from bot.gateways.mlflow_webhooks import ensure_webhook
from bot.gateways.queue import WorkQueue
from bot.sandbox.github import GitHubSandbox, SandboxRepository
from bot.sandbox.mlflow_server import MlflowServer
from bot.sandbox.ports import free_port
from tests.chaos.guardian import MARK, guarded
from tests.chaos.valkey import Valkey, running_valkey
from tests.conftest import wait_until
from tests.e2e.proxy import Proxy, proxied
from tests.processes import ROOT, WorkerTree
from tests.simulation.company import FILES, PEOPLE, REPOSITORY

SWEEP: Final = 5  # seconds between two sweeps
LEASE: Final = 10  # seconds
# People have no weekend here, and nothing soaks: minutes stand for weeks.
PIPELINE: Final = (
    FILES["promotion.yaml"]
    .replace("soak: 10m", "soak: 0s")
    .replace(
        """    freeze:
      - {from: "Fri 16:00", until: "Mon 08:00", timezone: UTC, reason: weekend}
""",
        "",
    )
)


class Web:
    """`promotion-bot web` as its own process tree, at one address."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = environment
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it answers a moment later."""
        command = [sys.executable, "-m", "bot.cli", "web", "--port", str(self.port)]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=self._environment, stdout=output, stderr=output, start_new_session=True
            )

    @property
    def is_up(self) -> bool:
        """Whether it answers."""
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/healthz", timeout=2) as answer:
            return bool(answer.status == 200)
        return False

    def kill(self) -> None:
        """SIGKILL for all of it; returns when the address is free."""
        process, self._process = self._process, None
        if process is None:
            return
        family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)
        psutil.wait_procs(family, 60)


@dataclass
class Site:
    """All of it, and when the queue's content was last lost."""

    folder: Path
    github: GitHubSandbox
    repository: SandboxRepository
    mlflow: MlflowServer
    valkey: Valkey
    to_github: Proxy
    to_mlflow: Proxy
    web: Web
    workers: WorkerTree
    lost_the_queue: list[datetime] = field(default_factory=list)

    @property
    def queue(self) -> WorkQueue:
        """The real one, to look at it."""
        return WorkQueue(self.valkey.connection, LEASE)

    def queue_is_lost(self) -> None:
        """Remember that two workers may be at one key from now on, for a moment."""
        self.lost_the_queue.append(datetime.now(UTC))


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    """All of it, running, while the context lasts; whatever happened to it, no process is left behind."""
    with ExitStack() as stack:
        stack.enter_context(guarded(folder / "disk"))
        github = stack.enter_context(GitHubSandbox())
        mlflow = stack.enter_context(MlflowServer(folder / "mlflow"))
        valkey = stack.enter_context(running_valkey(folder / "disk"))
        to_github = stack.enter_context(proxied("github", github.url))
        to_mlflow = stack.enter_context(proxied("mlflow", mlflow.url))
        environment = _environment(to_github, to_mlflow, valkey)
        web = Web(environment, folder / "web.log")
        stack.callback(web.kill)
        app = github.add_app("promotion-bot", f"{web.url}/webhooks/github", environment["GITHUB_WEBHOOK_SECRET"])
        environment |= {
            "GITHUB_APP_ID": str(app.id),
            "GITHUB_APP_PRIVATE_KEY": app.private_key_pem,
            "PROMOTION_PUBLIC_URL": web.url,
        }
        github.add_user(*PEOPLE)
        github.limit(app.login, left=1_000_000)  # minutes stand for weeks, whose hours each have a quota of their own
        repository = github.add_repository(REPOSITORY, {**FILES, "promotion.yaml": PIPELINE}, PEOPLE, [app])
        workers = WorkerTree(environment, folder / "worker.log")
        stack.callback(workers.close)
        web.start()
        wait_until(lambda: web.is_up, "the web service answers")
        ensure_webhook(
            MlflowApi(mlflow.url),
            "promotion-bot",
            f"{web.url}/webhooks/mlflow",
            environment["MLFLOW_WEBHOOK_SECRET"],
        )
        workers.start()
        yield Site(folder, github, repository, mlflow, valkey, to_github, to_mlflow, web, workers)


def _environment(to_github: Proxy, to_mlflow: Proxy, valkey: Valkey) -> dict[str, str]:
    """The bot's settings, with nothing of this machine's own for it."""
    foreign = ("GITHUB_", "MLFLOW_", "PROMOTION_", "REDIS_")
    return {
        **{name: value for name, value in os.environ.items() if name == MARK or not name.startswith(foreign)},
        "GITHUB_API_URL": to_github.url,
        "GITHUB_WEBHOOK_SECRET": secrets.token_hex(16),
        "MLFLOW_TRACKING_URI": to_mlflow.url,
        "MLFLOW_WEBHOOK_SECRET": secrets.token_hex(16),
        "PROMOTION_REPOSITORIES": REPOSITORY,
        "PROMOTION_QUEUE_LEASE": f"{LEASE}s",
        "PROMOTION_SWEEP_INTERVAL": f"{SWEEP}s",
        "REDIS_URL": valkey.url.reveal(),
    }
