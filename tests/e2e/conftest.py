from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bot.cli import cli
from bot.gateways.cache import Cache
from bot.gateways.embedded_redis import embedded_redis
from bot.gateways.redis_connection import connect
from bot.settings import AppCredentials, Secret
from bot.wiring import Gateways
from tests.e2e.house import House, everything, house, without_names
from tests.e2e.proxy import Proxy, proxied
from tests.services import mlflow_server

Run = Callable[..., Result]


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


@pytest.fixture
def run(world: House, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`promotion-bot …` as the bot, or with `login` as a person with a token; both services can be elsewhere."""
    settings = world.gateways.settings
    credentials = settings.github_credentials
    assert isinstance(credentials, AppCredentials)

    def run(
        *arguments: str,
        login: str = "",
        mlflow: str = settings.mlflow_tracking_uri,
        github: str = settings.github_api_url,
    ) -> Result:
        environment = {
            "MLFLOW_TRACKING_URI": mlflow,
            "GITHUB_API_URL": github,
            "PROMOTION_REPOSITORIES": ",".join(settings.repositories),
        }
        if login:
            environment["GITHUB_TOKEN"] = world.github.add_token(login)
        else:
            environment["GITHUB_APP_ID"] = credentials.app_id
            environment["GITHUB_APP_PRIVATE_KEY"] = credentials.private_key.reveal()
        for name in ("GITHUB_TOKEN", "GITHUB_APP_ID", "GITHUB_APP_PRIVATE_KEY", "REDIS_URL"):
            monkeypatch.delenv(name, raising=False)
        return CliRunner().invoke(cli, arguments, env=environment)

    return run


@pytest.fixture(scope="session")
def undisturbed(registry_url: str, cache_url: Secret) -> str:
    """The end of the story when nothing goes wrong."""
    with house(registry_url, cache_url) as built:
        built.register()
        built.to_production(1)
        return without_names(everything(built), built)


@pytest.fixture
def behind(registry_url: str, cache_url: Secret, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[House, Proxy]]:
    """A house whose bot reaches MLflow through a proxy; its people reach it directly."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with house(registry_url, cache_url) as built, proxied("mlflow", registry_url) as proxy:
        settings = replace(built.gateways.settings, mlflow_tracking_uri=proxy.url)
        built.gateways = Gateways(settings, Cache(connect(cache_url)))
        yield built, proxy
