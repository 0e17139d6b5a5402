"""Webhooks: correctly signed bodies of any kind, and headers of any kind."""

from __future__ import annotations

import http.client
import json
import logging
import socket
from typing import Any, Final

import pytest
from flask.testing import FlaskClient
from hypothesis import example, given
from hypothesis import strategies as st

from bot.web.github_webhook import EVENTS
from tests.fuzz.bounds import drawn, inputs, leaves_nothing_behind, soon
from tests.fuzz.strategies import JSON_PIECES, as_json, changed, damaged, values
from tests.web import payloads
from tests.web.payloads import check, comment, github, merge_group, mlflow, model_event, pull_request, push
from tests.web.test_server import get, port, server

__all__ = ["port", "server"]  # fixtures

GITHUB: Final = (
    push(),
    pull_request(),
    comment(),
    comment(action="edited"),
    check(numbers=(7, 8)),
    check(kind="check_suite", action="rerequested", app=payloads.APP_ID, numbers=(7,)),
    merge_group("refs/heads/gh-readonly-queue/main/pr-7-0a1b2c"),
    {"context": "ci/build", "state": "success", "repository": payloads.REPOSITORY},
    {"deployment": {"performed_via_github_app": {"id": payloads.APP_ID}}, "repository": payloads.REPOSITORY},
    {"action": "created", "repositories": [{"full_name": "acme/models"}, {}]},
    {"repositories_added": [{"full_name": "acme/risk"}]},
)
MLFLOW: Final = (
    model_event(),
    model_event("model_version_tag", "set", key="validated", value="yes"),
    model_event("model_version_alias", alias="champion"),
    {"event": "MODEL_VERSION_TRANSITIONED_STAGE", "model_name": "fraud-detector", "version": "3"},
)
NAMES: Final = (*EVENTS, "installation", "installation_repositories", "ping", "star")
events = st.sampled_from(NAMES) | st.text("abcdefghijklmnopqrstuvwxyz_", max_size=30)
header_values = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=200)
github_bodies, mlflow_bodies = (
    changed(originals).map(as_json) | damaged([as_json(o) for o in originals], JSON_PIECES) | values.map(as_json)
    for originals in (GITHUB, MLFLOW)
)
HARD: Final = {
    "deep lists": b"[" * 900_000,
    "deep mappings": b'{"a":' * 180_000,
    "a long number": b'{"entity": ' + b"9" * 900_000 + b"}",
    "a long fraction": b'{"entity": 0.' + b"9" * 900_000 + b"}",
    "an exponent": b'{"entity": 1e' + b"9" * 900_000 + b"}",
    "escapes": b'{"entity": "' + b"\\u0000" * 150_000 + b'"}',
    "halves": b'{"entity": "' + b"\\ud800" * 150_000 + b'"}',
    "twins": b'{"entity": 1' + b',"entity": 1' * 70_000 + b"}",
    "names": b"{" + b",".join(b'"%d":0' % i for i in range(80_000)) + b"}",
    "spaces": b" " * 1_000_000,
    "quotes": b'"' * 1_000_000,
    "backslashes": b'{"a": "' + b"\\" * 900_000,
    "slashes in a comment": as_json(comment(body=" /" * 400_000)),
    "line breaks in a comment": as_json(comment(body="\r\n" * 200_000 + "/help")),
    "a branch of a queue": as_json(merge_group("refs/heads/gh-readonly-queue/" + "/pr-1-" * 100_000)),
}


def post_github(service: FlaskClient, event: str, body: bytes) -> int:
    """Deliver a body as GitHub does; the status that it is answered with."""
    delivery = github(event, body)
    with soon():
        return service.post("/webhooks/github", **delivery).status_code


def post_mlflow(service: FlaskClient, body: bytes) -> int:
    """Deliver a body as MLflow does; the status that it is answered with."""
    delivery = mlflow(body)
    with soon():
        return service.post("/webhooks/mlflow", **delivery).status_code


@inputs(1_000)
@given(events, github_bodies)
def test_any_body_of_github(service: FlaskClient, event: str, body: bytes) -> None:
    assert post_github(service, event, body) in {200, 202, 400}


