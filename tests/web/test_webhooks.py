"""Every answer of the webhooks, and which key each event names."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bot.domain.keys import CommentKey, Key, PullRequestKey, RecheckKey, RegisteredModelKey, RepositoryKey, Urgency
from bot.gateways.queue import WorkQueue
from bot.gateways.redis_connection import connect
from bot.settings import Secret, Settings
from bot.web.app import create_app
from bot.web.github_webhook import EVENTS
from tests.web import payloads
from tests.web.payloads import check, comment, github, merge_group, mlflow, model_event, pull_request, push

REPOSITORY = RepositoryKey("acme/models")
PULL = PullRequestKey("acme/models", 7)
MODEL = RegisteredModelKey("fraud-detector")
OWN = payloads.APP_ID
SERVED = payloads.REPOSITORY
DEPLOYMENT = {"deployment": {"performed_via_github_app": None}, "repository": SERVED}
OWN_DEPLOYMENT = {"deployment": {"performed_via_github_app": {"id": OWN}}, "repository": SERVED}

UNCHECKED = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow)


def queued(queue: WorkQueue) -> list[Key]:
    return [claimed.key for claimed in queue.claim()]


@pytest.mark.parametrize(
    ("event", "payload", "keys"),
    [
        ("push", push(), [REPOSITORY]),
        ("push", push(ref="refs/heads/promotion/staging/x-v1"), []),
        ("push", push(ref="refs/tags/main"), []),
        ("push", {**push(), "repository": {"full_name": "ACME/Models", "default_branch": "main"}}, [REPOSITORY]),
        ("push", {**push(), "repository": {"full_name": "acme/other", "default_branch": "main"}}, []),
        ("pull_request", pull_request(), [PULL]),
        ("pull_request", pull_request(action="labeled"), [PULL]),
        ("pull_request_review", pull_request(action="submitted"), [PULL]),
        ("issue_comment", comment(), [CommentKey("acme/models", 7, 55)]),
        ("issue_comment", comment(on_pull_request=False), [CommentKey("acme/models", 7, 55)]),
        ("issue_comment", comment(body="Looks good, see a/b"), []),
        ("issue_comment", comment(action="edited"), [PULL]),
        ("issue_comment", comment(action="deleted", on_pull_request=False), [REPOSITORY]),
        ("check_run", check(numbers=(7,)), [PULL]),
        ("check_run", check(), [REPOSITORY]),
        ("check_run", check(app=OWN, numbers=(7,)), []),
        ("check_run", check(app=OWN, numbers=(7,), action="rerequested"), [RecheckKey("acme/models", 7)]),
        ("check_run", check(action="created", numbers=(7,)), []),
        ("check_suite", check(kind="check_suite", action="rerequested", app=OWN, numbers=(7, 8)),
         [RecheckKey("acme/models", 7), RecheckKey("acme/models", 8)]),
        ("check_suite", check(kind="check_suite", app=OWN, numbers=(7,)), []),
        ("status", {"context": "ci/build", "state": "success", "repository": SERVED}, [REPOSITORY]),
        ("status", {"context": "ci/build", "state": "pending", "repository": SERVED}, []),
        ("status", {"context": "promotion/policy", "state": "success", "repository": SERVED}, []),
        ("deployment", DEPLOYMENT, [REPOSITORY]),
        ("deployment_status", OWN_DEPLOYMENT, []),
        ("merge_group", merge_group("refs/heads/gh-readonly-queue/main/pr-7-0a1b2c"), [PULL]),
        ("merge_group", merge_group("refs/heads/gh-readonly-queue/release/1.x/pr-7-0a1b2c"), [PULL]),
        ("merge_group", merge_group("refs/heads/other"), [REPOSITORY]),
        ("repository", {"action": "edited", "repository": SERVED}, [REPOSITORY]),
        ("installation", {"action": "created", "repositories": [{"full_name": "acme/models"}, {}]}, [REPOSITORY]),
        ("installation_repositories", {"repositories_added": [{"full_name": "x/y"}]}, []),
        ("installation_repositories", {"repositories_added": None}, []),
        ("ping", {"zen": "…", "hook_id": 1}, []),
        ("star", {"repository": SERVED}, []),
    ],
)  # fmt: skip
def test_a_github_event_names_its_keys(
    web: FlaskClient, queue: WorkQueue, event: str, payload: dict[str, Any], keys: list[Key]
) -> None:
    response = web.post("/webhooks/github", **github(event, payload))
    assert response.status_code == (202 if keys else 200)
    assert sorted(queued(queue), key=str) == sorted(keys, key=str)


@pytest.mark.parametrize(
    ("event", "payload", "urgency"),
    [
        ("push", push(), Urgency.CANDIDATE),
        ("status", {"context": "ci/build", "state": "success", "repository": SERVED}, Urgency.SWEEP),
        ("check_run", check(), Urgency.SWEEP),
        ("check_run", check(numbers=(7,)), Urgency.PEOPLE),
        ("deployment", DEPLOYMENT, Urgency.SWEEP),
        ("pull_request", pull_request(), Urgency.PEOPLE),
    ],
)
def test_what_machines_report_of_no_pull_request_waits_as_the_sweep_does(
    web: FlaskClient, queue: WorkQueue, event: str, payload: dict[str, Any], urgency: Urgency
) -> None:
    web.post("/webhooks/github", **github(event, payload))
    assert [claimed.urgency for claimed in queue.claim()] == [urgency]


@pytest.mark.parametrize(
    ("payload", "keys"),
    [
        (model_event(), [MODEL]),
        (model_event("registered_model"), [MODEL]),
        (model_event("model_version_tag", "set", key="validated", value="yes"), [MODEL]),
        (model_event("model_version_tag", "deleted", key="promotion"), [MODEL]),
        (model_event("model_version_tag", "set", key="promotion.staging.status", value="live"), []),
        (model_event("model_version_tag", "set", key="validation_status", value="passed"), []),
        (model_event("model_version_tag", "set", key="promoted_from", value="None"), []),
        (model_event("model_version_alias", alias="champion"), [MODEL]),
        (model_event("prompt"), []),
        (model_event("budget_policy", "exceeded"), []),
        (model_event(name="a\nname, 模型"), [RegisteredModelKey("a\nname, 模型")]),
        ({"event": "MODEL_VERSION_TRANSITIONED_STAGE", "model_name": "fraud-detector", "version": "3"}, [MODEL]),
        ({"event": "COMMENT_CREATED", "model_name": "fraud-detector"}, []),
    ],
)
def test_an_mlflow_event_names_its_model(
    web: FlaskClient, queue: WorkQueue, payload: dict[str, Any], keys: list[Key]
) -> None:
    response = web.post("/webhooks/mlflow", **mlflow(payload))
    assert response.status_code == (202 if keys else 200)
    assert queued(queue) == keys


def test_a_delivery_that_comes_twice_is_one_look(web: FlaskClient, queue: WorkQueue) -> None:
    delivery = mlflow(model_event())
    for _ in range(3):
        assert web.post("/webhooks/mlflow", **delivery).status_code == 202
    assert queued(queue) == [MODEL]


# --- who may ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", ["github-new", "github-old"])
def test_each_of_several_secrets_is_good(web: FlaskClient, secret: str) -> None:
    assert web.post("/webhooks/github", **github("push", push(), secret)).status_code == 202
    other = secret.replace("github", "mlflow")
    assert web.post("/webhooks/mlflow", **mlflow(model_event(), other)).status_code == 202


@pytest.mark.parametrize("signature", ["", "sha256=", "sha1=00", "sha256=" + "0" * 64, "sha256=ü", "\udcff"])
def test_a_github_delivery_without_the_right_signature_is_401(web: FlaskClient, signature: str) -> None:
    delivery = github("push", push())
    delivery["headers"]["X-Hub-Signature-256"] = signature.encode("utf-8", "replace").decode("latin-1")
    assert web.post("/webhooks/github", **delivery).status_code == 401
    del delivery["headers"]["X-Hub-Signature-256"]
    assert web.post("/webhooks/github", **delivery).status_code == 401


def test_a_changed_body_is_401(web: FlaskClient, queue: WorkQueue) -> None:
    assert web.post("/webhooks/github", **{**github("push", push()), "data": b"{}"}).status_code == 401
    assert web.post("/webhooks/mlflow", **{**mlflow(model_event()), "data": b"{}"}).status_code == 401
    assert queued(queue) == []


@pytest.mark.parametrize(("skew", "status"), [(0, 202), (290, 202), (-290, 202), (310, 401), (-310, 401)])
def test_mlflows_timestamp_may_be_five_minutes_off(web: FlaskClient, skew: float, status: int) -> None:
    assert web.post("/webhooks/mlflow", **mlflow(model_event(), skew=skew)).status_code == status


@pytest.mark.parametrize("name", ["X-MLflow-Signature", "X-MLflow-Delivery-Id", "X-MLflow-Timestamp"])
@pytest.mark.parametrize("value", [None, "", "x", "-1", "9" * 400, "١٢٣"])
def test_every_one_of_mlflows_headers_is_needed(web: FlaskClient, name: str, value: str | None) -> None:
    delivery = mlflow(model_event())
    if value is None:
        del delivery["headers"][name]
    else:
        delivery["headers"][name] = value.encode().decode("latin-1")
    assert web.post("/webhooks/mlflow", **delivery).status_code == 401


def test_who_cannot_sign_learns_nothing(web: FlaskClient) -> None:
    """The same answer whatever is wrong besides."""
    answers = {
        web.post("/webhooks/github", data=data, content_type=kind, headers={"X-Hub-Signature-256": "sha256=00"}).data
        for data in (b"", b"{}", b"not json", b"[" * 100_000)
        for kind in ("application/json", "text/plain")
    }
    assert len(answers) == 1


def test_without_secrets_nobody_can_sign(settings: Settings, queue: WorkQueue) -> None:
    from dataclasses import replace

    web = create_app(replace(settings, github_webhook_secrets=()), queue).test_client()
    assert web.post("/webhooks/github", **github("push", push(), "")).status_code == 401


# --- what cannot be used ----------------------------------------------------------------------------------------------

BAD_BODIES = [
    b"",
    b"not json",
    b"[]",
    b"null",
    b'"text"',
    b"{}",
    b"\xff\xfe",
    b'{"entity": "\xff"}',
    b'{"a": NaN}',
    b'{"a": -Infinity}',
    b'{"a":' * 100_000,
    b"[" * 100_000 + b"]" * 100_000,
    b'{"a": ' + b"9" * 10_000 + b"}",
    '{"ref": "x"}'.encode("utf-16"),
]


@pytest.mark.parametrize("body", BAD_BODIES, ids=range(len(BAD_BODIES)))
def test_a_signed_body_that_is_no_event_is_400(web: FlaskClient, queue: WorkQueue, body: bytes) -> None:
    assert web.post("/webhooks/github", **github("push", body)).status_code == 400
    assert web.post("/webhooks/mlflow", **mlflow(body)).status_code == 400
    assert queued(queue) == []


@pytest.mark.parametrize("event", sorted(EVENTS))
@pytest.mark.parametrize("repository", [None, 7, [], {}, {"full_name": 7}, {"full_name": None}])
def test_an_event_without_its_repository_is_400(web: FlaskClient, event: str, repository: object) -> None:
    assert web.post("/webhooks/github", **github(event, {"repository": repository})).status_code == 400


@pytest.mark.parametrize("number", [None, 0, -1, True, 1.5, "7", 10**300, [7]])
def test_a_pull_request_without_a_number_is_400(web: FlaskClient, number: object) -> None:
    assert web.post("/webhooks/github", **github("pull_request", pull_request(number))).status_code == 400


@pytest.mark.parametrize("name", [None, "", 7, [], "x" * 1001, "\ud800"])
def test_a_model_without_a_name_is_400(web: FlaskClient, name: object) -> None:
    assert web.post("/webhooks/mlflow", **mlflow(model_event(name=name))).status_code == 400


def test_an_event_without_its_header_is_400(web: FlaskClient) -> None:
    assert web.post("/webhooks/github", **github("", push())).status_code == 400


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_what_is_not_json_is_415(web: FlaskClient, kind: str) -> None:
    assert web.post("/webhooks/github", **{**github("push", push()), "content_type": kind}).status_code == 415
    assert web.post("/webhooks/mlflow", **{**mlflow(model_event()), "content_type": kind}).status_code == 415


def test_what_is_too_large_is_413_signed_or_not(web: FlaskClient) -> None:
    large = b" " * (1024 * 1024 + 1)
    assert web.post("/webhooks/mlflow", **mlflow(large)).status_code == 413
    assert web.post("/webhooks/mlflow", data=large).status_code == 413
    assert web.post("/webhooks/github", **github("push", large)).status_code == 400, "GitHub's may be larger"
    assert web.post("/webhooks/github", data=b" " * (25 * 1024 * 1024 + 1)).status_code == 413


def test_a_queue_that_is_away_is_503_with_a_time_to_come_again(settings: Settings) -> None:
    web = create_app(settings, WorkQueue(connect(Secret("redis://127.0.0.1:1")))).test_client()
    response = web.post("/webhooks/github", **github("push", push()))
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert web.post("/webhooks/github", **github("ping", {})).status_code == 200
    assert web.get("/readyz").status_code == 503
    assert web.get("/healthz").status_code == 200
    assert web.get("/metrics").status_code == 200


# --- the rest ---------------------------------------------------------------------------------------------------------


def test_health_and_metrics(web: FlaskClient, queue: WorkQueue) -> None:
    assert web.get("/healthz").status_code == 200
    assert web.get("/readyz").status_code == 200
    web.post("/webhooks/github", **github("push", push()))
    queue.record("Model", "done", 1.5)
    text = web.get("/metrics").text
    assert 'promotion_webhooks_total{event="push",source="github",status="202"}' in text
    assert 'promotion_queue_keys{state="due"} 1.0' in text
    assert 'promotion_jobs_total{kind="Model",result="done"} 1.0' in text


def test_senders_cannot_make_new_metrics(web: FlaskClient) -> None:
    web.post("/webhooks/github", **github("invented-event", {}))
    web.post("/webhooks/mlflow", **mlflow(model_event("invented-entity")))
    assert "invented" not in web.get("/metrics").text


@pytest.mark.parametrize(("method", "path", "status"), [
    ("GET", "/none", 404), ("GET", "/api/v1/none", 404), ("GET", "/webhooks/github", 405), ("PUT", "/healthz", 405),
])  # fmt: skip
def test_everything_else_is_refused_in_json(web: FlaskClient, method: str, path: str, status: int) -> None:
    response = web.open(path, method=method)
    assert response.status_code == status
    assert response.json is not None
    assert response.json["status"] == status
    assert ("Allow" in response.headers) == (status == 405)
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
PARTS = ("ref", "action", "repository", "pull_request", "issue", "check_run", "check_suite", "merge_group", "context",
         "deployment", "installation", "repositories", "repositories_added")  # fmt: skip


@hypothesis_settings(max_examples=300, suppress_health_check=UNCHECKED)
@given(
    event=st.sampled_from([*EVENTS, "installation", "installation_repositories", "ping"]),
    payload=st.dictionaries(st.sampled_from(PARTS), JSON),
    known=st.booleans(),
)
def test_no_github_payload_breaks_the_service(
    web: FlaskClient, event: str, payload: dict[str, Any], known: bool
) -> None:
    if known:
        payload = {**payload, "repository": SERVED}
    assert web.post("/webhooks/github", **github(event, payload)).status_code in (200, 202, 400)


@hypothesis_settings(max_examples=300, suppress_health_check=UNCHECKED)
@given(payload=st.dictionaries(st.sampled_from(["entity", "action", "data", "event", "model_name"]), JSON) | JSON)
def test_no_mlflow_payload_breaks_the_service(web: FlaskClient, payload: object) -> None:
    assert web.post("/webhooks/mlflow", **mlflow(payload)).status_code in (200, 202, 400)


@hypothesis_settings(max_examples=200, suppress_health_check=UNCHECKED)
@given(body=st.binary(max_size=200), text=st.text(max_size=40))
def test_no_bytes_break_the_service(web: FlaskClient, body: bytes, text: str) -> None:
    assert web.post("/webhooks/github", **github("push", body)).status_code == 400
    assert web.post("/webhooks/mlflow", **mlflow(json.dumps({"entity": text}).encode())).status_code == 400


def test_the_web_process_imports_neither_mlflow_nor_github() -> None:
    program = (
        "import sys, bot.web.server, bot.web.app\n"
        "print(sorted({'mlflow', 'github', 'rq', 'workers', 'bot.wiring'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
