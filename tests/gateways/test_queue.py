"""The queue on a real server: once in the queue, once at a time, one more run remembered, and nothing lost for good."""

from __future__ import annotations

import hmac
import random
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bot.domain.errors import LostLock, Misconfigured, Unreachable
from bot.domain.keys import (
    EnvironmentKey,
    ModelKey,
    PullRequestKey,
    RegisteredModelKey,
    RepositoryKey,
)
from bot.gateways.cache import Cache, sealing_key
from bot.gateways.queue import ACTIVE, WINDOW, Claimed, WorkQueue
from bot.gateways.redis_connection import connect
from bot.settings import AppCredentials, Secret
from tests.conftest import wait_until
from tests.passing import end_leases, make_due

KEY = ModelKey("acme/models", "fraud-detector")
OTHER = PullRequestKey("acme/models", 7)
HOUR = timedelta(hours=1)
RQ_LIST = "rq:queue:promotion-candidate"


@pytest.fixture
def queue(valkey: redis.Redis) -> WorkQueue:
    return WorkQueue(valkey)


def claim_one(queue: WorkQueue) -> Claimed:
    (claimed,) = queue.claim()
    return claimed


def test_a_key_waits_once_however_often_it_is_asked_for(queue: WorkQueue) -> None:
    for _ in range(5):
        queue.request(KEY)
    queue.request(KEY, OTHER)
    assert {c.key for c in queue.claim()} == {KEY, OTHER}
    assert queue.claim() == ()


@pytest.mark.parametrize(
    "key",
    [
        KEY,
        OTHER,
        EnvironmentKey("acme/models", "production"),
        RepositoryKey("acme/models"),
        RegisteredModelKey("a\nname “with” [everything], 模型"),
    ],
)
def test_every_kind_of_key_comes_out_as_it_went_in(queue: WorkQueue, key: ModelKey) -> None:
    queue.request(key)
    assert claim_one(queue).key == key


def test_what_is_asked_for_now_comes_in_the_order_of_asking(queue: WorkQueue) -> None:
    keys = [RegisteredModelKey(f"model-{n}") for n in random.Random(7).sample(range(50), 50)]
    for key in keys:
        queue.request(key)
    assert [c.key for c in queue.claim()] == keys


