"""The description is true: it names every endpoint and no other, and real answers fit it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import partial
from typing import Any

import jsonschema
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from bot.domain.errors import Service
from bot.domain.keys import RepositoryKey
from bot.gateways.queue import WorkQueue
from bot.gateways.redis_connection import connect
from bot.settings import Secret, Settings
from bot.web.app import create_app
from bot.web.mlflow_webhook import LIMIT
from tests.board import company
from tests.web.payloads import github, mlflow, model_event, push
from tests.web.test_board import HELD, LIVE

PAGES = ("/", "/policies", "/service")
AUTOMATIC = {"HEAD", "OPTIONS"}  # Flask answers these itself


@pytest.fixture
def described(web: FlaskClient) -> dict[str, Any]:
    return json.loads(web.get("/api/v1/openapi.json").data)


def resolved(described: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """The part itself, where it only says which of the shared responses it is."""
    return described["components"]["responses"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part


def fits(described: dict[str, Any], path: str, response: TestResponse) -> None:
    """Fail unless the answer of the request's method on `path` is one that is described."""
    operation = described["paths"][path][response.request.method.lower()]
    answer = resolved(described, operation["responses"][str(response.status_code)])
    content = answer["content"][response.mimetype]["schema"]
    body = response.json if response.mimetype == "application/json" else response.text
    jsonschema.Draft202012Validator({**content, "components": described["components"]}).validate(body)
    assert {name for name, header in answer.get("headers", {}).items() if header["required"]} <= set(
        response.headers.keys()
    )


def test_every_endpoint_is_described_and_no_other(web: FlaskClient, described: dict[str, Any]) -> None:
    served = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in web.application.url_map.iter_rules()
        for method in (rule.methods or set()) - AUTOMATIC
    }
    assert served == {(path, method) for path, methods in described["paths"].items() for method in methods}


def test_every_answer_of_the_webhooks_is_described(web: FlaskClient, described: dict[str, Any]) -> None:
    deliveries = (("/webhooks/github", partial(github, "push"), push()), ("/webhooks/mlflow", mlflow, model_event()))
    for path, signed, event in deliveries:
        answers = [
            web.post(path, **signed(event)),
            web.post(path, **signed(b"[]")),
            web.post(path, **{**signed(event), "data": b"{}"}),
            web.post(path, **{**signed(event), "content_type": "text/plain"}),
            web.post(path, **signed(b" " * (LIMIT + 1))),
        ]
        for response in answers:
            fits(described, path, response)
        assert [response.status_code for response in answers][:4] == [202, 400, 401, 415]
    fits(described, "/webhooks/github", web.post("/webhooks/github", **github("ping", {})))


def test_every_answer_of_the_board_is_described(web: FlaskClient, described: dict[str, Any], queue: WorkQueue) -> None:
    company.fill(queue)
    company.at_work(queue)
    for name in ("fraud", "team/churn"):
        queue.boards.show("acme/models", name, (replace(LIVE, model=name), HELD))
    queue.troubles.is_away(Service.MLFLOW, "no answer")
    queue.troubles.failed(RepositoryKey("acme/models"), "KeyError")
    opened = (*PAGES, "/api/v1/board", "/api/v1/policies", "/api/v1/service", "/healthz", "/readyz", "/metrics")
    for path in (*opened, "/api/v1/openapi.json"):
        fits(described, path, web.get(path))
    for name, status in (("board.css", 200), ("vendor/htmx.min.js", 200), ("icon.svg", 200), ("app.py", 404)):
        response = web.get(f"/assets/{name}")
        assert response.status_code == status
        fits(described, "/assets/{name}", response)
    model = {"name": company.FEATURED, "repository": company.REPOSITORY}
    policy = {"path": "policies/staging.yaml", "repository": company.REPOSITORY}
    for path, query in (("/model", model), ("/policy", policy)):
        fits(described, path, web.get(path, query_string=query))
        fits(described, path, web.get(path, query_string={"name": "no", "path": "no"}))
    fits(described, "/api/v1/models/{name}", web.get(f"/api/v1/models/{company.FEATURED}"))
    for name, status in (("fraud", 200), ("team/churn", 200), ("team%2Fchurn", 200), ("none", 404)):
        response = web.get(f"/api/v1/models/{name}")
        assert response.status_code == status
        fits(described, "/api/v1/models/{name}", response)


@pytest.mark.parametrize(
    "closed", [{"board_tokens": (Secret("a-token-of-16-characters"),)}, {"board_user_header": "X-Forwarded-User"}]
)
def test_what_a_board_that_asks_for_a_sign_in_answers_is_described(
    settings: Settings, queue: WorkQueue, described: dict[str, Any], closed: dict[str, Any]
) -> None:
    web = create_app(replace(settings, **closed), queue).test_client()
    for path in (*PAGES, "/model", "/policy", "/api/v1/board", "/api/v1/service", "/metrics", "/api/v1/openapi.json"):
        response = web.get(path)
        assert response.status_code in (401, 403)
        fits(described, path, response)


def test_what_a_queue_that_is_away_makes_of_it_is_described(settings: Settings, described: dict[str, Any]) -> None:
    web = create_app(settings, WorkQueue(connect(Secret("redis://127.0.0.1:1")))).test_client()
    for path in (*PAGES, "/model", "/policy", "/api/v1/board", "/api/v1/policies", "/api/v1/service", "/readyz"):
        fits(described, path, web.get(path))
    fits(described, "/api/v1/models/{name}", web.get("/api/v1/models/fraud"))
    fits(described, "/webhooks/github", web.post("/webhooks/github", **github("push", push())))
    fits(described, "/webhooks/mlflow", web.post("/webhooks/mlflow", **mlflow(model_event())))
