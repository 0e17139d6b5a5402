"""GitHub's requests of an hour: shared between repositories, kept for what is urgent, and pauses that all respect."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import redis

from bot.domain.errors import NotYet, Unreachable
from bot.domain.keys import Urgency
from bot.gateways.cache import Cache
from bot.gateways.github.budget import Budget, Left, too_early
from bot.gateways.github.client import GitHubClient
from bot.sandbox.github import GitHubSandbox
from bot.settings import Secret

NOW = 1_000_000.0
MODELS, RISK = "acme/models", "acme/risk"
PEOPLE, CANDIDATE, SWEEP = Urgency


@pytest.mark.parametrize(
    ("left", "urgency", "wait"),
    [
        (5000, SWEEP, None),
        (1251, SWEEP, None),
        (1250, SWEEP, 1800),
        (1250, CANDIDATE, None),
        (500, CANDIDATE, 1800),
        (500, PEOPLE, None),
        (1, PEOPLE, None),
        (0, PEOPLE, 1800),
    ],
)
def test_a_reserve_is_kept_for_what_is_more_urgent(left: int, urgency: Urgency, wait: float | None) -> None:
    assert too_early(Left(5000, left, NOW + 1800), MODELS, [], urgency, NOW) == wait


@pytest.mark.parametrize(
    ("spent", "left", "minutes_left", "urgency", "waits"),
    [
        ({}, 5000, 60, SWEEP, False),
        ({MODELS: 2250}, 2750, 60, SWEEP, False),  # its share, not more
        ({MODELS: 2251}, 2749, 60, SWEEP, True),  # beyond it, at the expense of the other
        ({MODELS: 2251}, 2749, 60, PEOPLE, False),
        ({MODELS: 2251}, 2749, 60, CANDIDATE, True),
        ({MODELS: 2500, RISK: 1200}, 1300, 60, CANDIDATE, True),
        ({MODELS: 2251, RISK: 1000}, 1749, 10, CANDIDATE, False),  # what the other will hardly use any more
        ({MODELS: 2251, RISK: 2249}, 500, 10, CANDIDATE, True),
        ({MODELS: 2251}, 2749, 0, SWEEP, False),  # a new hour
    ],
)
def test_a_busy_repository_leaves_the_others_their_share(
    spent: dict[str, int], left: int, minutes_left: int, urgency: Urgency, waits: bool
) -> None:
    known = Left(5000, left, NOW + 60 * minutes_left, spent)
    wait = too_early(known, MODELS, [RISK], urgency, NOW)
    assert (wait is not None) is waits
    assert wait is None or 0 < wait <= 3600
    assert too_early(known, RISK, [MODELS], urgency, NOW) is None or spent.get(RISK, 0) > 1000


def answered(left: int, limit: int = 5000) -> dict[str, str]:
    return {
        "x-ratelimit-limit": str(limit),
        "x-ratelimit-remaining": str(left),
        "x-ratelimit-reset": str(int(time.time()) + 1800),
    }


def raises(ask: Callable[[], object]) -> float | None:
    try:
        ask()
    except NotYet as error:
        return error.retry_after
    return None


def is_left(seconds: float | None, of: float) -> bool:
    """Whether that is a pause of which some is over; a header tells whole seconds."""
    return seconds is not None and of / 2 < seconds <= of + 1


def test_what_one_worker_hears_all_know(valkey: redis.Redis) -> None:
    first, second = Budget(valkey, "bot", [MODELS, RISK]), Budget(valkey, "bot", [MODELS, RISK])
    first.heard(MODELS, answered(900))
    left = second.left(MODELS)
    assert left is not None
    assert (left.limit, left.left, left.spent) == (5000, 900, {MODELS: 1})
    assert is_left(raises(lambda: second.expect(RISK, SWEEP)), 1800)
    second.expect(RISK, CANDIDATE)
    second.expect("other/owner", SWEEP)


def test_a_token_has_one_budget_whoever_owns_the_repository(valkey: redis.Redis) -> None:
    budget = Budget(valkey, "bot", [MODELS, "other/owner"], lambda _repository: "")
    budget.heard(MODELS, answered(900))
    assert raises(lambda: budget.expect("other/owner", SWEEP))


def test_a_pause_is_everybodys(valkey: redis.Redis) -> None:
    Budget(valkey, "bot").pause(MODELS, 400)
    other = Budget(valkey, "bot")
    assert is_left(raises(lambda: other.expect(RISK, PEOPLE)), 400)
    other.expect("other/owner", SWEEP)


@pytest.mark.parametrize("headers", [{}, {"x-ratelimit-limit": "x"}, {**answered(3), "x-ratelimit-remaining": "-1"}])
def test_an_answer_without_limits_says_nothing(valkey: redis.Redis, headers: dict[str, str]) -> None:
    budget = Budget(valkey, "bot")
    budget.heard(MODELS, headers)
    assert budget.left(MODELS) is None
    budget.expect(MODELS, SWEEP)


def test_without_redis_nothing_waits() -> None:
    budget = Budget(None, "bot")
    budget.heard(MODELS, answered(0))
    budget.pause(MODELS, 60)
    budget.expect(MODELS, SWEEP)


@pytest.mark.parametrize(
    ("status", "headers", "pause"),
    [
        (429, {"Retry-After": "30"}, 30),
        (403, {"Retry-After": "70"}, 70),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "{now + 600}"}, 600),
        (429, {}, 60),
    ],
    ids=["429", "403 of a secondary limit", "403 of the primary limit", "no time named"],
)
def test_github_asks_for_a_pause_and_no_worker_asks_for_anything_meanwhile(
    valkey: redis.Redis, status: int, headers: dict[str, str], pause: float
) -> None:
    with GitHubSandbox() as github:
        github.add_user("bot")
        github.add_repository(MODELS, {"a": "1"}, {"bot": "write"})
        credentials = Secret(github.add_token("bot"))
        client = GitHubClient(github.api_url, credentials, Cache(valkey), [MODELS])
        client.get(MODELS, f"/repos/{MODELS}")
        client.budget.expect(MODELS, SWEEP)
        reset = str(int(time.time()) + 600)
        told = {name: value.replace("{now + 600}", reset) for name, value in headers.items()}
        github.fail(f"GET /repos/{MODELS}/branches", status=status, **told)
        with pytest.raises(Unreachable) as refused:
            client.get(MODELS, f"/repos/{MODELS}/branches")
        assert is_left(refused.value.retry_after, pause)
        another = GitHubClient(github.api_url, credentials, Cache(valkey), [MODELS])
        asked = len(github.requests)
        assert is_left(raises(lambda: another.get(MODELS, f"/repos/{MODELS}")), pause)
        assert is_left(raises(lambda: client.write(MODELS, "POST", f"/repos/{MODELS}/issues")), pause)
        assert len(github.requests) == asked, "what is under way elsewhere asks for nothing either"


def test_a_look_stops_in_its_middle_where_only_the_reserve_is_left_and_goes_on_from_there(valkey: redis.Redis) -> None:
    with GitHubSandbox() as github:
        github.add_user("bot")
        github.add_repository(MODELS, {"a": "1"}, {"bot": "write"})
        credentials = Secret(github.add_token("bot"))
        client = GitHubClient(github.api_url, credentials, Cache(valkey), [MODELS])
        github.limit("bot", left=1252)  # of 5,000, of which sweeps leave a quarter
        client.serve(SWEEP)
        paths = [f"/repos/{MODELS}/{part}" for part in ("pulls", "issues", "deployments", "releases")]
        answers = (client.get(MODELS, path) for path in paths)
        with pytest.raises(NotYet, match="are left, which are kept for others"):
            list(answers)
        reached = len(github.requests)
        assert 0 < reached < len(paths)
        client.serve(PEOPLE)
        for path in paths:
            client.get(MODELS, path)
        assert len(github.requests) > reached


def test_an_error_of_githubs_is_no_pause(valkey: redis.Redis) -> None:
    with GitHubSandbox() as github:
        github.add_user("bot")
        github.add_repository(MODELS, {"a": "1"}, {"bot": "write"})
        client = GitHubClient(github.api_url, Secret(github.add_token("bot")), Cache(valkey), [MODELS])
        github.fail(f"GET /repos/{MODELS}", status=500)
        with pytest.raises(Unreachable):
            client.get(MODELS, f"/repos/{MODELS}")
        client.budget.expect(MODELS, SWEEP)