def test_a_host_whose_clock_is_ahead_asks_for_now_all_the_same(
    queue: WorkQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    tomorrow = time.time() + 86_400
    monkeypatch.setattr(time, "time", lambda: tomorrow)
    queue.request(KEY)
    assert claim_one(queue).key == KEY


def test_a_later_time_waits_and_an_earlier_one_wins(queue: WorkQueue) -> None:
    now = datetime.now(UTC)
    queue.request_at(KEY, now + HOUR)
    assert queue.claim() == ()
    queue.request_at(KEY, now - HOUR)
    queue.request_at(KEY, now + HOUR)
    assert claim_one(queue).key == KEY


def test_now_is_earlier_than_any_time_and_stays_so(queue: WorkQueue) -> None:
    queue.request(KEY)
    queue.request_at(KEY, datetime.now(UTC) + HOUR)
    assert claim_one(queue).key == KEY


def test_a_time_comes(queue: WorkQueue, valkey: redis.Redis) -> None:
    queue.request_at(KEY, datetime.now(UTC) + HOUR)
    assert queue.claim() == ()
    make_due(valkey, KEY)
    assert claim_one(queue).key == KEY


def test_events_that_came_before_the_run_began_are_answered_by_it(queue: WorkQueue) -> None:
    queue.request(KEY)
    claimed = claim_one(queue)
    queue.request(KEY)  # while it waits in RQ
    assert queue.begin(claimed)
    queue.finish(claimed)
    assert queue.claim() == ()


def test_an_event_during_the_run_is_one_more_run(queue: WorkQueue) -> None:
    queue.request(KEY)
    claimed = claim_one(queue)
    assert queue.begin(claimed)
    for _ in range(3):
        queue.request(KEY)
    assert queue.claim() == (), "never beside the run"
    queue.finish(claimed)
    again = claim_one(queue)
    assert again.token != claimed.token
    assert queue.begin(again)
    queue.finish(again)
    assert queue.claim() == (), "and only one more"


def test_a_later_look_survives_the_beginning_of_an_earlier_one(queue: WorkQueue) -> None:
    queue.request(KEY)
    claimed = claim_one(queue)
    assert queue.begin(claimed)
    queue.request_at(KEY, datetime.now(UTC) + HOUR)
    queue.finish(claimed)
    assert queue.depth().later == 1


def test_a_time_in_the_future_is_not_absorbed(queue: WorkQueue) -> None:
    queue.request(KEY)
    claimed = claim_one(queue)
    assert queue.begin(claimed)
    queue.finish(claimed)
    queue.request_at(KEY, datetime.now(UTC) + HOUR)
    queue.request(OTHER)
    assert queue.begin(claim_one(queue))
    assert queue.depth().later == 1


def test_a_twin_of_the_same_job_does_not_run(queue: WorkQueue) -> None:
    queue.request(KEY)
    claimed = claim_one(queue)
    assert queue.begin(claimed)
    assert not queue.begin(claimed)
    queue.finish(claimed)
    assert not queue.begin(claimed), "nor afterwards"


def test_an_ended_lease_hands_the_key_to_somebody_else(queue: WorkQueue, valkey: redis.Redis) -> None:
    queue.request(KEY)
    dead = claim_one(queue)
    assert queue.begin(dead)
    assert queue.claim() == ()
    end_leases(valkey, KEY)
    heir = claim_one(queue)
    assert heir.key == KEY
    assert heir.token != dead.token
    with pytest.raises(LostLock):
        queue.still_mine(dead)
    queue.finish(dead, again_after=0.0)  # releases nothing that is not its own
    assert queue.begin(heir)
    queue.still_mine(heir)


def test_a_job_that_waits_in_rq_keeps_its_token_however_long(queue: WorkQueue, valkey: redis.Redis) -> None:
    queue.request(KEY)
    waiting = claim_one(queue)
    valkey.rpush(RQ_LIST, waiting.token)
    for _ in range(3):
        end_leases(valkey, KEY)
        assert queue.claim() == ()
    assert queue.begin(waiting)


def test_a_job_that_never_reached_rq_is_handed_out_again(queue: WorkQueue, valkey: redis.Redis) -> None:
    queue.request(KEY)
    lost = claim_one(queue)  # and the dispatcher dies before it tells RQ
    end_leases(valkey, KEY)
    assert claim_one(queue).key == KEY
    assert not queue.begin(lost)


def test_a_lease_that_is_extended_does_not_end(queue: WorkQueue, valkey: redis.Redis) -> None:
    queue.request(KEY)
    mine = claim_one(queue)
    assert queue.begin(mine)
    for _ in range(3):
        end_leases(valkey, KEY)
        queue.still_mine(mine)
        assert queue.claim() == ()


def test_an_emptied_redis_stops_a_run_before_its_next_effect(queue: WorkQueue, valkey: redis.Redis) -> None:
    queue.request(KEY)
    running = claim_one(queue)
    assert queue.begin(running)
    queue.still_mine(running)
    valkey.flushall()
    with pytest.raises(LostLock):
        queue.still_mine(running)
    queue.finish(running, again_after=0.0)
    assert queue.claim() == ()
    queue.request(KEY)  # the sweep
    assert claim_one(queue).key == KEY


def test_an_emptied_script_cache_is_filled_again(queue: WorkQueue, valkey: redis.Redis) -> None:
    queue.request(KEY)
    valkey.script_flush()
    assert queue.begin(claim_one(queue))


def test_a_retry_comes_after_its_time(queue: WorkQueue, valkey: redis.Redis) -> None:
    queue.request(KEY)
    claimed = claim_one(queue)
    assert queue.begin(claimed)
    queue.finish(claimed, again_after=HOUR.total_seconds())
    assert queue.claim() == ()
    make_due(valkey, KEY)
    assert claim_one(queue).key == KEY


def test_attempts_count_up_until_something_worked(queue: WorkQueue) -> None:
    assert [queue.count_attempt(KEY) for _ in range(3)] == [1, 2, 3]
    assert queue.count_attempt(OTHER) == 1
    queue.forget_attempts(KEY)
    assert queue.count_attempt(KEY) == 1


def test_two_dispatchers_never_hand_out_the_same_key(valkey_url: Secret, queue: WorkQueue) -> None:
    keys = [RegisteredModelKey(f"m{n}") for n in range(WINDOW)]
    queue.request(*keys)
    queues = [WorkQueue(connect(valkey_url)) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        claims = [c for batch in pool.map(lambda q: q.claim(), queues) for c in batch]
    assert sorted(c.key.model for c in claims if isinstance(c.key, RegisteredModelKey)) == sorted(k.model for k in keys)


def test_depth_says_how_much_there_is_to_do(queue: WorkQueue) -> None:
    assert queue.depth().oldest == 0
    queue.request(KEY)
    queue.request_at(RepositoryKey("acme/models"), datetime.now(UTC) + HOUR)
    claim_one(queue)
    queue.request(KEY)
    depth = queue.depth()
    assert (depth.due, depth.later, depth.active) == (1, 1, 1)
    assert 0 <= depth.oldest < 60


def test_depth_knows_the_age_of_a_time_that_has_come(queue: WorkQueue) -> None:
    queue.request_at(KEY, datetime.now(UTC) - timedelta(seconds=100))
    wait_until(lambda: queue.depth().oldest > 0.2, "it waits since it was asked for")
    assert queue.depth().oldest < 60, "and not since the time that another clock named"


def test_what_became_of_looks_is_counted(queue: WorkQueue) -> None:
    queue.record("Model", "done", 1.5)
    queue.record("Model", "done", 0.5)
    queue.record("PullRequest", "failed", 0.25)
    assert [(t.kind, t.result, t.count, t.seconds) for t in queue.tallies()] == [
        ("Model", "done", 2, 2.0),
        ("PullRequest", "failed", 1, 0.25),
    ]


def test_a_redis_that_is_away_is_unreachable_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("redis.retry.sleep", slept.append)
    away = WorkQueue(connect(Secret("redis://127.0.0.1:1")))
    with pytest.raises(Unreachable, match="Redis does not answer"):
        away.request(KEY)
    with pytest.raises(Unreachable):
        away.ready()
    with pytest.raises(Unreachable):
        WorkQueue(connect(Secret(f"unix://{tmp_path}/nothing.sock"))).claim()
    assert slept == []


def test_wrong_credentials_are_a_matter_of_settings(valkey: redis.Redis, valkey_url: Secret) -> None:
    valkey.config_set("requirepass", "right")
    try:
        with pytest.raises(Misconfigured, match="REDIS_URL"):
            WorkQueue(connect(valkey_url)).ready()
    finally:
        valkey.execute_command("AUTH", "right")
        valkey.config_set("requirepass", "")


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://:very-secret@host:26379",
        "redis+sentinel://:very-secret@/service",
        "redis+sentinel://:very-secret@host:port/service",
        "redis://:very-secret@host:notaport/0",
    ],
)
def test_a_url_that_cannot_be_read_is_said_without_its_password(url: str) -> None:
    with pytest.raises(Misconfigured) as raised:
        connect(Secret(url))
    assert "REDIS_URL" in str(raised.value)
    assert "very-secret" not in str(raised.value)


