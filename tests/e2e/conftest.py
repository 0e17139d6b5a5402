from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.gateways.embedded_redis import embedded_redis
from bot.settings import Secret
from tests.e2e.house import House, house
from tests.services import mlflow_server


@pytest.fixture(scope="session")
def registry_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow"), allow_webhooks=False) as server:
        yield server.url


@pytest.fixture(scope="session")
def cache_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secret]:
    with embedded_redis(Path(tmp_path_factory.mktemp("redis"))) as url:
        yield url


@pytest.fixture
def world(registry_url: str, cache_url: Secret) -> Iterator[House]:
    with house(registry_url, cache_url) as built:
        yield built