@inputs(600)
@given(mlflow_bodies)
@example(as_json(model_event(name="\ud800")))
def test_any_body_of_mlflow(service: FlaskClient, body: bytes) -> None:
    assert post_mlflow(service, body) in {200, 202, 400}


@pytest.mark.parametrize("body", HARD.values(), ids=HARD.keys())
def test_a_large_body_of_one_thing(service: FlaskClient, body: bytes) -> None:
    for event in ("issue_comment", "merge_group", "installation"):
        assert post_github(service, event, body) in {200, 202, 400}
    assert post_mlflow(service, body) in {200, 400}


@inputs(600)
@given(
    st.dictionaries(
        st.sampled_from(("X-GitHub-Event", "X-Hub-Signature-256", "X-MLflow-Signature", "X-MLflow-Delivery-Id",
                         "X-MLflow-Timestamp", "Content-Type", "Content-Encoding", "Host", "Forwarded",
                         "X-Forwarded-For",
                         "Cookie", "Accept", "Range", "If-None-Match", "Authorization")),
        header_values,
        max_size=5,
    ),
    st.sampled_from(("/webhooks/github", "/webhooks/mlflow")),
)  # fmt: skip
@example({"X-MLflow-Timestamp": "²"}, "/webhooks/mlflow")
@example({"Content-Type": "application/json; charset=utf-99"}, "/webhooks/github")
def test_any_headers(service: FlaskClient, headers: dict[str, str], path: str) -> None:
    delivery = github("push", push()) if path.endswith("github") else mlflow(model_event())
    sent = {**delivery["headers"], "Content-Type": "application/json", **headers}
    with soon():
        response = service.post(path, data=delivery["data"], headers=sent)
    assert response.status_code in {200, 202, 400, 401, 415}


raw_lines = st.lists(
    st.tuples(
        st.sampled_from((b"Content-Length", b"Transfer-Encoding", b"Content-Type", b"X-GitHub-Event", b"Host",
        b"X_GitHub_Event",
                         b"Expect", b"Connection", b"Upgrade", b"\xff", b"", b" Folded")) | st.binary(max_size=12),
        st.sampled_from((b"0", b"2", b"-1", b"+2", b"2, 2", b"1_0", b"9" * 5_000, b"\xd9\xa2", b"chunked",
        b"gzip, chunked",
                         b"100-continue", b"h2c", b"close", b"a" * 70_000)) | st.binary(max_size=30),
    ),
    max_size=8,
)  # fmt: skip


@inputs(150)
@given(raw_lines, st.sampled_from((b"POST", b"GET", b"HEAD", b"\xff")) | st.binary(max_size=6), st.binary(max_size=8))
def test_any_bytes_to_the_real_server(
    server: object, port: int, lines: list[tuple[bytes, bytes]], method: bytes, body: bytes
) -> None:
    head = b"\r\n".join([method + b" /webhooks/github HTTP/1.1", *(name + b": " + value for name, value in lines)])
    assert raw_status(port, head + b"\r\n\r\n" + body) < 500
    assert get(port, "/healthz") == 200


def raw_status(port: int, sent: bytes) -> int:
    """The status of the answer to these bytes; 0 where the connection is closed without one."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        try:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            response = http.client.HTTPResponse(client)
            response.begin()
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException):
            return 0
        return response.status


def test_webhooks_leave_nothing_behind(service: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("promotion-bot.web"), "disabled", True)  # pytest keeps every record
    leaves_nothing_behind(lambda pair: post_github(service, *pair), drawn(st.tuples(events, github_bodies), 2_000))
    leaves_nothing_behind(lambda body: post_mlflow(service, body), drawn(mlflow_bodies, 1_000))


def test_a_webhooks_answer_is_what_is_described(service: FlaskClient) -> None:
    described: dict[str, Any] = json.loads(service.get("/api/v1/openapi.json").data)
    for path in ("/webhooks/github", "/webhooks/mlflow"):
        assert {"200", "202", "400", "401", "415"} <= set(described["paths"][path]["post"]["responses"])