# --- the whole life of one key, in every order -----------------------------------------------------------------------

STEPS = st.lists(st.sampled_from(["request", "claim", "begin", "finish", "die", "empty"]), max_size=40)


@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=STEPS)
def test_whatever_happens_a_key_runs_once_at_a_time_and_is_not_forgotten(valkey: redis.Redis, steps: list[str]) -> None:
    """A request is always followed by a look that began after it, unless Redis was emptied since."""
    valkey.flushall()
    queue = WorkQueue(valkey)
    handed: list[Claimed] = []
    running: list[Claimed] = []
    owed = False
    for step in steps:
        match step:
            case "request":
                queue.request(KEY)
                owed = True
            case "claim":
                handed += queue.claim()
            case "begin":
                for claimed in handed:
                    if queue.begin(claimed):
                        running.append(claimed)
                        owed = False
            case "finish":
                for claimed in running:
                    queue.finish(claimed)
                running.clear()
            case "die":  # the lease ends and nobody says anything
                owed = owed or bool(valkey.zcard(ACTIVE))
                end_leases(valkey, KEY)
                handed += queue.claim()
            case "empty":
                valkey.flushall()
                owed = False
        alive = [claimed for claimed in running if holds(queue, claimed)]
        assert len(alive) <= 1
        running = alive
    for claimed in running:
        queue.finish(claimed)
    fresh = [*handed, *queue.claim()]
    assert not owed or any(queue.begin(claimed) for claimed in fresh)


