"""The simulation's queue keeps the promises of the real one: each is asked the same, and must answer the same."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final, Protocol

import pytest
import redis

from bot.domain.errors import LostLock
from bot.domain.keys import Key, ModelKey
from bot.gateways.queue import ACTIVE, INBOX, Claimed, WorkQueue
from tests.simulation.queue import SimulatedQueue, Stored
from workers.execution import give_back

KEY, OTHER, THIRD = (ModelKey("acme/models", name) for name in ("fraud", "churn", "risk"))
LEASE: Final = 3000.0  # seconds, beside which those that really go by are nothing
_RQ_LIST: Final = "rq:queue:promotion-candidate"


class Side(Protocol):
    """One of the two, with a clock that goes when it is told to."""

    queue: Any

    def hand_out(self) -> None:
        """What the scheduler does: due keys become jobs, which wait for a worker."""

    def take(self) -> list[Claimed]:
        """Everything that waits for a worker, in workers' hands."""

    def now(self) -> datetime: ...

    def go_by(self, seconds: float) -> None: ...

    def lose(self) -> None:
        """Redis is emptied."""


class Real:
    """The queue on Valkey. Time goes by as everything that has a time comes nearer."""

    def __init__(self, valkey: redis.Redis) -> None:
        self.queue = WorkQueue(valkey, LEASE)
        self._valkey = valkey
        self._handed: dict[bytes, Claimed] = {}  # by its token

    def hand_out(self) -> None:
        for claimed in self.queue.claim():
            self._valkey.rpush(_RQ_LIST, claimed.token)
            self._handed[claimed.token.encode()] = claimed

    def take(self) -> list[Claimed]:
        taken: Any = self._valkey.lrange(_RQ_LIST, 0, -1)
        self._valkey.delete(_RQ_LIST)
        return [self._handed[token] for token in taken]

    def now(self) -> datetime:
        return datetime.now(UTC)

    def go_by(self, seconds: float) -> None:
        for name in (INBOX, ACTIVE):
            rows: Any = self._valkey.zrange(name, 0, -1, withscores=True)
            for member, score in rows:
                if score > 0:  # what is asked for now has no time
                    self._valkey.zincrby(name, -seconds, member)

    def lose(self) -> None:
        self._valkey.flushall()


class Simulated:
    """The queue in memory."""

    def __init__(self) -> None:
        self._stored, self._now = Stored(), datetime(2026, 3, 2, 9, tzinfo=UTC)
        self.queue = SimulatedQueue(self._stored, self.now, self.now, _at_once, itertools.count(1))
        self.queue.lease = LEASE

    def hand_out(self) -> None:
        self.queue.dispatch()

    def take(self) -> list[Claimed]:
        taken, self._stored.handed[:] = [*self._stored.handed], []
        return taken

    def now(self) -> datetime:
        return self._now

    def go_by(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)

    def lose(self) -> None:
        self._stored.wipe()


def _at_once(_writes: bool, _what: str, do: Callable[[], Any]) -> Any:
    return do()


@pytest.fixture(params=["real", "simulated"])
def side(request: pytest.FixtureRequest) -> Side:
    return Real(request.getfixturevalue("valkey")) if request.param == "real" else Simulated()


def taken(side: Side) -> list[Claimed]:
    side.hand_out()
    return side.take()


def begun(side: Side) -> Claimed:
    """The one job there is, begun."""
    (claimed,) = taken(side)
    assert side.queue.begin(claimed)
    return claimed


def keys(those: list[Claimed]) -> list[Key]:
    return [claimed.key for claimed in those]


def is_mine(side: Side, claimed: Claimed) -> bool:
    try:
        side.queue.still_mine(claimed)
    except LostLock:
        return False
    return True


def test_what_is_asked_for_often_is_handed_out_once(side: Side) -> None:
    for _ in range(3):
        side.queue.request(KEY)
    side.queue.request(KEY, OTHER)
    assert sorted(keys(taken(side)), key=str) == [OTHER, KEY]
    assert taken(side) == []


def test_what_is_asked_for_while_it_runs_runs_once_more(side: Side) -> None:
    side.queue.request(KEY)
    claimed = begun(side)
    side.queue.request(KEY)
    side.queue.request(KEY)
    assert taken(side) == []
    side.queue.finish(claimed)
    side.queue.finish(begun(side))
    assert taken(side) == []


def test_a_run_answers_what_was_asked_before_it_began(side: Side) -> None:
    side.queue.request(KEY)
    (claimed,) = taken(side)
    side.queue.request(KEY)
    assert side.queue.begin(claimed)
    side.queue.finish(claimed)
    assert taken(side) == []


def test_what_is_due_later_waits_and_the_earliest_time_counts(side: Side) -> None:
    side.queue.request_at(KEY, side.now() + timedelta(seconds=300))
    side.queue.request_at(KEY, side.now() + timedelta(seconds=100))
    side.queue.request_at(KEY, side.now() + timedelta(seconds=200))
    side.go_by(90)
    assert taken(side) == []
    side.go_by(20)
    assert keys(taken(side)) == [KEY]


def test_what_is_due_later_is_not_answered_by_a_run_before(side: Side) -> None:
    side.queue.request(KEY)
    claimed = begun(side)
    side.queue.request_at(KEY, side.now() + timedelta(seconds=20))
    side.queue.finish(claimed)
    assert taken(side) == []
    side.go_by(21)
    assert keys(taken(side)) == [KEY]


