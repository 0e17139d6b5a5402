"""The doctor on a real MLflow with accounts, which delivers to plain http but to no private address."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest
import redis
import requests
from cryptography.fernet import Fernet
from mlflow import MlflowClient
from werkzeug.serving import make_server

from bot.domain.errors import Misconfigured
from bot.domain.pipeline import Environment, Pipeline, RegistryTarget
from bot.gateways.cache import Cache
from bot.gateways.mlflow_webhooks import ensure_webhook
from bot.gateways.queue import WorkQueue
from bot.sandbox.mlflow_server import MlflowServer
from bot.settings import Settings
from bot.web.app import create_app
from bot.wiring import Gateways
from workers.diagnosis import Diagnosis, State
from workers.diagnosis.registry import look_at_registry, look_at_rights

ADMIN = ("admin", "a-long-password-of-the-administrator")
BOT = ("promo", "a-long-password-of-the-bot")
ACCOUNTS = """[mlflow]
default_permission = READ
database_uri = sqlite:///{folder}/accounts.db
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
"""
PIPELINE = Pipeline((Environment("staging", "", RegistryTarget(alias="staging")),), ("fraud-*",))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    folder = tmp_path_factory.mktemp("mlflow-with-accounts")
    accounts = folder / "auth.ini"
    accounts.write_text(ACCOUNTS.format(folder=folder))
    settings = {
        "MLFLOW_AUTH_CONFIG_PATH": str(accounts),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "a key of the tests",
        "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1],
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
        "MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": Fernet.generate_key().decode(),
    }
    with MlflowServer(folder, allow_webhooks=False, options=("--app-name", "basic-auth"), settings=settings) as running:
        made = requests.post(
            f"{running.url}/api/2.0/mlflow/users/create",
            json={"username": BOT[0], "password": BOT[1]},
            auth=ADMIN,
            timeout=60,
        )
        assert made.ok, made.text
        yield running


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    folder = tmp_path_factory.mktemp("mlflow-without-accounts")
    with MlflowServer(folder, settings={"MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES": "0"}) as running:
        yield running


@pytest.fixture
def sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", BOT[0])
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", BOT[1])


@contextmanager
def service(settings: Settings, valkey: redis.Redis) -> Iterator[str]:
    """The web service, on a port of its own; its address."""
    web = make_server("127.0.0.1", 0, create_app(settings, WorkQueue(valkey)), threaded=True)
    thread = threading.Thread(target=web.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{web.port}"
    finally:
        web.shutdown()
        thread.join()
        web.server_close()


def gateways(settings: Settings, server: MlflowServer, public: str | None = None) -> Gateways:
    return Gateways(replace(settings, mlflow_tracking_uri=server.url, public_url=public), Cache(None))


def looks(known: Gateways) -> dict[str, Diagnosis]:
    found = {each.what: each for each in (*look_at_registry(known), *look_at_rights(known, [PIPELINE]))}
    assert all(each.state is State.GOOD or each.mend for each in found.values())
    return found


def test_the_bots_user_may_too_little_enough_or_too_much(
    server: MlflowServer, settings: Settings, sign_in: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = gateways(settings, server)
    assert looks(known)["MLflow version"].state is State.GOOD
    MlflowClient(server.url).create_registered_model("fraud-own")  # who makes a model may manage it
    assert looks(known)["MLflow permissions"].state is State.GOOD

    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", ADMIN[0])
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", ADMIN[1])
    MlflowClient(server.url).create_registered_model("fraud-of-others")
    assert "administrator" in looks(known)["MLflow permissions"].says

    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", BOT[0])
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", BOT[1])
    unsaid = looks(known)["MLflow permissions"]
    assert (unsaid.state, "fraud-of-others" in unsaid.says) == (State.UNKNOWN, True)
    subject = {"resource_type": "registered_model", "resource_id": "fraud-of-others"}
    granted = {**subject, "username": BOT[0], "permission": "READ"}
    path = "/api/3.0/mlflow/users/permissions/grant"
    requests.post(f"{server.url}{path}", json=granted, auth=ADMIN, timeout=60).raise_for_status()
    lacking = looks(known)["MLflow permissions"]
    assert (lacking.state, "may not write fraud-of-others" in lacking.says) == (State.BAD, True)


def test_a_wrong_password(
    server: MlflowServer, settings: Settings, sign_in: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong-and-long-enough")
    found = looks(gateways(settings, server))
    assert found["MLflow registry"].state is State.BAD
    assert "docs/registry.md#credentials-and-permissions" in found["MLflow registry"].mend
    assert "wrong-and-long-enough" not in str(found)


def test_a_private_address_that_mlflow_does_not_deliver_to(
    server: MlflowServer, settings: Settings, valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", ADMIN[0])
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", ADMIN[1])
    with service(settings, valkey) as address:
        known = gateways(settings, server, address)
        assert looks(known)["MLflow webhook"].mend == "promotion-bot webhooks sync"
        with pytest.raises(Misconfigured, match="MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS=true"):
            ensure_webhook(known.registry, "promotion-bot", f"{address}/webhooks/mlflow", "mlflow-new")
        # One that was made while the variable was set, or whose name has another address by now.
        ensure_webhook(known.registry, "promotion-bot", "http://8.8.8.8/webhooks/mlflow", "mlflow-new")
        with closing(sqlite3.connect(server.directory / "mlflow.db")) as database, database:
            database.execute("UPDATE webhooks SET url = ?", (f"{address}/webhooks/mlflow",))
        delivery = looks(known)["MLflow webhook: delivery"]
    assert delivery.state is State.BAD
    assert "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS=true" in delivery.mend


def test_a_webhook_is_tried_with_a_delivery(open_server: MlflowServer, settings: Settings, valkey: redis.Redis) -> None:
    with service(settings, valkey) as address:
        known = gateways(settings, open_server, address)
        ensure_webhook(known.registry, "promotion-bot", f"{address}/webhooks/mlflow", "mlflow-new")
        found = looks(known)
        assert found["MLflow webhook: delivery"].state is State.GOOD
        assert "no accounts" in found["MLflow permissions"].says
        ensure_webhook(known.registry, "promotion-bot", f"{address}/webhooks/mlflow", "not the bot's")
        refused = looks(known)["MLflow webhook: delivery"]
        assert refused.state is State.BAD
        assert "its secret is not the bot's" in refused.says
    gone = looks(known)["MLflow webhook: delivery"]
    assert gone.state is State.BAD
    assert "could not deliver" in gone.says
