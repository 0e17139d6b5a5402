"""A bot with a real registry and queue and the GitHub stand-in, for what is measured in requests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bot.gateways.embedded_redis import embedded_redis
from bot.sandbox.mlflow_server import MlflowServer
from bot.settings import Secret


@dataclass(frozen=True)
class Place:
    """Where the registry and the queue are, and the folder with the registry's data."""

    folder: Path
    registry: str
    redis: Secret


@contextmanager
def place() -> Iterator[Place]:
    """A registry and a queue that last as long as a measurement."""
    with (
        tempfile.TemporaryDirectory() as folder,
        MlflowServer(Path(folder), allow_webhooks=False) as registry,
        embedded_redis(Path(folder)) as redis,
    ):
        yield Place(Path(folder), registry.url, redis)
