"""A real MLflow server on this machine, for the demo and the tests: SQLite behind it, artifacts served by it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import requests
from cryptography.fernet import Fernet

from bot.domain.errors import Misconfigured, Unreachable
from bot.sandbox.guard import Guard
from bot.sandbox.ports import free_port

_START_LIMIT: Final = 240.0  # seconds, on a machine that others share; one that ends instead is noticed at once


class MlflowServer:
    """`mlflow server` with one worker, its database and artifacts below `directory`; a context manager.

    It ends with this process, however that ends.

    With `webhooks` on, it delivers to plain http and to addresses of this machine, which MLflow refuses by default.
    `options` are further arguments of the command, `settings` further variables of its environment.
    The same directory started again has the same content, at the same port.
    """

    def __init__(
        self,
        directory: Path,
        *,
        allow_webhooks: bool = True,
        port: int | None = None,
        options: Sequence[str] = (),
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.directory: Final = directory
        self.port: Final = port or free_port()
        self.url: Final = f"http://127.0.0.1:{self.port}"
        self.artifacts: Final = directory / "artifacts"
        self.log: Final = directory / "mlflow.log"
        self._options: Final = tuple(options)
        self.process: subprocess.Popen[bytes] | None = None
        self._guard: Guard | None = None
        self._webhook_settings = (
            {
                "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
                "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
                "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": Fernet.generate_key().decode(),
                "MLFLOW_WEBHOOK_CACHE_TTL": "0",
            }
            if allow_webhooks
            else {}
        ) | dict(settings or {})

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until it answers; Misconfigured where the full `mlflow` is not installed."""
        if self.process is not None:
            return
        self.artifacts.mkdir(parents=True, exist_ok=True)
        try:
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(
                    self._command(),
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self._environment(),
                    cwd=self.directory,
                    start_new_session=True,
                )
            self._guard = Guard(self.process.pid)
            self._wait_for_health()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server and every process it started."""
        process, self.process = self.process, None
        if process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
                break
        # The leader is gone; a worker that ignored the first signal is not left behind.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.release()

    def kill(self) -> None:
        """SIGKILL for all of it, as when its machine goes down; `restart` brings it back."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def restart(self) -> None:
        """Stop the server and start it on the same data at the same address."""
        self.stop()
        self.start()

    def _command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)),
            *("--backend-store-uri", f"sqlite:///{self.directory / 'mlflow.db'}"),
            *("--artifacts-destination", str(self.artifacts), "--workers", "1"),
            *self._options,
        ]

    def _environment(self) -> dict[str, str]:
        """The environment of the caller without the settings of MLflow's client side."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        # Its background jobs would start a process of their own for features that nothing here uses.
        settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        return {**inherited, **settings, **self._webhook_settings}

    def _wait_for_health(self) -> None:
        process = self.process
        deadline = time.monotonic() + _START_LIMIT
        while process is not None and process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(requests.RequestException):
                if requests.get(f"{self.url}/health", timeout=2).ok:
                    return
            time.sleep(0.1)
        said = self.log.read_text(errors="replace")[-2000:]
        if "No module named" in said:
            raise Misconfigured(f"The MLflow server needs `pip install promotion-bot[demo]`: {said}")
        raise Unreachable(f"The MLflow server did not start; {self.log} ends with: {said}")
