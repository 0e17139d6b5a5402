"""Not faster than GitHub allows: writes of all workers together, counted in Redis before each is sent.

GitHub lets an installation create about 80 pieces of content a minute and 500 an hour, and spend 900 points a minute on
one endpoint, of which a write costs 5
(https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits). A job
whose turn comes in a moment waits for it; any other gives its key back to the queue, with the time of its turn.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import redis

from bot.domain.errors import NotYet
from bot.gateways.redis_connection import PREFIX, asked_of_redis

_LONGEST_WAIT: Final = 2.0  # seconds that a job waits for its turn; longer ones give their worker back
_SLOW_FOR: Final = 600  # seconds of a second between writes after GitHub asked for a pause all the same
_CREATES = re.compile(r"/repos/[^/]+/[^/]+/(pulls|issues|issues/\d+/comments|pulls/\d+/reviews)")
_IDS = re.compile(r"/(?:\d+|[0-9a-f]{40}|refs/.*)(?=/|$)")

# One slot in each window, or the seconds until there is one.
_TAKE = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1e6
local wait = 0
for i, key in ipairs(KEYS) do
  local limit, window = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now - window)
  if redis.call('ZCARD', key) >= limit then
    local first = redis.call('ZRANGE', key, -limit, -limit, 'WITHSCORES')
    wait = math.max(wait, tonumber(first[2]) + window - now)
  end
end
if wait > 0 then return string.format('%.3f', math.max(wait, 0.001)) end
for i, key in ipairs(KEYS) do
  redis.call('ZADD', key, now, ARGV[1])
  redis.call('EXPIRE', key, math.ceil(tonumber(ARGV[2 * i + 1])) + 1)
end
return '0'
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many writes in how many seconds; a little below what GitHub allows, whose clock is not ours."""

    content: tuple[tuple[int, float], ...] = ((75, 60.0), (480, 3600.0))
    endpoint: tuple[int, float] = (170, 60.0)
    slow: tuple[int, float] = (1, 1.0)


class Pace:
    """The turns of one identity's writes. Without Redis, where one command writes little, nothing waits."""

    def __init__(
        self,
        connection: redis.Redis | None,
        who: str,
        limits: Limits = Limits(),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._redis = connection
        self._who = who
        self._limits = limits
        self._sleep = sleep
        self._take = connection.register_script(_TAKE) if connection is not None else None
        self._count = 0

    def wait(self, verb: str, path: str) -> None:
        """Wait for the turn of a write; raises NotYet where it is too far away."""
        if self._redis is None or self._take is None:
            return
        waited = 0.0
        while True:
            with asked_of_redis():
                seconds = float(self._ask(self._redis, self._take, verb, path))
            if seconds <= 0:
                return
            if waited + seconds > _LONGEST_WAIT:
                raise NotYet("GitHub would be asked for too much at once; this waits for its turn", seconds)
            self._sleep(seconds)
            waited += seconds

    def slow_down(self) -> None:
        """GitHub asked for a pause all the same: from now on leave a second between writes, for ten minutes."""
        if self._redis is not None:
            with asked_of_redis():
                self._redis.set(self._key("slow"), b"1", ex=_SLOW_FOR)

    def _ask(self, connection: redis.Redis, take: Any, verb: str, path: str) -> bytes:  # noqa: ANN401 - a script
        windows = [(f"endpoint:{verb} {_IDS.sub('/*', path)}", *self._limits.endpoint)]
        if verb == "POST" and _CREATES.fullmatch(path):
            windows += [(f"content:{window:g}", limit, window) for limit, window in self._limits.content]
        if connection.exists(self._key("slow")):
            windows.append(("each", *self._limits.slow))
        self._count += 1
        arguments: list[Any] = [f"{id(self)}-{self._count}-{time.time_ns()}"]
        for _, limit, window in windows:
            arguments += [limit, window]
        answer: bytes = take(keys=[self._key(name) for name, _, _ in windows], args=arguments)
        return answer

    def _key(self, name: str) -> str:
        return f"{PREFIX}pace:{self._who}:{name}"
