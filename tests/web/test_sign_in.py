"""Who may look at the board, and that looking is all that anybody can do there."""

from __future__ import annotations

import base64
import re
from dataclasses import replace

import pytest
from flask.testing import FlaskClient

from bot.gateways.queue import WorkQueue
from bot.settings import Secret, Settings
from bot.web.app import create_app
from tests.web.payloads import github, push
from tests.web.test_board import HELD, LIVE

OLD, NEW = "old-token-of-16-and-more", "new-token-of-16-and-more"
ASSET = "/assets/board.css"
PAGES = (
    "/",
    "/model?name=fraud",
    "/policies",
    "/service",
    ASSET,
    "/api/v1/board",
    "/api/v1/models/fraud",
    "/api/v1/policies",
    "/metrics",
)
METHODS = ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND")


def basic(password: str, user: str = "me") -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


@pytest.fixture
def guarded(settings: Settings, queue: WorkQueue) -> FlaskClient:
    queue.boards.show("acme/models", "fraud", (LIVE, HELD))
    tokens = (Secret(NEW), Secret(OLD))
    return create_app(replace(settings, board_tokens=tokens), queue).test_client()


@pytest.fixture
def behind_a_proxy(settings: Settings, queue: WorkQueue) -> FlaskClient:
    queue.boards.show("acme/models", "fraud", (LIVE, HELD))
    return create_app(replace(settings, board_user_header="X-Forwarded-User"), queue).test_client()


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("sign_in", [f"Bearer {NEW}", f"Bearer {OLD}", basic(NEW), basic(OLD, "")])
def test_a_token_opens_the_board(guarded: FlaskClient, page: str, sign_in: str) -> None:
    assert guarded.get(page, headers={"Authorization": sign_in}).status_code == 200


@pytest.mark.parametrize("page", [*PAGES, "/no/such/page", "/healthz/", "//healthz", "/healthz/../"])
@pytest.mark.parametrize(
    "sign_in",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {NEW[:-1]}",
        f"Bearer {NEW},{OLD}",
        f"Bearer {NEW},Bearer {NEW}",
        f"Token {NEW}",
        "Bearer \xff\xfe",
        basic("wrong"),
        basic("", NEW),
        "Basic not-base64",
        "Basic \xe4\xf6\xfc",
        f'Digest username="{NEW}"',
    ],
)
def test_nothing_else_does(guarded: FlaskClient, page: str, sign_in: str | None) -> None:
    headers = {} if sign_in is None else {"Authorization": sign_in, "X-Forwarded-User": "me"}
    refused = guarded.get(page, headers=headers)
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith('Basic realm="promotion-bot"')
    assert "fraud" not in refused.text


def test_the_proxys_word_opens_the_board(behind_a_proxy: FlaskClient) -> None:
    assert behind_a_proxy.get("/", headers={"X-Forwarded-User": "dana"}).status_code == 200
    for headers in ({}, {"X-Forwarded-User": ""}, {"X-Other-User": "dana"}, {"Authorization": f"Bearer {NEW}"}):
        refused = behind_a_proxy.get("/", headers=headers)
        assert refused.status_code == 403
        assert "fraud" not in refused.text


def test_health_and_webhooks_need_no_sign_in(guarded: FlaskClient) -> None:
    assert guarded.get("/healthz").status_code == 200
    assert guarded.get("/readyz").status_code == 200
    assert guarded.post("/webhooks/github", **github("push", push())).status_code == 202
    assert guarded.post("/webhooks/github", headers={"Authorization": f"Bearer {NEW}"}).status_code == 401


def test_without_a_setting_the_board_is_open(web: FlaskClient) -> None:
    assert all(web.get(page).status_code == 200 for page in ("/", ASSET, "/api/v1/board", "/metrics"))


def test_metrics_on_their_own_port_are_not_on_this_one(settings: Settings, queue: WorkQueue) -> None:
    assert create_app(replace(settings, metrics_port=9090), queue).test_client().get("/metrics").status_code == 404


@pytest.mark.parametrize("page", PAGES)
def test_board_and_api_can_only_be_read(web: FlaskClient, queue: WorkQueue, page: str) -> None:
    queue.boards.show("acme/models", "fraud", (LIVE, HELD))
    before = queue.boards.rows()
    head = web.head(page)
    assert (head.status_code, head.data) == (200, b"")
    for method in METHODS:
        assert web.open(page, method=method, data=b"{}").status_code == 405, method
    assert queue.boards.rows() == before


@pytest.mark.parametrize("page", [*PAGES, "/healthz", "/readyz", "/no/such/page", "/api/v1/models/nobody"])
def test_every_answer_has_a_strict_policy(web: FlaskClient, queue: WorkQueue, page: str) -> None:
    queue.boards.show("acme/models", "fraud", (LIVE, HELD))
    headers = web.get(page).headers
    (said,) = headers.getlist("Content-Security-Policy")
    policy = dict(part.strip().partition(" ")[::2] for part in said.split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    own = {"style-src", "script-src", "connect-src", "img-src", "form-action"}
    assert set(policy) <= {"default-src", "frame-ancestors", "base-uri", *own}
    assert {policy.get(part, "'self'") for part in own} == {"'self'"}
    assert "unsafe" not in said
    for name, value in {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "private, max-age=31536000, immutable" if page == ASSET else "no-store",
    }.items():
        assert headers.getlist(name) == [value]


@pytest.mark.parametrize("page", ["/", "/model?name=fraud", "/policies", "/service"])
def test_the_page_holds_nothing_that_the_policy_forbids(web: FlaskClient, queue: WorkQueue, page: str) -> None:
    queue.boards.show("acme/models", "fraud", (LIVE, HELD))
    text = web.get(page).text
    assert not re.search(r"<script>|<style|\sstyle=|\son[a-z]+=|hx-on|javascript:", text)
    loaded = re.findall(r'<(?:link|script)[^>]*(?:href|src)="([^"]*)"', text)
    assert len(loaded) == 6
    for address in loaded:
        assert address.startswith("/assets/")
        assert web.get(address).status_code == 200