def test_a_time_that_is_over_is_now(side: Side) -> None:
    side.queue.request_at(KEY, side.now() - timedelta(hours=1))
    assert keys(taken(side)) == [KEY]


def test_a_run_begins_once_and_only_under_its_token(side: Side) -> None:
    side.queue.request(KEY)
    (claimed,) = taken(side)
    assert not side.queue.begin(Claimed(KEY, "another"))
    assert not is_mine(side, claimed), "it has not begun"
    assert side.queue.begin(claimed)
    assert not side.queue.begin(claimed)
    assert is_mine(side, claimed)
    assert not is_mine(side, Claimed(KEY, "another"))


def test_a_lease_that_is_kept_lasts_and_one_that_is_not_is_lost(side: Side) -> None:
    side.queue.request(KEY)
    first = begun(side)
    for _ in range(3):
        side.go_by(LEASE * 0.7)
        assert is_mine(side, first)
        assert taken(side) == []
    side.go_by(LEASE + 1)
    second = begun(side)
    assert second.key == KEY
    assert not is_mine(side, first)
    side.queue.finish(first, 0.0)  # says nothing any more
    assert is_mine(side, second)
    side.queue.finish(second)
    assert taken(side) == []


def test_a_lease_that_is_over_counts_until_somebody_else_has_the_key(side: Side) -> None:
    side.queue.request(KEY)
    claimed = begun(side)
    side.go_by(LEASE + 1)
    assert is_mine(side, claimed)
    assert taken(side) == []


def test_what_only_waits_for_a_worker_is_not_late(side: Side) -> None:
    side.queue.request(KEY)
    side.hand_out()
    side.go_by(LEASE + 1)
    side.hand_out()
    (claimed,) = side.take()
    assert side.queue.begin(claimed)


def test_what_a_worker_took_and_never_began_is_handed_out_again(side: Side) -> None:
    side.queue.request(KEY)
    (first,) = taken(side)
    side.go_by(LEASE + 1)
    (second,) = taken(side)
    assert not side.queue.begin(first)
    assert side.queue.begin(second)


def test_a_run_may_ask_for_the_next_one_and_whoever_is_earlier_wins(side: Side) -> None:
    side.queue.request(KEY)
    side.queue.finish(begun(side), 60.0)
    assert taken(side) == []
    side.queue.request(KEY)
    claimed = begun(side)
    side.queue.request(KEY)
    side.queue.finish(claimed, 60.0)
    assert keys(taken(side)) == [KEY]


def test_what_was_killed_is_given_back(side: Side) -> None:
    side.queue.request(KEY)
    claimed = begun(side)
    give_back(claimed, side.queue, 0.0)
    assert not is_mine(side, claimed)
    side.go_by(LEASE)
    assert keys(taken(side)) == [KEY]


def test_attempts_are_counted_until_they_are_forgotten(side: Side) -> None:
    assert [side.queue.count_attempt(KEY) for _ in range(3)] == [1, 2, 3]
    assert side.queue.count_attempt(OTHER) == 1
    side.queue.forget_attempts(KEY)
    assert side.queue.count_attempt(KEY) == 1


def test_an_emptied_queue_has_no_tokens(side: Side) -> None:
    side.queue.request(KEY, OTHER)
    first, waiting = taken(side)
    assert side.queue.begin(first)
    side.lose()
    assert not is_mine(side, first)
    assert not side.queue.begin(waiting)
    side.queue.finish(first, 0.0)
    assert taken(side) == []


@pytest.mark.parametrize("seed", range(8))
def test_both_tell_the_same_of_whatever_happens(valkey: redis.Redis, seed: int) -> None:
    sides = Walk(Real(valkey), seed), Walk(Simulated(), seed)
    for _ in range(150):
        told, simulated = (walk.step() for walk in sides)
        assert told == simulated, sides[0].steps


class Walk:
    """Things that happen to one side, the same ones for each seed."""

    def __init__(self, side: Side, seed: int) -> None:
        self._side, self._random = side, Random(seed)
        self._jobs: dict[Key, list[Claimed]] = {key: [] for key in (KEY, OTHER, THIRD)}
        self.steps: list[str] = []

    def step(self) -> object:
        """One thing, and what is seen of it."""
        key, queue = self._random.choice((KEY, OTHER, THIRD)), self._side.queue
        what = self._random.choice(("request", "later", "hand out", "take", "begin", "mine", "finish", "again", "time"))
        # An old job of the key, or its newest.
        jobs, older = self._jobs[key], self._random.random() < 0.2
        job = (jobs[0] if older else jobs[-1]) if jobs else None
        seconds = self._random.choice((700.0, 1300.0, 4100.0))
        self.steps.append(f"{what} {key.model} {seconds}")
        match what:
            case "request":
                queue.request(key)
            case "later":
                queue.request_at(key, self._side.now() + timedelta(seconds=seconds))
            case "hand out":
                self._side.hand_out()
            case "take":
                found = self._side.take()
                for claimed in found:
                    self._jobs[claimed.key].append(claimed)
                return sorted(str(claimed.key) for claimed in found)
            case "begin" if job:
                return queue.begin(job)
            case "mine" if job:
                return is_mine(self._side, job)
            case "finish" if job:
                queue.finish(job)
            case "again" if job:
                queue.finish(job, seconds)
            case "time":
                self._side.go_by(seconds + 50)
        return None
