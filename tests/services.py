"""Real services that tests talk to, started on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bot.sandbox.mlflow_server import MlflowServer

# The older of the two servers that MLflow runs in, with two thirds of the processor time for a request. Tests of whole
# processes (the demo, chaos, doctor) have the one that it runs in by default.
_GUNICORN: Final = ("--gunicorn-opts", "--threads 8 --keep-alive 75 --graceful-timeout 1 --log-level warning")


def mlflow_server(directory: Path, *, allow_webhooks: bool = True) -> MlflowServer:
    """An MLflow server with its data below `directory`; it takes ten seconds to start: share it."""
    return MlflowServer(directory, allow_webhooks=allow_webhooks, options=_GUNICORN)
