"""Who may write to Redis may write onto the board: what is none of ours is passed over, what is shown is text."""

from __future__ import annotations

import json
import re
import zlib
from typing import Any

import pytest
from flask.testing import FlaskClient

from bot.domain.board import Cell, Matter, MatterKind
from bot.domain.manifest import Entry
from bot.domain.model_detail import Checked, Judged, ModelDetail, VersionSeen
from bot.domain.repository_seen import CheckSeen, EnvironmentSeen, PolicySeen, RepositorySeen
from bot.domain.timeline import Event, EventKind
from bot.gateways.queue import WorkQueue
from policies.verdict import Outcome, Severity, Status, Verdict
from tests.web.test_board import HELD, LIVE, NOW

EVIL = '"><script>alert(1)</script><a href="javascript:alert(1)" hx-on:click="alert(1)">'
VERY_DEEP = "[" * 100_000
FORGED = (
    json.dumps({"repository": EVIL, "cells": [EVIL]}),
    f"2026-11-23T12:00:00Z{json.dumps([{'model': EVIL, 'environment': [EVIL], 'matters': EVIL}])}",
    f"2026-11-23T12:00:00Z{VERY_DEEP}",
    f"2026-99-99T12:00:00Z{json.dumps([])}",
    "\x00\xff",
    zlib.compress(b"0" * 50_000_000),
    zlib.compress(json.dumps({"repository": EVIL}).encode()),
)


@pytest.mark.parametrize("forged", FORGED, ids=range(len(FORGED)))
def test_what_is_none_of_ours_in_redis_is_passed_over(web: FlaskClient, queue: WorkQueue, forged: Any) -> None:
    queue.boards.show("acme/models", "fraud", (LIVE, HELD))
    fields = {json.dumps(["acme/models", "fraud"], separators=(",", ":")): forged, "acme/models": forged, EVIL: forged}
    for key in ("models", "judged", "repositories", "pulls"):
        queue.connection.hset(f"promotion:board:{key}", mapping=fields)
    queue.connection.hset("promotion:board", mapping={json.dumps(["acme/models", "x"]): forged, EVIL: forged})
    queue.connection.hset("promotion:budgets", mapping={EVIL: forged})
    queue.connection.sadd("rq:workers", forged)
    for page in ("/", "/model?name=fraud", "/model?name=x", "/policies", "/service", "/api/v1/board", "/metrics"):
        response = web.get(page)
        assert response.status_code in (200, 404), page
        assert "<script>" not in response.text or response.is_json or page == "/metrics"


def test_what_a_poisoned_redis_shows_is_text(web: FlaskClient, queue: WorkQueue) -> None:
    matter = Matter(MatterKind.REFUSED, EVIL, EVIL)
    cell = Cell(EVIL, EVIL, Entry(1, EVIL, EVIL), by=EVIL, hold=EVIL, matters=(matter,))
    queue.boards.show("acme/models", EVIL, (cell,))
    seen = VersionSeen(1, NOW, EVIL, EVIL, EVIL, (EVIL,), EVIL, EVIL, EVIL, {EVIL: 0.5}, (Checked(EVIL, EVIL),))
    event = Event(NOW, EventKind.LIVE, EVIL, EVIL, 1, EVIL, 1, 1, 1, EVIL)
    queue.details.show([ModelDetail("acme/models", EVIL, (seen,), (event,))])
    outcome = Outcome(EVIL, EVIL, Status.FAIL, EVIL, EVIL, EVIL)
    queue.details.remember("acme/models", EVIL, (Judged(EVIL, 1, NOW, Verdict(EVIL, (outcome,))),))
    policy = PolicySeen(EVIL, EVIL, (EVIL,), (CheckSeen(EVIL, EVIL, EVIL, Severity.REQUIRED, EVIL),))
    rules = EnvironmentSeen(EVIL, EVIL, EVIL, EVIL, EVIL)
    queue.details.show_repository(RepositorySeen("acme/models", NOW, 1.0, 1, (rules,), (policy,), EVIL))
    for page in ("/", "/policies", "/service", "/model", "/policy"):
        asked = {"name": EVIL, "path": EVIL, "repository": "" if page == "/model" else "acme/models", "q": "alert"}
        response = web.get(page, query_string=asked)
        assert response.status_code == 200, page
        # What is not escaped would be an element, or an attribute of one.
        assert not re.search(r'<script>|<a href="javascript|<[^>"]*("[^"]*"[^>"]*)*\shx-on', response.text), page
        assert "&lt;script&gt;" in response.text, page
