from __future__ import annotations

from collections.abc import Iterator

import pytest

from bot.gateways.embedded_redis import embedded_redis
from bot.settings import Secret
from tests.services import mlflow_server


@pytest.fixture(scope="module")
def registry_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as server:
        yield server.url


@pytest.fixture(scope="module")
def cache_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secret]:
    with embedded_redis(tmp_path_factory.mktemp("valkey")) as url:
        yield url
