"""The queue of keys: a key waits at most once, runs at most once at a time, and is looked at again if asked meanwhile.

`inbox` holds every key that has to be looked at, once, with the time from which on it is due. The dispatcher claims due
keys that are not active, gives each a token and a lease, and hands them to RQ. A job begins only while its token is the
key's; from then on what was in the inbox is answered by the look that starts. An active key that is asked for stays in
the inbox until the run has ended: that is the one more run. Whoever does not extend the lease loses it, and the key is
due again under a new token, which makes everything that the old one still does stop before its next effect. A job that
only waits for a worker is not late: while it stands in RQ's list its lease is renewed.

All leases are in Redis' own time, so that hosts need not agree on a clock. Redis may be emptied at any moment: what
waited is asked for again by the sweep, and what runs stops before its next effect.
"""

from __future__ import annotations

import logging
import secrets
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import redis

from bot.domain.errors import LostLock
from bot.domain.keys import Key, dump_key, parse_key
from bot.gateways.boards import Boards
from bot.gateways.redis_connection import PREFIX, asked_of_redis

log = logging.getLogger("promotion-bot.queue")

INBOX: Final = f"{PREFIX}inbox"  # sorted set: key -> when it is due
ACTIVE: Final = f"{PREFIX}active"  # sorted set: key -> when its lease ends
TOKENS: Final = f"{PREFIX}tokens"  # hash: key -> token, with a mark once its job has begun
ATTEMPTS: Final = f"{PREFIX}attempts"  # hash: key -> failures in a row to reach something
RESULTS: Final = f"{PREFIX}results"  # hash: kind, result -> how many looks ended so
SECONDS: Final = f"{PREFIX}seconds"  # hash: kind, result -> seconds that these looks took
RQ_QUEUE: Final = "promotion"
_RQ_LIST: Final = f"rq:queue:{RQ_QUEUE}"  # RQ's own name for the list of waiting job ids
_KEYS: Final = (INBOX, ACTIVE, TOKENS, _RQ_LIST)

# Keys handed out at once, over all workers. The rest waits in the inbox, where repeated requests fold into one.
WINDOW: Final = 100
# What is asked for now is due whatever the clocks say, and still comes in the order of asking: its score is the asking
# host's time, moved so far back that no clock reaches it.
_NOW: Final = -1e10
_REMEMBER_ATTEMPTS: Final = 86_400  # seconds

