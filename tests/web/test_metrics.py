"""Every metric with its labels is in docs/metrics.md, and nothing there is missing; figures of workers add up."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import redis
from flask.testing import FlaskClient

from bot.domain.board import Cell, Matter, MatterKind, Proposed
from bot.domain.errors import Service
from bot.domain.keys import ModelKey
from bot.gateways.measurements import BUDGET, LAST_SWEEP, REQUEST_SECONDS, REQUESTS, TO_LIVE, Measurements
from bot.gateways.queue import WorkQueue
from tests.measuring import measure_everything

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
SUFFIXES = r"_(bucket|sum|count)$"


def documented() -> dict[str, frozenset[str]]:
    """Each name in the table with its labels."""
    rows = [line.partition(" | ")[0] for line in PAGE.read_text().splitlines() if line.startswith("| `promotion_")]
    named = re.findall(r"`(promotion_\w+)(?:\{([\w,]+)\})?`", "\n".join(rows))
    assert len(named) == len({name for name, _ in named})
    return {name: frozenset(labels.split(",")) - {""} for name, labels in named}


def shown(text: str) -> dict[str, frozenset[str]]:
    """Each name on the page with the labels of its series, a histogram's series under one name."""
    histograms = set(re.findall(r"^# TYPE (\S+) histogram$", text, re.MULTILINE))
    found: dict[str, frozenset[str]] = {}
    for series, labels in re.findall(r"^(promotion_\w+?)(?:\{(.*)\})? \S+$", text, re.MULTILINE):
        base = re.sub(SUFFIXES, "", series)
        name = base if base in histograms else series
        if not name.endswith("_created"):
            found[name] = found.get(name, frozenset()) | (frozenset(re.findall(r'(\w+)="', labels)) - {"le"})
    return found


def test_the_page_and_the_documentation_name_the_same(web: FlaskClient, queue: WorkQueue, valkey: redis.Redis) -> None:
    measure_everything(Measurements(valkey))
    proposed = Proposed(version=2, pull_request=7, since=datetime.now(UTC), waits_for="its checks")
    queue.boards.show("acme/models", "fraud", (Cell("fraud", "staging", proposed=(proposed,)),))
    queue.record("Model", "done", 1.0)
    for _ in range(3):
        queue.troubles.is_away(Service.MLFLOW, "no answer")
    queue.request(ModelKey("acme/models", "fraud"))
    web.post("/webhooks/github", data=b"{}")
    assert shown(web.get("/metrics").text) == documented()


def test_the_oldest_open_proposal_of_an_environment_is_told(web: FlaskClient, queue: WorkQueue) -> None:
    opened = datetime(2026, 11, 25, 10, tzinfo=UTC)
    for model, days in (("fraud", (3, 1)), ("risk", (2,)), ("spam", ())):
        proposed = tuple(Proposed(n, n, opened + timedelta(days=day), "its checks") for n, day in enumerate(days, 1))
        queue.boards.show("acme/models", model, (Cell(model, "staging", proposed=proposed), Cell(model, "production")))
    text = web.get("/metrics").text
    assert 'promotion_proposals{environment="staging",repository="acme/models"} 3.0' in text
    assert 'promotion_proposals{environment="production",repository="acme/models"} 0.0' in text
    [since] = re.findall(r"^promotion_proposals_oldest_since_seconds(\{.*\}) (\S+)$", text, re.MULTILINE)
    assert since[0] == '{environment="staging",repository="acme/models"}'
    assert float(since[1]) == (opened + timedelta(days=1)).timestamp()


def test_what_several_forked_jobs_measure_adds_up(web: FlaskClient, valkey: redis.Redis) -> None:
    measured = Measurements(valkey)
    measured.request("github", "2xx", 0.2)  # before the fork: the parent's own
    for _ in range(3):
        if (pid := os.fork()) == 0:
            child = Measurements(redis.Redis(connection_pool=redis.ConnectionPool(**_address(valkey))))
            child.request("github", "2xx", 0.3)
            child.flush()
            os._exit(0)
        os.waitpid(pid, 0)
    measured.flush()
    measured.flush()
    text = web.get("/metrics").text
    assert 'promotion_requests_total{service="github",status="2xx"} 4.0' in text
    assert 'promotion_request_seconds_bucket{le="0.25",service="github"} 1.0' in text
    assert 'promotion_request_seconds_bucket{le="+Inf",service="github"} 4.0' in text
    assert 'promotion_request_seconds_sum{service="github"} 1.1' in text


def _address(valkey: redis.Redis) -> dict[str, object]:
    kept = valkey.connection_pool.connection_kwargs
    return {"connection_class": redis.UnixDomainSocketConnection, "path": kept["path"]}


def test_a_forked_process_leaves_what_its_parent_has_not_written_to_its_parent(valkey: redis.Redis) -> None:
    measured = Measurements(valkey)
    measured.count(REQUESTS, "github", "2xx")
    measured.forget()
    measured.flush()
    assert valkey.keys("promotion:measured") == []


def test_what_another_version_measured_is_left_out(web: FlaskClient, valkey: redis.Redis) -> None:
    valkey.hset("promotion:measured", '["promotion_requests","of",3,"labels",""]', 1)
    valkey.hset("promotion:measured", '["promotion_of_tomorrow","x",""]', 1)
    text = web.get("/metrics").text
    assert "promotion_of_tomorrow" not in text
    assert "promotion_requests_total{" not in text


def test_what_is_no_measurement_is_left_out(web: FlaskClient, valkey: redis.Redis) -> None:
    Measurements(valkey).flush()
    evil = ("no JSON", "[]", '{"a": 1}', "[" * 100_000, "\xff", '["promotion_requests","github","2xx",""]')
    for name in ("promotion:measured", "promotion:last"):
        valkey.hset(name, mapping=dict.fromkeys(evil, "no number"))
    answer = web.get("/metrics")
    assert (answer.status_code, "promotion_queue_keys" in answer.text) == (200, True)


def test_a_repository_that_is_not_served_any_more_is_not_told(
    web: FlaskClient, queue: WorkQueue, valkey: redis.Redis
) -> None:
    drifting = Cell("fraud", "production", matters=(Matter(MatterKind.DRIFTING, "it differs", "Mend it."),))
    measured = Measurements(valkey)
    for repository in ("acme/models", "gone/models"):
        queue.boards.show(repository, "fraud", (drifting,))
        measured.keep(LAST_SWEEP, 1.0, repository)
        measured.keep(BUDGET, 1.0, repository.partition("/")[0])
    measured.flush()
    text = web.get("/metrics").text
    assert 'promotion_drifting{environment="production",repository="acme/models"} 1.0' in text
    assert 'promotion_github_requests_remaining{account="acme"} 1.0' in text
    assert "gone" not in text


def test_a_job_goes_on_without_redis() -> None:
    measured = Measurements(redis.Redis(unix_socket_path="/nowhere"))
    measured.observe(TO_LIVE, 3.0, "acme/models", "staging")
    measured.observe(REQUEST_SECONDS, 3.0, "github")
    measured.flush()
