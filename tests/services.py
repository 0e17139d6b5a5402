"""Real services that tests talk to, started on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bot.sandbox.mlflow_server import MlflowServer

# The older of the two servers that MLflow runs in: a third less processor time for each request, and the same answers.
# The stories of whole processes (the demo, chaos) have the one that it runs in by default.
_GUNICORN: Final = ("--gunicorn-opts", "--threads 8 --keep-alive 75 --graceful-timeout 1 --log-level warning")


@contextmanager
def mlflow_server(directory: Path, *, allow_webhooks: bool = True) -> Iterator[MlflowServer]:
    """A running MLflow server with its data below `directory`; it takes ten seconds to start: share it."""
    with MlflowServer(directory, allow_webhooks=allow_webhooks, options=_GUNICORN) as server:
        yield server