_TIME = f"""
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1e6
local asked = now + ({_NOW:.0f})
"""
_CLAIM = (
    _TIME
    + """
local prefix, lease, window = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now)) do
  local token = redis.call('HGET', KEYS[3], key)
  if token and redis.call('LPOS', KEYS[4], token) then
    redis.call('ZADD', KEYS[2], now + lease, key)
  else
    redis.call('ZREM', KEYS[2], key); redis.call('HDEL', KEYS[3], key)
    redis.call('ZADD', KEYS[1], 'LT', asked, key)
  end
end
local room = window - redis.call('ZCARD', KEYS[2])
local claimed = {}
if room <= 0 then return claimed end
for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 2 * window)) do
  if #claimed >= 2 * room then break end
  if not redis.call('ZSCORE', KEYS[2], key) then
    local token = prefix .. '-' .. #claimed / 2
    redis.call('ZADD', KEYS[2], now + lease, key)
    redis.call('HSET', KEYS[3], key, token)
    claimed[#claimed + 1] = key
    claimed[#claimed + 1] = token
  end
end
return claimed
"""
)
_BEGIN = (
    _TIME
    + """
if redis.call('HGET', KEYS[3], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[3], ARGV[1], ARGV[2] .. ':begun')
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[1])
local due = redis.call('ZSCORE', KEYS[1], ARGV[1])
if due and tonumber(due) <= now then redis.call('ZREM', KEYS[1], ARGV[1]) end
return 1
"""
)
_EXTEND = (
    _TIME
    + """
if redis.call('HGET', KEYS[3], ARGV[1]) ~= ARGV[2] .. ':begun' then return 0 end
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[1])
return 1
"""
)
_FINISH = (
    _TIME
    + """
local held = redis.call('HGET', KEYS[3], ARGV[1])
if held ~= ARGV[2] and held ~= ARGV[2] .. ':begun' then return 0 end
redis.call('HDEL', KEYS[3], ARGV[1]); redis.call('ZREM', KEYS[2], ARGV[1])
if ARGV[3] ~= '' then redis.call('ZADD', KEYS[1], 'LT', now + ARGV[3], ARGV[1]) end
return 1
"""
)
_LATER = (
    _TIME
    + """
redis.call('ZADD', KEYS[1], 'LT', now + ARGV[2], ARGV[1])
return 1
"""
)
_DEPTH = (
    _TIME
    + """
local due = redis.call('ZCOUNT', KEYS[1], '-inf', now)
local oldest = 0
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if first[2] and tonumber(first[2]) <= now then
  local since = tonumber(first[2])
  oldest = now - since
  if since < 0 then oldest = asked - since end
end
return {due, redis.call('ZCARD', KEYS[1]) - due, redis.call('ZCARD', KEYS[2]), string.format('%.3f', oldest)}
"""
)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A key handed out to be run, under the token that makes the run the only valid one."""

    key: Key
    token: str


@dataclass(frozen=True, slots=True)
class Depth:
    """Keys to be looked at now, later, and being looked at; `oldest` is how many seconds the first has waited."""

    due: int
    later: int
    active: int
    oldest: float


@dataclass(frozen=True, slots=True)
class Tally:
    """How often looks at one kind of key ended with one result, and the seconds that they took together."""

    kind: str
    result: str
    count: int
    seconds: float


class WorkQueue:
    """The queue, for those who ask for looks and for those who run them. `lease` is in seconds."""

    def __init__(self, connection: redis.Redis, lease: float = 30.0) -> None:
        self._redis = connection
        self.boards = Boards(connection)
        self.lease = lease
        self._claim = connection.register_script(_CLAIM)
        self._begin = connection.register_script(_BEGIN)
        self._extend = connection.register_script(_EXTEND)
        self._finish = connection.register_script(_FINISH)
        self._later = connection.register_script(_LATER)
        self._depth = connection.register_script(_DEPTH)

    # --- asking ---------------------------------------------------------------------------------------------------

    def request(self, *keys: Key) -> None:
        """Have each key looked at as soon as may be; one command, and nothing new for a key that waits already."""
        if keys:
            asked = time.time() + _NOW
            with asked_of_redis():
                self._redis.zadd(INBOX, {dump_key(key): asked for key in keys}, lt=True)

    def request_at(self, key: Key, when: datetime) -> None:
        """Have the key looked at from `when` on, unless it is due earlier anyway.

        `when` is by this host's clock, of which only the distance counts: the clock of another may be minutes off.
        """
        distance = max(0.0, when.timestamp() - time.time())
        with asked_of_redis():
            self._later(keys=_KEYS, args=[dump_key(key), distance])

    def ready(self) -> None:
        """Raise Unreachable unless Redis answers."""
        with asked_of_redis():
            self._redis.ping()

    # --- running --------------------------------------------------------------------------------------------------

    def claim(self) -> tuple[Claimed, ...]:
        """Take due keys that nobody runs, and those whose lease ran out, each under a new token."""
        with asked_of_redis():
            found: Any = self._claim(keys=_KEYS, args=[secrets.token_hex(8), self.lease, WINDOW])
        claimed = []
        for text, token in zip(found[::2], found[1::2], strict=True):
            try:
                claimed.append(Claimed(parse_key(text.decode()), token.decode()))
            except ValueError:
                log.error("dropped from the queue, it is not a key: %.200r", text)
                self._drop(text)
        return tuple(claimed)

    def begin(self, claimed: Claimed) -> bool:
        """Start the run of a claimed key; False where the token is no longer the key's or a twin has begun."""
        return self._run(self._begin, claimed, self.lease)

    def still_mine(self, claimed: Claimed) -> None:
        """Extend the lease; raises LostLock where the token is not the key's any more."""
        if not self._run(self._extend, claimed, self.lease):
            raise LostLock(f"another worker has taken over {dump_key(claimed.key)}")

    def finish(self, claimed: Claimed, again_after: float | None = None) -> None:
        """End the run, if it is still this token's; `again_after` seconds have the key looked at again then."""
        self._run(self._finish, claimed, "" if again_after is None else again_after)

    def count_attempt(self, key: Key) -> int:
        """How many times in a row the key has now failed to reach something."""
        with asked_of_redis(), self._redis.pipeline(transaction=False) as pipe:
            pipe.hincrby(ATTEMPTS, dump_key(key), 1)
            pipe.expire(ATTEMPTS, _REMEMBER_ATTEMPTS)
            return int(pipe.execute()[0])

    def forget_attempts(self, key: Key) -> None:
        """The key reached everything that it needed."""
        with asked_of_redis():
            self._redis.hdel(ATTEMPTS, dump_key(key))

    # --- measuring ------------------------------------------------------------------------------------------------

    def depth(self) -> Depth:
        """How much there is to do."""
        with asked_of_redis():
            answer: Any = self._depth(keys=_KEYS)
        return Depth(int(answer[0]), int(answer[1]), int(answer[2]), float(answer[3]))

    def record(self, kind: str, result: str, seconds: float) -> None:
        """Count one look. The sums live in Redis, so that any web process can show those of all workers."""
        with asked_of_redis(), self._redis.pipeline(transaction=False) as pipe:
            pipe.hincrby(RESULTS, f"{kind} {result}", 1)
            pipe.hincrbyfloat(SECONDS, f"{kind} {result}", round(seconds, 3))
            pipe.execute()

    def tallies(self) -> tuple[Tally, ...]:
        """What `record` counted."""
        with asked_of_redis(), self._redis.pipeline(transaction=False) as pipe:
            pipe.hgetall(RESULTS)
            pipe.hgetall(SECONDS)
            counts, seconds = pipe.execute()
        tallies = []
        for name, count in sorted(counts.items()):
            kind, _, result = name.decode().partition(" ")
            tallies.append(Tally(kind, result, int(count), float(seconds.get(name, 0))))
        return tuple(tallies)

    def _drop(self, member: bytes) -> None:
        with asked_of_redis(), self._redis.pipeline() as pipe:
            pipe.zrem(INBOX, member)
            pipe.zrem(ACTIVE, member)
            pipe.hdel(TOKENS, member)
            pipe.execute()

    @staticmethod
    def _run(script: Any, claimed: Claimed, argument: float | str) -> bool:  # noqa: ANN401 - redis-py's script type
        with asked_of_redis():
            return bool(script(keys=_KEYS, args=[dump_key(claimed.key), claimed.token, argument]))
