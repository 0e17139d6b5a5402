"""Writes in their turn, however many workers there are."""

from __future__ import annotations

import pytest

from bot.domain.errors import Unreachable
from bot.gateways.cache import Cache
from bot.gateways.github.client import GitHubClient
from bot.gateways.github.pace import Limits, Pace
from bot.sandbox.github import GitHubSandbox
from bot.settings import Secret

PULLS = "/repos/acme/models/pulls"


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job waits however long its turn is away: windows can be so long that none is over by itself."""
    monkeypatch.setattr("bot.gateways.github.pace._LONGEST_WAIT", 1000.0)


@pytest.mark.usefixtures("patient")
def test_content_is_created_in_its_turn_over_all_workers(valkey) -> None:
    slept: list[float] = []

    def passes(seconds: float) -> None:
        slept.append(seconds)
        valkey.delete(*valkey.keys("*:content:*"))

    first, second = (Pace(valkey, "bot", Limits(content=((3, 100.0),)), passes) for _ in "ab")
    for each in (first, second, first):
        each.wait("POST", PULLS)
    assert slept == []
    second.wait("PATCH", f"{PULLS}/7")
    second.wait("POST", "/repos/acme/models/issues/7/labels")
    assert slept == [], "neither creates content"
    second.wait("POST", "/repos/acme/models/issues/7/comments")
    assert len(slept) == 1
    assert 0 < slept[0] <= 100


def test_an_endpoint_has_its_own_limit_whatever_the_number_or_commit(valkey) -> None:
    slept: list[float] = []
    pace = Pace(valkey, "bot", Limits(endpoint=(2, 100.0)), slept.append)
    pace.wait("POST", f"/repos/acme/models/statuses/{'a' * 40}")
    pace.wait("POST", f"/repos/acme/models/statuses/{'b' * 40}")
    pace.wait("POST", "/repos/acme/models/check-runs")
    with pytest.raises(Unreachable, match="waits for its turn") as caught:
        pace.wait("POST", f"/repos/acme/models/statuses/{'c' * 40}")
    assert caught.value.retry_after == pytest.approx(100, abs=50)


@pytest.mark.usefixtures("patient")
def test_after_a_refusal_for_speed_a_second_is_left_between_writes(valkey) -> None:
    slept: list[float] = []
    with GitHubSandbox() as github:
        github.add_user("bot")
        there = github.add_repository("acme/models", {"a": "1"}, {"bot": "write"})
        issue = there.open_issue("Speed")
        client = GitHubClient(github.api_url, Secret(github.add_token("bot")), Cache(valkey))
        path = f"/repos/acme/models/issues/{issue}/comments"
        client.write("acme/models", "POST", path, {"body": "one"})
        github.limit("bot")
        with pytest.raises(Unreachable):
            client.write("acme/models", "POST", path, {"body": "two"})

        def passes(seconds: float) -> None:
            slept.append(seconds)
            valkey.delete(*valkey.keys("*each"))

        client._pace._sleep = passes
        client._pace._limits = Limits(slow=(1, 100.0))
        github.limit("bot", 100)
        valkey.delete(*valkey.keys("*:pause"))  # it is over
        for text in ("three", "four"):
            client.write("acme/models", "POST", path, {"body": text})
    assert len(slept) == 1
    assert 0 < slept[0] <= 100


def test_without_redis_nothing_waits() -> None:
    pace = Pace(None, "bot", Limits(content=((0, 1.0),)))
    pace.wait("POST", PULLS)
    pace.slow_down()
