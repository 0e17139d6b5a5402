"""What the demo runs on: the GitHub stand-in, an MLflow server and the bot as a user starts it."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from bot.domain.errors import PromotionError
from bot.gateways.mlflow_api import MlflowApi
from bot.gateways.mlflow_webhooks import ensure_webhook
from bot.sandbox.company import REPOSITORY, people_and_repository
from bot.sandbox.github import GitHubSandbox, SandboxRepository
from bot.sandbox.guard import Guard
from bot.sandbox.mlflow_server import MlflowServer
from bot.sandbox.ports import free_port

STEP_LIMIT: Final = 120.0  # seconds for one thing to happen


class StepFailedError(PromotionError):
    """Something did not happen within its time limit; the message says which step."""


@dataclass
class Stage:
    """Everything that runs for the demo, and the clients to look at it with."""

    github: GitHubSandbox
    repository: SandboxRepository
    mlflow_url: str
    bot_url: str
    log: Path
    bot: subprocess.Popen[bytes]


@contextmanager
def running(console: Console) -> Iterator[Stage]:
    """Start everything, and stop it when the context ends; raises StepFailedError where the bot does not start."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="promotion-bot-demo-")))
        port = free_port()
        bot_url = f"http://127.0.0.1:{port}"
        github_secret, mlflow_secret = secrets.token_hex(16), secrets.token_hex(16)
        with console.status("starting the GitHub stand-in and MLflow …"):
            github = stack.enter_context(GitHubSandbox())
            mlflow_url = stack.enter_context(MlflowServer(folder / "mlflow")).url
        app, repository = people_and_repository(github, f"{bot_url}/webhooks/github", github_secret)
        key = folder / "app.pem"
        key.touch(mode=0o600)
        key.write_text(app.private_key_pem, encoding="utf-8")
        environment = {
            "MLFLOW_TRACKING_URI": mlflow_url,
            "MLFLOW_WEBHOOK_SECRET": mlflow_secret,
            "GITHUB_WEBHOOK_SECRET": github_secret,
            "GITHUB_API_URL": github.api_url,
            "GITHUB_APP_ID": str(app.id),
            "GITHUB_APP_PRIVATE_KEY_FILE": str(key),
            "PROMOTION_REPOSITORIES": REPOSITORY,
            "PROMOTION_PUBLIC_URL": bot_url,
            "PROMOTION_DATA_DIR": str(folder / "data"),
        }
        log = folder / "promotion-bot.log"
        bot = stack.enter_context(_bot(environment, port, log))
        _wait_until_ready(bot_url, bot, log, console)
        ensure_webhook(MlflowApi(mlflow_url), "promotion-bot", f"{bot_url}/webhooks/mlflow", mlflow_secret)
        yield Stage(github, repository, mlflow_url, bot_url, log, bot)


@contextmanager
def _bot(environment: dict[str, str], port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`promotion-bot up` as a user starts it, with nothing of this machine's own settings for it."""
    inherited = {
        k: v for k, v in os.environ.items() if not k.startswith(("GITHUB_", "MLFLOW_", "PROMOTION_", "REDIS_"))
    }
    command = [sys.executable, "-m", "bot.cli", "up", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**inherited, **environment}, stdout=output, stderr=output, start_new_session=True
        )
        guard = Guard(process.pid)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            guard.release()


def _wait_until_ready(url: str, bot: subprocess.Popen[bytes], log: Path, console: Console) -> None:
    deadline = time.monotonic() + STEP_LIMIT
    with console.status("starting promotion-bot …"):
        while True:
            if bot.poll() is not None or time.monotonic() > deadline:
                raise StepFailedError(f"promotion-bot did not start:\n{log.read_text(errors='replace')[-2000:]}")
            try:
                with urllib.request.urlopen(f"{url}/readyz", timeout=2) as answer:  # noqa: S310 - an address of our own
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
