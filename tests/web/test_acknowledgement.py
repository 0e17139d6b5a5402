"""Every status of the contract, from the two webhook endpoints."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import pytest
import redis
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from bot.gateways.queue import INBOX, WorkQueue
from bot.settings import load_settings
from bot.web.app import create_app

REPOSITORY = {"full_name": "acme/models", "default_branch": "main"}
PUSH = {"ref": "refs/heads/main", "repository": REPOSITORY}
PULL = {"action": "opened", "pull_request": {"number": 7}, "repository": REPOSITORY}


@pytest.fixture
def client(valkey: redis.Redis, environ: dict[str, str]) -> FlaskClient:
    built = load_settings({**environ, "PROMOTION_REPOSITORIES": "acme/models"})
    return create_app(built, WorkQueue(valkey)).test_client()


def github(client: FlaskClient, event: str, body: bytes, secret: str = "github-new", **headers: str) -> TestResponse:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    sent = {"X-GitHub-Event": event, "X-Hub-Signature-256": f"sha256={digest}", "Content-Type": "application/json"}
    return client.post("/webhooks/github", data=body, headers={**sent, **headers})


def mlflow(client: FlaskClient, body: bytes, secret: str = "mlflow-new", skew: int = 0, **headers: str) -> TestResponse:
    stamp = str(int(time.time()) + skew)
    signed = f"d-1.{stamp}.".encode() + body
    digest = base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()
    sent = {
        "X-MLflow-Signature": f"v1,{digest}",
        "X-MLflow-Delivery-Id": "d-1",
        "X-MLflow-Timestamp": stamp,
        "Content-Type": "application/json",
    }
    return client.post("/webhooks/mlflow", data=body, headers={**sent, **headers})


def event(entity: str = "model_version", action: str = "created", **data: Any) -> bytes:
    return json.dumps({"entity": entity, "action": action, "data": {"name": "fraud", **data}}).encode()


def dumped(value: object) -> bytes:
    return json.dumps(value).encode()


GITHUB = [
    ("push", dumped(PUSH), {}, 202),
    ("push", dumped({**PUSH, "ref": "refs/heads/other"}), {}, 200),
    ("pull_request", dumped(PULL), {}, 202),
    ("pull_request", dumped({**PULL, "repository": {**REPOSITORY, "full_name": "other/repo"}}), {}, 200),
    ("ping", b"{}", {}, 200),
    ("never_heard_of", b"{}", {}, 200),
    ("", dumped(PUSH), {}, 400),
    ("push", b"not json", {}, 400),
    ("push", b"[]", {}, 400),
    ("push", b"\xff\xfe", {}, 400),
    ("push", b"[" * 100_000, {}, 400),
    ("push", b'{"repository": 7}', {}, 400),
    ("pull_request", dumped({"pull_request": {"number": "7"}, "repository": REPOSITORY}), {}, 400),
    ("push", dumped(PUSH), {"X-Hub-Signature-256": ""}, 401),
    ("push", dumped(PUSH), {"X-Hub-Signature-256": "sha256=" + "0" * 64}, 401),
    ("push", dumped(PUSH), {"X-Hub-Signature-256": "sha256=abc"}, 401),
    ("push", dumped(PUSH), {"X-Hub-Signature-256": "ü"}, 401),
    ("push", dumped(PUSH), {"Content-Type": "text/plain"}, 415),
]


@pytest.mark.parametrize(("name", "body", "headers", "status"), GITHUB)
def test_github(client: FlaskClient, name: str, body: bytes, headers: dict[str, str], status: int) -> None:
    assert github(client, name, body, **headers).status_code == status


MLFLOW = [
    (event(), {}, 202),
    (event("registered_model"), {}, 202),
    (event("model_version_tag", "set", key="ready", value="yes"), {}, 202),
    (event("model_version_alias", "created", alias="challenger"), {}, 202),
    (event("model_version_tag", "set", key="promotion.staging.status", value="live"), {}, 200),
    (event("model_version_tag", "set", key="validation_status", value="x"), {}, 200),
    (event("prompt", "created"), {}, 200),
    (b"{}", {}, 400),
    (dumped({"entity": "model_version", "action": "created", "data": {"name": 7}}), {}, 400),
    (b"nonsense", {}, 400),
    (event(), {"X-MLflow-Signature": "v1,AAAA"}, 401),
    (event(), {"X-MLflow-Delivery-Id": "another"}, 401),
    (event(), {"X-MLflow-Timestamp": "yesterday"}, 401),
    (event(), {"Content-Type": "application/x-www-form-urlencoded"}, 415),
]


@pytest.mark.parametrize(("body", "headers", "status"), MLFLOW)
def test_mlflow(client: FlaskClient, body: bytes, headers: dict[str, str], status: int) -> None:
    assert mlflow(client, body, **headers).status_code == status


@pytest.mark.parametrize(("skew", "status"), [(-290, 202), (290, 202), (-310, 401), (310, 401)])
def test_the_timestamp_is_of_these_minutes(client: FlaskClient, skew: int, status: int) -> None:
    assert mlflow(client, event(), skew=skew).status_code == status


def test_an_old_secret_still_counts_while_it_is_listed(client: FlaskClient) -> None:
    assert github(client, "push", dumped(PUSH), secret="github-old").status_code == 202
    assert mlflow(client, event(), secret="mlflow-old").status_code == 202
    assert github(client, "push", dumped(PUSH), secret="github-older").status_code == 401


def test_a_body_that_differs_by_one_byte_is_refused(client: FlaskClient) -> None:
    body = dumped(PUSH)
    digest = hmac.new(b"github-new", body, hashlib.sha256).hexdigest()
    changed = body.replace(b"main", b"mail", 1)
    answer = github(client, "push", changed, **{"X-Hub-Signature-256": f"sha256={digest}"})
    assert answer.status_code == 401


@pytest.mark.parametrize(("path", "size"), [("/webhooks/github", 30_000_000), ("/webhooks/mlflow", 1_100_000)])
def test_a_body_over_the_limit_is_refused(client: FlaskClient, path: str, size: int) -> None:
    assert client.post(path, data=b"x" * size).status_code == 413


def test_a_replayed_delivery_only_asks_for_the_same_look(client: FlaskClient, valkey: redis.Redis) -> None:
    for _ in range(5):
        assert github(client, "pull_request", dumped(PULL)).status_code == 202
    assert valkey.zcard(INBOX) == 1


def test_without_a_queue_the_sender_is_asked_to_come_back(environ: dict[str, str]) -> None:
    away = redis.Redis(host="127.0.0.1", port=9, socket_connect_timeout=0.2)
    built = load_settings({**environ, "PROMOTION_REPOSITORIES": "acme/models"})
    client = create_app(built, WorkQueue(away)).test_client()
    answer = github(client, "push", dumped(PUSH))
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200


def test_health_and_metrics(client: FlaskClient) -> None:
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 200
    github(client, "push", dumped(PUSH))
    assert b"promotion_" in client.get("/metrics").data
    assert client.get("/nothing").status_code == 404
    assert client.get("/webhooks/github").status_code == 405


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)
shapes = st.dictionaries(
    st.sampled_from(
        ["repository", "ref", "issue", "pull_request", "check_run", "merge_group", "entity", "data", "action"]
    ),
    values,
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shapes, st.sampled_from(["push", "pull_request", "issue_comment", "check_run", "check_suite", "merge_group"]))
def test_no_shape_of_payload_is_a_server_error(client: FlaskClient, payload: dict[str, Any], name: str) -> None:
    body = dumped({"repository": REPOSITORY, **payload})
    assert github(client, name, body).status_code in (200, 202, 400)
    assert mlflow(client, body).status_code in (200, 202, 400)
