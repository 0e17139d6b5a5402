"""The doctor on the queue's server: a real one, told to behave as it should not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import redis

from bot.settings import Secret, Settings
from workers.diagnosis import Diagnosis, State
from workers.diagnosis.queue_server import look_at_queue


@contextmanager
def configured(valkey: redis.Redis, **wanted: str) -> Iterator[None]:
    before = {name: valkey.config_get(name)[name] for name in wanted}  # type: ignore[index]
    for name, value in wanted.items():
        valkey.config_set(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            valkey.config_set(name, value)


@pytest.fixture
def named(settings: Settings, valkey_url: Secret) -> Settings:
    return replace(settings, redis_url=valkey_url)


def looks(settings: Settings) -> dict[str, Diagnosis]:
    found = {each.what: each for each in look_at_queue(settings)}
    assert all(each.state is State.GOOD or each.mend for each in found.values())
    return found


def test_a_server_that_is_right(named: Settings, valkey: redis.Redis) -> None:
    found = looks(named)
    assert {each.state for each in found.values()} == {State.GOOD}
    assert found["queue"].says.startswith("Valkey ")


def test_a_policy_that_evicts_the_queue(named: Settings, valkey: redis.Redis) -> None:
    with configured(valkey, **{"maxmemory-policy": "allkeys-lru"}):
        eviction = looks(named)["queue: eviction"]
    assert eviction.state is State.BAD
    assert "CONFIG SET maxmemory-policy noeviction" in eviction.mend
    with configured(valkey, **{"maxmemory-policy": "volatile-lru"}):
        assert looks(named)["queue: eviction"].state is State.GOOD


def test_memory_that_is_nearly_full(named: Settings, valkey: redis.Redis) -> None:
    used = int(valkey.info("memory")["used_memory"])
    with configured(valkey, maxmemory=str(int(used * 1.05))):
        assert looks(named)["queue: eviction"].state is State.UNKNOWN


def test_a_server_that_forgets_everything_when_it_restarts(named: Settings, valkey: redis.Redis) -> None:
    with configured(valkey, appendonly="no", save=""):
        persistence = looks(named)["queue: persistence"]
        assert persistence.state is State.UNKNOWN
        assert "nothing is lost" in persistence.says
    with configured(valkey, appendonly="no", save="3600 1"):
        assert looks(named)["queue: persistence"].state is State.GOOD


def test_a_server_that_is_away(settings: Settings) -> None:
    (queue,) = look_at_queue(replace(settings, redis_url=Secret("redis://127.0.0.1:1")))
    assert queue.state is State.AWAY
    assert queue.mend