def holds(queue: WorkQueue, claimed: Claimed) -> bool:
    try:
        queue.still_mine(claimed)
    except LostLock:
        return False
    return True


# --- the cache --------------------------------------------------------------------------------------------------------


def test_the_cache_gives_back_what_it_was_given(valkey: redis.Redis) -> None:
    cache = Cache(valkey)
    assert cache.get("digest:1") is None
    cache.set("digest:1", b"\x00\xff" * 1000, ttl=60)
    assert cache.get("digest:1") == b"\x00\xff" * 1000
    assert 0 < valkey.ttl("promotion:cache:digest:1") <= 60


def test_the_cache_never_fails_a_job(valkey: redis.Redis) -> None:
    away = Cache(connect(Secret("redis://127.0.0.1:1")))
    away.set("key", b"value", ttl=60)
    assert away.get("key") is None
    valkey.set("promotion:cache:broken", b"not packed")
    valkey.sadd("promotion:cache:other", "a set")
    assert Cache(valkey).get("broken") is None
    assert Cache(valkey).get("other") is None


def test_the_cache_leaves_out_what_is_too_large(valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(valkey)
    monkeypatch.setattr("bot.gateways.cache._LARGEST", 1000)
    cache.set("large", b"0" * 1001, ttl=60)
    cache.set("full", b"0" * 1000, ttl=60)
    assert cache.get("large") is None
    assert cache.get("full") == b"0" * 1000


# Redis holds what it was told, by whomever: only what the bot sealed itself is believed.


def test_the_cache_is_shared_by_those_who_sign_in_alike(valkey: redis.Redis) -> None:
    app, token = AppCredentials("1", Secret("the App's key")), Secret("a token")
    Cache(valkey, sealing_key(app)).set("key", b"value", ttl=60)
    assert Cache(valkey, sealing_key(app)).get("key") == b"value"
    assert Cache(valkey, sealing_key(token)).get("key") is None
    assert Cache(valkey).get("key") is None
    assert sealing_key(Secret("")) is None


@pytest.mark.parametrize(
    "forged",
    [
        b"",
        b"short",
        zlib.compress(b"a policy that accepts everything"),
        b"\0" * 32 + struct.pack(">d", 1e12) + zlib.compress(b"a policy that accepts everything"),
        hmac.digest(b"a guess", struct.pack(">d", 1e12) + zlib.compress(b"x"), "sha256")
        + struct.pack(">d", 1e12)
        + zlib.compress(b"x"),
    ],
)
def test_what_somebody_else_put_into_the_cache_is_a_miss(valkey: redis.Redis, forged: bytes) -> None:
    valkey.set("promotion:cache:key", forged)
    assert Cache(valkey).get("key") is None


def test_a_value_holds_under_its_own_name_in_one_piece(valkey: redis.Redis) -> None:
    cache = Cache(valkey)
    cache.set("policy", b"strict", ttl=60)
    stored = valkey.get("promotion:cache:policy")
    assert isinstance(stored, bytes)
    valkey.set("promotion:cache:other", stored)
    assert cache.get("other") is None
    for place in range(len(stored)):
        changed = bytearray(stored)
        changed[place] ^= 1
        valkey.set("promotion:cache:policy", bytes(changed))
        assert cache.get("policy") is None
    valkey.set("promotion:cache:policy", stored)
    assert cache.get("policy") == b"strict"


def test_a_value_cannot_be_kept_beyond_its_time(valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(valkey)
    cache.set("key", b"value", ttl=60)
    valkey.persist("promotion:cache:key")
    assert cache.get("key") == b"value"
    later = time.time() + 61
    monkeypatch.setattr("bot.gateways.cache.time.time", lambda: later)
    assert cache.get("key") is None
