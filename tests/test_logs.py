"""A line an event, with what it is about; in JSON for machines, in words on a terminal."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import redis

from bot.domain.errors import Misconfigured
from bot.domain.keys import ModelKey, RegisteredModelKey
from bot.gateways.origins import ORIGINS, Origin
from bot.gateways.queue import WorkQueue
from bot.logs import FIELDS, LogFormat, about, configure
from bot.settings import Settings, load_settings
from bot.web.app import create_app
from tests.web.payloads import github, push
from workers.desk import Desk
from workers.execution import run

log = logging.getLogger("promotion-bot.worker")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_every_line_of_json_has_every_field() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    log.info("nothing known")
    with about(repository="acme/models", model="fraud\n\u2028x"), about(version=3, environment=None):
        log.warning("known: %s", "a\nb")
    first, second = lines(stream)
    assert all(first[field] is None for field in FIELDS)
    assert (second["message"], second["level"]) == ("known: a\nb", "warning")
    assert (second["model"], second["version"], second["environment"]) == ("fraud\n\u2028x", 3, None)


def test_what_libraries_tell_of_their_work_is_not_logged() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    library = logging.getLogger("azure.core.pipeline.policies.http_logging_policy")
    library.info("GET https://store.example.com/?sig=secret")
    library.warning("a pool is full")
    assert [line["message"] for line in lines(stream)] == ["a pool is full"]


def test_an_error_is_one_line_too() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    try:
        raise ValueError("of ours")
    except ValueError:
        log.exception("failed")
    (line,) = lines(stream)
    assert "ValueError: of ours" in str(line["error"])


def test_a_terminal_gets_words_in_which_no_name_moves_the_cursor() -> None:
    stream = Terminal()
    configure(stream=stream)
    with about(model="a\x1b[2J b", environment="staging"):
        log.info("live")
    (line,) = stream.getvalue().splitlines()
    assert "INFO    promotion-bot.worker: live" in line
    assert "environment=staging" in line
    assert "\x1b" not in line


def test_a_message_is_one_line_of_a_terminal_whatever_it_quotes() -> None:
    stream = Terminal()
    configure(stream=stream)
    log.warning("“%s” is no model", "naïve\x1b[2J\n2026-01-01 INFO forged\u202eevil\u2028")
    (line,) = stream.getvalue().splitlines()
    assert r"“naïve\x1b[2J\n2026-01-01 INFO forged\u202eevil\u2028” is no model" in line


def test_the_form_can_be_chosen(environ: dict[str, str]) -> None:
    stream = Terminal()
    configure(LogFormat.JSON, stream)
    log.info("live")
    assert lines(stream)[0]["message"] == "live"
    assert load_settings({**environ, "PROMOTION_LOG_FORMAT": "text"}).log_format is LogFormat.TEXT
    with pytest.raises(Misconfigured, match="PROMOTION_LOG_FORMAT is neither json nor text"):
        load_settings({**environ, "PROMOTION_LOG_FORMAT": "xml"})


def test_a_delivery_is_on_the_lines_of_every_look_that_it_led_to(valkey: redis.Redis) -> None:
    stream = io.StringIO()
    configure(stream=stream)
    queue = WorkQueue(valkey)
    queue.request(RegisteredModelKey("fraud"), origin=Origin("d-1"))

    def look(desk: Desk) -> None:
        if isinstance(desk.claimed.key, RegisteredModelKey):
            desk.look_at(ModelKey("acme/models", "fraud"))

    for _ in range(2):
        (claimed,) = queue.claim()
        run(claimed, queue, look)
    first, second = lines(stream)
    assert (first["delivery"], first["model"], first["repository"]) == ("d-1", "fraud", None)
    assert (second["delivery"], second["model"], second["repository"]) == ("d-1", "fraud", "acme/models")
    assert first["job"] != second["job"]
    assert valkey.hlen(ORIGINS) == 0


def test_a_webhook_that_is_queued_is_a_line_with_what_it_is_about(settings: Settings, valkey: redis.Redis) -> None:
    stream = io.StringIO()
    configure(LogFormat.JSON, stream)
    web = create_app(settings, WorkQueue(valkey)).test_client()
    web.post("/webhooks/github", **github("push", push(), **{"X-GitHub-Delivery": "d-2"}))
    (line,) = lines(stream)
    assert (line["message"], line["repository"], line["delivery"]) == (
        "github webhook push queued",
        "acme/models",
        "d-2",
    )


def test_what_is_no_delivery_is_not_logged(valkey: redis.Redis) -> None:
    queue = WorkQueue(valkey)
    valkey.hset(ORIGINS, '["registered-model","fraud"]', "x\nforged line")
    assert queue.origins.take(RegisteredModelKey("fraud")) == Origin()
