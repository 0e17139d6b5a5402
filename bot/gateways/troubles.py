"""What is wrong just now, in Redis: services that do not answer, and keys whose looks fail; for workers and the board.

A service that failed some times in a row is not asked by every look any more: one look at a time tries it, the others
are put back. A key whose looks end in mistakes is tried by the sweep some times, then once a day, and a week after the
first failure no more; an event, a person or another version of the bot tries it at any time. The sweep itself is
always tried: everything else hangs on it. What fails for want of settings, rights or an answer is tried on and shown.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version as version_of
from typing import Any, Final

import redis

from bot.domain.errors import NotYet, Service
from bot.domain.keys import Key, dump_key
from bot.gateways.redis_connection import PREFIX, asked_of_redis

_AWAY: Final = f"{PREFIX}away"  # hash: service -> since when, the last failure, how many in a row, what was said last
_PROBE: Final = f"{PREFIX}probe"  # string a service, for as long as one look tries it
_FAILING: Final = f"{PREFIX}failing"  # hash: key -> how often its looks failed, since when, when last, of what
_FAILURES_IN_A_ROW: Final = 3
_PROBE_EVERY: Final = 15.0  # seconds
_NOT_HEARD_OF: Final = 900.0  # seconds without a failure, after which nobody knows whether a service is away
_FORGOTTEN: Final = 7 * 86_400  # seconds without a new failure

MOST_FAILURES: Final = 5
SET_ASIDE_FOR: Final = 86_400.0  # seconds until the sweep tries a failing key again
GIVEN_UP_AFTER: Final = 7 * 86_400.0  # seconds since the first failure
_VERSION: Final = version_of("promotion-bot")
_LONGEST_SAID: Final = 300


@dataclass(frozen=True, slots=True)
class Away:
    """A service that does not answer: since when (Unix time), and what the last failure said."""

    service: str
    since: float
    failures: int
    said: str


class Cause(StrEnum):
    """Why looks at a key fail: a mistake in the bot, or settings, rights and answers that are wrong outside of it."""

    MISTAKE = "mistake"
    OUTSIDE = "outside"


class Standing(StrEnum):
    """What the sweep does with a key whose looks fail: tries it each time, once a day, or no more."""

    TRIED = "tried"
    SET_ASIDE = "set aside"
    GIVEN_UP = "given up"


@dataclass(frozen=True, slots=True)
class Failing:
    """A key whose looks fail: how often in a row, since when and when last (Unix times), and of what.

    `by` is the version of the bot that counted: another one starts anew.
    """

    key: str
    failures: int
    since: float
    at: float
    what: str
    cause: Cause = Cause.MISTAKE
    by: str = _VERSION

    @property
    def repository(self) -> str:
        """Whose key it is; empty where it is none."""
        match _parsed(self.key.encode()):
            case [_, str(repository), *_]:
                return repository
        return ""

    @property
    def standing(self) -> Standing:
        """What the sweep does with it."""
        is_sweep = self.key.startswith('["repository"')
        if self.failures < MOST_FAILURES or self.cause is Cause.OUTSIDE or self.by != _VERSION or is_sweep:
            return Standing.TRIED
        return Standing.SET_ASIDE if self.at - self.since < GIVEN_UP_AFTER else Standing.GIVEN_UP

    def is_left_alone(self, now: float) -> bool:
        """Whether a sweep at the Unix time `now` passes it over."""
        waits = self.standing is Standing.SET_ASIDE and now - self.at < SET_ASIDE_FOR
        return waits or self.standing is Standing.GIVEN_UP


class Troubles:
    """What is wrong just now; an emptied Redis has forgotten it, and finds out again."""

    def __init__(self, connection: redis.Redis) -> None:
        self._redis = connection

    # --- services -------------------------------------------------------------------------------------------------

    def is_away(self, service: Service, said: str) -> None:
        """Remember that a service did not answer."""
        there, now = self._away().get(service), time.time()
        since, failures = (there.since, there.failures) if there else (now, 0)
        row = json.dumps([since, now, failures + 1, said[:_LONGEST_SAID]])
        with asked_of_redis():
            self._redis.hset(_AWAY, service, row)

    def is_back(self, *services: Service) -> None:
        """Forget that services were away."""
        if services:
            with asked_of_redis():
                self._redis.hdel(_AWAY, *services)

    def expect(self, *services: Service) -> None:
        """Raise NotYet while a service is away and somebody else tries it already."""
        for service, away in self._away().items():
            if service not in services or away.failures < _FAILURES_IN_A_ROW:
                continue
            with asked_of_redis():
                mine = self._redis.set(f"{_PROBE}:{service}", b"1", nx=True, px=int(_PROBE_EVERY * 1000))
                left: Any = 0 if mine else self._redis.pttl(f"{_PROBE}:{service}")
            if not mine:
                raise NotYet(f"{service} does not answer: {away.said}", max(1.0, left / 1000))

    def away(self) -> tuple[Away, ...]:
        """The services that did not answer when they were asked last, by name."""
        return tuple(away for _, away in sorted(self._away().items()))

    def _away(self) -> dict[str, Away]:
        with asked_of_redis():
            rows: Any = self._redis.hgetall(_AWAY)
        return {away.service: away for name, row in rows.items() for away in _away(name.decode(), row)}

    # --- keys -----------------------------------------------------------------------------------------------------

    def failed(self, key: Key, what: str, cause: Cause = Cause.MISTAKE) -> int:
        """Remember that a look at a key failed; how often in a row it has now, of the same cause."""
        there, now = self.of(key), time.time()
        goes_on = there is not None and there.cause is cause and there.by == _VERSION
        failures, since = (there.failures + 1, there.since) if there is not None and goes_on else (1, now)
        row = json.dumps([failures, since, now, what[:_LONGEST_SAID], cause, _VERSION])
        with asked_of_redis():
            self._redis.hset(_FAILING, dump_key(key), row)
        return failures

    def worked(self, key: Key) -> None:
        """Forget what was wrong with a key."""
        with asked_of_redis():
            self._redis.hdel(_FAILING, dump_key(key))

    def of(self, key: Key) -> Failing | None:
        """What is wrong with a key; None where nothing is."""
        with asked_of_redis():
            row: Any = self._redis.hget(_FAILING, dump_key(key))
        return next(_failing(dump_key(key), row), None) if row else None

    def failing(self) -> tuple[Failing, ...]:
        """The keys whose looks fail, the newest failure first.

        What nobody asked for any more is forgotten; what was given up stays in sight.
        """
        with asked_of_redis():
            rows: Any = self._redis.hgetall(_FAILING)
        found = [failing for key, row in rows.items() for failing in _failing(key.decode("utf-8", "replace"), row)]
        long_ago = time.time() - _FORGOTTEN
        old = [each.key for each in found if each.at < long_ago and each.standing is not Standing.GIVEN_UP]
        if old:
            with asked_of_redis():
                self._redis.hdel(_FAILING, *old)
        return tuple(sorted((f for f in found if f.key not in old), key=lambda f: -f.at))

    def failing_of(self, served: Collection[str]) -> tuple[Failing, ...]:
        """The same of these repositories alone: nobody could mend what is not served any more."""
        return tuple(each for each in self.failing() if each.repository in served)


def _away(service: str, row: bytes) -> Iterator[Away]:
    """What a row says, unless it is too old to say anything; nothing where another version wrote it otherwise."""
    match _parsed(row):
        case [float(since), float(last), int(failures), str(said), *_] if time.time() - last < _NOT_HEARD_OF:
            yield Away(service, since, failures, said)


def _failing(key: str, row: bytes) -> Iterator[Failing]:
    """What a row says; nothing where another version wrote it otherwise."""
    match _parsed(row):
        case [int(failures), float(since), float(at), str(what), str(cause), str(by), *_] if cause in set(Cause):
            yield Failing(key, failures, since, at, what, Cause(cause), by)


def _parsed(row: bytes) -> Any:  # noqa: ANN401 - whatever stands in Redis
    try:
        return json.loads(row)
    except (ValueError, RecursionError):
        return None
