"""Real services that tests talk to, started on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bot.sandbox.mlflow_server import MlflowServer


@contextmanager
def mlflow_server(directory: Path, *, allow_webhooks: bool = True) -> Iterator[MlflowServer]:
    """A running MLflow server with its data below `directory`; it takes ten seconds to start: share it."""
    with MlflowServer(directory, allow_webhooks=allow_webhooks) as server:
        yield server
