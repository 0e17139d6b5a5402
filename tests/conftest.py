"""What many tests share: one real Valkey server, emptied before each test that uses it, and patience."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from bot.gateways.embedded_redis import embedded_redis
from bot.gateways.redis_connection import connect
from bot.settings import Secret, Settings, load_settings
from tests.browser import chromium  # noqa: F401 - one for all: a process can run one driver only

# MLflow imported by a test itself, not by the bot, tells nobody of its use either.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

# How long an example takes says nothing on a machine that others share.
hypothesis_settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("patient")

PEM = "-----BEGIN RSA PRIVATE KEY-----\nnot a real one\n-----END RSA PRIVATE KEY-----"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with a slow test come first: begun last, one of them keeps every other process waiting at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secret]:
    """The address of a server that lives as long as the tests."""
    with embedded_redis(tmp_path_factory.mktemp("valkey")) as url:
        yield url


@pytest.fixture
def valkey(valkey_url: Secret) -> Iterator[redis.Redis]:
    """An empty server."""
    with connect(valkey_url) as connection:
        connection.flushall()
        yield connection


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The least that a service needs to start, apart from a queue."""
    return {
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
        "MLFLOW_WEBHOOK_SECRET": "mlflow-new,mlflow-old",
        "GITHUB_WEBHOOK_SECRET": "github-new,github-old",
        "GITHUB_APP_ID": "12345",
        "GITHUB_APP_PRIVATE_KEY": PEM,
        "GITHUB_API_URL": "http://127.0.0.1:9",
        "PROMOTION_REPOSITORIES": "acme/models,acme/risk",
        "PROMOTION_DATA_DIR": str(tmp_path / "data"),
    }


@pytest.fixture
def settings(environ: dict[str, str]) -> Settings:
    return load_settings(environ)


def wait_until(condition: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    """Return as soon as the condition holds; fail when it does not come to hold."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"did not happen in {seconds} s: {what}"
        time.sleep(0.01)
