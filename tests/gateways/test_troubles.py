"""What is wrong just now: services that do not answer are tried by one look at a time, failing keys are shown."""

from __future__ import annotations

import pytest
import redis

from bot.domain.errors import NotYet, Service
from bot.domain.keys import ModelKey
from bot.gateways import troubles as module
from bot.gateways.troubles import MOST_FAILURES, Standing, Troubles

KEY = ModelKey("acme/models", "fraud")


@pytest.fixture
def troubles(valkey: redis.Redis) -> Troubles:
    return Troubles(valkey)


def test_a_service_that_failed_once_or_twice_is_asked_by_everybody(troubles: Troubles) -> None:
    for _ in range(2):
        troubles.is_away(Service.MLFLOW, "no answer")
        troubles.expect(Service.MLFLOW)
        troubles.expect(Service.MLFLOW)


def test_then_one_look_at_a_time_tries_it(troubles: Troubles) -> None:
    for _ in range(3):
        troubles.is_away(Service.MLFLOW, "no answer")
    troubles.expect(Service.MLFLOW)  # this one tries
    with pytest.raises(NotYet, match="MLflow does not answer: no answer") as waits:
        troubles.expect(Service.GITHUB, Service.MLFLOW)
    assert waits.value.retry_after is not None
    assert 1 <= waits.value.retry_after <= 15
    troubles.expect(Service.GITHUB)


def test_when_it_answers_all_go_on(troubles: Troubles) -> None:
    for _ in range(3):
        troubles.is_away(Service.GITHUB, "502")
    troubles.expect(Service.GITHUB)
    troubles.is_back(Service.GITHUB, Service.MLFLOW)
    troubles.expect(Service.GITHUB)
    troubles.expect(Service.GITHUB)
    assert troubles.away() == ()


def test_it_is_said_since_when_and_what_was_said_last(troubles: Troubles) -> None:
    troubles.is_away(Service.GITHUB, "502")
    (first,) = troubles.away()
    troubles.is_away(Service.GITHUB, "503" + "x" * 1000)
    (second,) = troubles.away()
    assert (second.service, second.since, second.failures) == ("GitHub", first.since, 2)
    assert second.said.startswith("503")
    assert len(second.said) <= 300


def test_what_was_not_asked_for_long_is_not_called_away(troubles: Troubles, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        troubles.is_away(Service.ARTIFACTS, "no answer")
    monkeypatch.setattr(module, "_NOT_HEARD_OF", 0.0)
    assert troubles.away() == ()


def test_a_failing_key_is_counted_shown_and_forgotten_when_it_works(troubles: Troubles) -> None:
    assert [troubles.failed(KEY, f"KeyError {n}") for n in range(MOST_FAILURES)] == [1, 2, 3, 4, 5]
    (failing,) = troubles.failing()
    assert (failing.failures, failing.what, failing.standing) == (5, "KeyError 4", Standing.SET_ASIDE)
    troubles.worked(KEY)
    assert troubles.failing() == ()
    assert troubles.of(KEY) is None


def test_what_nobody_asked_for_any_more_is_forgotten(troubles: Troubles, monkeypatch: pytest.MonkeyPatch) -> None:
    troubles.failed(KEY, "KeyError")
    monkeypatch.setattr(module, "_FORGOTTEN", -1.0)
    assert troubles.failing() == ()
    assert troubles.of(KEY) is None


def test_an_emptied_redis_finds_out_again(troubles: Troubles, valkey: redis.Redis) -> None:
    for _ in range(3):
        troubles.is_away(Service.MLFLOW, "no answer")
    valkey.flushall()
    troubles.expect(Service.MLFLOW)
    troubles.expect(Service.MLFLOW)
