"""The board, as the workers saw it last: the page, the JSON, the metrics."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib import resources

from flask.testing import FlaskClient

from bot.domain.board import Cell, Matter, MatterKind, Proposed
from bot.domain.manifest import Entry
from bot.domain.model_detail import ModelDetail, VersionSeen
from bot.domain.repository_seen import CheckSeen, PolicySeen, RepositorySeen
from bot.gateways.queue import WorkQueue
from bot.gateways.redis_connection import connect
from bot.settings import Secret, Settings
from bot.web.app import create_app
from bot.web.board.overview import LABELS
from bot.web.board.query import LIVE as LIVE_STATE
from policies.verdict import Severity

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LIVE = Cell(
    "fraud",
    "staging",
    Entry(12, f"sha256:{0:064x}", "1.4.0"),
    NOW,
    proposed=(Proposed(13, 41, NOW, "2 approvals"),),
    matters=(Matter(MatterKind.WAITING, "v13 waits for 2 approvals", "Review it.", 41, 13, NOW),),
)
HELD = Cell(
    "fraud",
    "production",
    hold="<script>alert(1)</script>",
    matters=(
        Matter(MatterKind.HELD, "<script>alert(1)</script>", "Comment `/resume`."),
        Matter(MatterKind.DRIFTING, "the alias", "Put it back."),
    ),
)


def test_the_board_is_filled_by_the_workers(web: FlaskClient, queue: WorkQueue) -> None:
    empty = web.get("/")
    assert empty.status_code == 200
    assert "being rebuilt" in empty.text
    queue.boards.show_all("acme/models", {"fraud": (LIVE, HELD), "gone": (LIVE,)})
    queue.boards.show_all("acme/risk", {"churn": (Cell("churn", "staging"),)})
    queue.boards.show_all("acme/models", {"fraud": (LIVE, HELD)})
    page = web.get("/")
    assert "<strong>v12</strong>" in page.text
    assert "v13 waits for 2 approvals" in page.text
    assert "https://github.com/acme/models/pull/41" not in page.text  # the settings name another GitHub
    assert "/acme/models/pull/41" in page.text
    assert "&lt;script&gt;" in page.text
    assert "<script>" not in page.text
    assert "gone" not in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]


def test_the_boards_data_is_there_as_json(web: FlaskClient, queue: WorkQueue) -> None:
    queue.boards.show("acme/models", "fraud", (LIVE, HELD))
    (row,) = json.loads(web.get("/api/v1/board").data)["models"]
    assert (row["repository"], row["model"]) == ("acme/models", "fraud")
    assert row["cells"][0]["live"] == {"version": 12, "digest": f"sha256:{0:064x}", "release": "1.4.0"}
    (model,) = json.loads(web.get("/api/v1/models/fraud").data)["models"]
    assert row.items() <= model.items()
    assert web.get("/api/v1/models/a/b").status_code == 404


def test_drift_and_holds_are_measured(web: FlaskClient, queue: WorkQueue) -> None:
    queue.boards.show("acme/models", "fraud", (LIVE, HELD))
    text = web.get("/metrics").text
    assert 'promotion_drifting{environment="production",repository="acme/models"} 1.0' in text
    assert 'promotion_drifting{environment="staging",repository="acme/models"} 0.0' in text
    assert 'promotion_held{environment="production",repository="acme/models"} 1.0' in text


def test_without_redis_the_board_says_so(settings: Settings) -> None:
    web = create_app(settings, WorkQueue(connect(Secret("redis://127.0.0.1:1")))).test_client()
    assert web.get("/").status_code == 503
    assert web.get("/api/v1/board").status_code == 503


def test_an_advisory_check_warns_and_refuses_nobody(web: FlaskClient, queue: WorkQueue) -> None:
    checks = tuple(CheckSeen(each, "metric", "asks", each, refused=2) for each in Severity)
    policy = PolicySeen("policies/a.yaml", "a", ("staging",), checks)
    queue.details.show_repository(RepositorySeen("acme/models", NOW, 1.0, 1, policies=(policy,)))
    text = web.get("/policy?repository=acme/models&path=policies/a.yaml").text
    assert "refused <strong>2</strong> times" in text
    assert "warned of <strong>2</strong> times" in text


def test_every_metric_can_be_chosen(web: FlaskClient, queue: WorkQueue) -> None:
    queue.boards.show("acme/models", "fraud", (LIVE,))
    metrics = {f"metric-{n:02d}": float(n) for n in range(40)}
    queue.details.show([ModelDetail("acme/models", "fraud", (VersionSeen(12, NOW, metrics=metrics),))])
    text = web.get("/model?name=fraud&metric=metric-39").text
    assert all(f"metric={name}" in text for name in metrics)
    assert "20 more metrics" in text
    assert "metric-39 over versions" in text


def test_each_kind_of_matter_has_a_name_and_a_colour() -> None:
    sheet = resources.files("bot.web").joinpath("static/board.css").read_text(encoding="utf-8")
    assert set(LABELS) == {LIVE_STATE, *MatterKind}
    assert [kind for kind in MatterKind if f".badge.{kind.value}" not in sheet] == []
