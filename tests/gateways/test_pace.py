"""Writes in their turn, however many workers there are."""

from __future__ import annotations

import pytest

from bot.domain.errors import NotYet, Unreachable
from bot.gateways.cache import Cache
from bot.gateways.github import pace
from bot.gateways.github.client import GitHubClient
from bot.gateways.github.pace import Limits, Pace
from bot.sandbox.github import GitHubSandbox
from bot.settings import Secret
from tests.passing import end_windows

PULLS = "/repos/acme/models/pulls"


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis' clock stands."""
    monkeypatch.setattr(pace, "_TAKE", pace._TAKE.replace("redis.call('TIME')", "{'1000', '0'}"))


@pytest.mark.usefixtures("still")
def test_content_is_created_in_its_turn_over_all_workers(valkey) -> None:
    slept: list[float] = []

    def passes(seconds: float) -> None:
        slept.append(seconds)
        end_windows(valkey)

    first, second = (Pace(valkey, "bot", Limits(content=((3, 1.5),)), passes) for _ in "ab")
    for each in (first, second, first):
        each.wait("POST", PULLS)
    second.wait("PATCH", f"{PULLS}/7")
    second.wait("POST", "/repos/acme/models/issues/7/labels")
    assert slept == [], "neither creates content"
    second.wait("POST", "/repos/acme/models/issues/7/comments")
    assert slept == [1.5]


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize(("window", "waits"), [(0.0004, 0.001), (2.0, 2.0)], ids=["no time at all", "the longest"])
def test_a_turn_that_comes_in_a_moment_is_waited_for(valkey, window: float, waits: float) -> None:
    slept: list[float] = []

    def passes(seconds: float) -> None:
        slept.append(seconds)
        end_windows(valkey)

    paced = Pace(valkey, "bot", Limits(content=((1, window),)), passes)
    paced.wait("POST", PULLS)
    paced.wait("POST", PULLS)
    assert slept == [waits]


@pytest.mark.usefixtures("still")
def test_a_turn_that_is_further_away_gives_the_key_back(valkey) -> None:
    paced = Pace(valkey, "bot", Limits(content=((1, 2.5),)), pytest.fail)
    paced.wait("POST", PULLS)
    with pytest.raises(NotYet, match="waits for its turn") as caught:
        paced.wait("POST", PULLS)
    assert caught.value.retry_after == 2.5


@pytest.mark.usefixtures("still")
def test_an_endpoint_has_its_own_limit_whatever_the_number_or_commit(valkey) -> None:
    slept: list[float] = []
    paced = Pace(valkey, "bot", Limits(endpoint=(2, 100.0)), slept.append)
    paced.wait("POST", f"/repos/acme/models/statuses/{'a' * 40}")
    paced.wait("POST", f"/repos/acme/models/statuses/{'b' * 40}")
    paced.wait("POST", "/repos/acme/models/check-runs")
    with pytest.raises(Unreachable, match="waits for its turn") as caught:
        paced.wait("POST", f"/repos/acme/models/statuses/{'c' * 40}")
    assert caught.value.retry_after == 100


@pytest.mark.usefixtures("still")
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
            end_windows(valkey)

        client._pace._sleep = passes
        github.limit("bot", 100)
        valkey.delete(*valkey.keys("*:pause"))  # it is over
        for text in ("three", "four"):
            client.write("acme/models", "POST", path, {"body": text})
    assert slept == [1.0]


def test_without_redis_nothing_waits() -> None:
    paced = Pace(None, "bot", Limits(content=((0, 1.0),)))
    paced.wait("POST", PULLS)
    paced.slow_down()
