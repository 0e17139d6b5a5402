"""The requests that GitHub allows in an hour, shared between repositories and kept for what is urgent.

GitHub counts an installation's requests and says with each answer how many are left until when
(https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#checking-the-status-of-your-rate-limit).
A request is sent only where the urgency of its look leaves a reserve for what is more urgent, and where its repository
leaves the others their share of the rest of the hour. A pause that GitHub asks for holds for every worker. A look that
has to stop in its middle keeps what it read, and goes on from there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import redis

from bot.domain.errors import NotYet
from bot.domain.keys import Urgency
from bot.gateways.redis_connection import PREFIX, asked_of_redis

RESERVE: Final[Mapping[Urgency, float]] = {Urgency.PEOPLE: 0.0, Urgency.CANDIDATE: 0.1, Urgency.SWEEP: 0.25}
_SHARED: Final = 1.0 - RESERVE[Urgency.CANDIDATE]  # of an hour's requests, divided between the repositories
_HOUR: Final = 3600.0
_LONGEST: Final = 600.0  # seconds until a look that waits for the others' share is tried again


@dataclass(frozen=True, slots=True)
class Left:
    """How many requests are left of `limit` until `reset` (Unix time), and how many each repository has made."""

    limit: int
    left: int
    reset: float
    spent: Mapping[str, int] = field(default_factory=dict)


def too_early(left: Left, repository: str, others: Sequence[str], urgency: Urgency, now: float) -> float | None:
    """In how many seconds a look at `repository` may begin; None where it may now.

    What people wait for always may, while anything is left. Of the rest, `others` keep the requests of their fair
    share that they have not made, less and less of them as the hour goes by.
    """
    if left.reset <= now:
        return None
    wait = left.reset - now
    if left.left <= RESERVE[urgency] * left.limit:
        return wait
    if urgency is Urgency.PEOPLE or not others:
        return None
    share = _SHARED * left.limit / (len(others) + 1)
    kept = sum(max(0.0, share - left.spent.get(other, 0)) for other in others) * min(1.0, wait / _HOUR)
    is_over = left.spent.get(repository, 0) > share
    return min(wait, _LONGEST) if is_over and left.left <= kept + RESERVE[urgency] * left.limit else None


def owner_of(repository: str) -> str:
    """Whose installation of an App it is."""
    return repository.partition("/")[0].lower()


class Budget:
    """What is left of one identity's requests, as the last answers said; without Redis nothing is kept.

    `account_of` names what GitHub counts a repository's requests for: its owner's installation, or all of a token.
    """

    def __init__(
        self,
        connection: redis.Redis | None,
        who: str,
        served: Sequence[str] = (),
        account_of: Callable[[str], str] = owner_of,
    ) -> None:
        self._redis = connection
        self._who = who
        self._served = tuple(served)
        self._account_of = account_of

    def heard(self, repository: str, headers: Mapping[str, str]) -> None:
        """Take down what an answer says; one that counted nothing (304) need not be told."""
        limit, left, reset = (headers.get(f"x-ratelimit-{name}", "") for name in ("limit", "remaining", "reset"))
        if self._redis is None or not (limit.isdigit() and left.isdigit() and reset.isdigit()):
            return
        spent = f"{self._key(repository)}:spent:{reset}"
        with asked_of_redis(), self._redis.pipeline(transaction=False) as pipe:
            pipe.set(self._key(repository), json.dumps([int(limit), int(left), float(reset)]), ex=int(_HOUR))
            pipe.hincrby(spent, repository.lower(), 1)
            pipe.expire(spent, int(_HOUR))
            pipe.execute()

    def pause(self, repository: str, seconds: float) -> None:
        """GitHub asked for a pause: nobody asks it for anything until it is over."""
        if self._redis is not None:
            with asked_of_redis():
                self._redis.set(f"{self._key(repository)}:pause", b"1", px=int(max(1.0, seconds) * 1000))

    def expect(self, repository: str, urgency: Urgency) -> None:
        """Raise NotYet where a request for a look of this urgency has to wait."""
        if self._redis is None:
            return
        with asked_of_redis():
            pause: Any = self._redis.pttl(f"{self._key(repository)}:pause")
        if pause > 0:
            raise NotYet("GitHub asked for a pause", pause / 1000)
        left, now = self.left(repository), time.time()
        account = self._account_of(repository)
        others = [n.lower() for n in self._served if n != repository and self._account_of(n) == account]
        wait = too_early(left, repository.lower(), others, urgency, now) if left else None
        if left is not None and wait is not None:
            raise NotYet(f"{left.left} of {left.limit} requests to GitHub are left, which are kept for others", wait)

    def left(self, repository: str) -> Left | None:
        """What GitHub said last of the requests that are left; None where it said nothing yet."""
        if self._redis is None:
            return None
        with asked_of_redis():
            row: Any = self._redis.get(self._key(repository))
            if row is None:
                return None
            match json.loads(row):
                case [int(limit), int(left), float(reset)]:
                    pass
                case _:
                    return None  # another version's
            spent: Any = self._redis.hgetall(f"{self._key(repository)}:spent:{int(reset)}")
        return Left(limit, left, reset, {name.decode(): int(count) for name, count in spent.items()})

    def _key(self, repository: str) -> str:
        return f"{PREFIX}budget:{self._who}:{self._account_of(repository)}"
