"""The queue of keys: a key waits at most once, runs at most once at a time, and is looked at again if asked meanwhile.

`inbox` holds every key that has to be looked at, once, with the time from which on it is due. The dispatcher claims due
keys that are not active, gives each a token and a lease, and hands them to RQ. A job begins only while its token is the
key's; from then on what was in the inbox is answered by the look that starts. An active key that is asked for stays in
the inbox until the run has ended: that is the one more run. One that waits for a worker and is asked for again, more
urgently, gets another token in a more urgent list. Whoever does not extend the lease loses it, and the key is
due again under a new token, which makes everything that the old one still does stop before its next effect. A job that
only waits for a worker is not late: while it stands in RQ's list its lease is renewed.

All leases are in Redis' own time, so that hosts need not agree on a clock. Redis may be emptied at any moment: what
waited is asked for again by the sweep, and what runs stops before its next effect.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import redis

from bot.domain.errors import LostLock
from bot.domain.keys import Key, Urgency, dump_key, parse_key, urgency_of
from bot.gateways.board_details import BoardDetails
from bot.gateways.boards import Boards
from bot.gateways.measurements import Measured, Sample, read
from bot.gateways.origins import UNKNOWN, Origin, Origins
from bot.gateways.redis_connection import PREFIX, asked_of_redis
from bot.gateways.troubles import Troubles

log = logging.getLogger("promotion-bot.queue")

INBOX: Final = f"{PREFIX}inbox"  # sorted set: key -> when it is due
ACTIVE: Final = f"{PREFIX}active"  # sorted set: key -> when its lease ends
TOKENS: Final = f"{PREFIX}tokens"  # hash: key -> token, with a mark once its job has begun
LATER: Final = f"{PREFIX}later"  # hash: key -> how urgent it is when its time has come
ATTEMPTS: Final = f"{PREFIX}attempts"  # hash: key -> failures in a row to reach something
RESULTS: Final = f"{PREFIX}results"  # hash: kind, result -> how many looks ended so
SECONDS: Final = f"{PREFIX}seconds"  # hash: kind, result -> seconds that these looks took
SWEPT: Final = f"{PREFIX}swept"  # string, for a sweep's interval after somebody's scheduler asked for one
RQ_QUEUES: Final = {urgency: f"promotion-{urgency.name.lower()}" for urgency in Urgency}  # RQ serves them in order
_RQ_LISTS: Final = tuple(f"rq:queue:{name}" for name in RQ_QUEUES.values())  # RQ's own names for waiting job ids
_KEYS: Final = (INBOX, ACTIVE, TOKENS, *_RQ_LISTS, LATER)

# Keys of one urgency that are handed out before a worker takes them. The rest waits in the inbox, where repeated
# requests fold into one, and where what is more urgent overtakes.
WINDOW: Final = 100
# What is asked for now is due whatever the clocks say, and still comes in the order of asking: its score is the asking
# host's time, moved so far back that no clock reaches it, and the further the more urgent it is.
_AGE: Final = 1e10
_URGENCY = re.compile(r"-\d+-([012])\Z")  # at the end of a token
_REMEMBER_ATTEMPTS: Final = 86_400  # seconds
# A key that this version does not know may be of a newer one beside it: put back so often, so many seconds.
_STRANGE_FOR: Final = 20
_STRANGE_AGAIN: Final = 30.0

_TIME = f"""
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1e6
local age = {_AGE:.0f}
-- Each urgency has a band of scores below zero for what is asked for now; above zero are times of what is due then.
local function since(urgency) return now + (urgency - 3) * age end
local function band(urgency) return (urgency - 3) * age, (urgency - 2) * age - 1 end
local function later(key, due, urgency)
  redis.call('ZADD', KEYS[1], 'LT', due, key)
  local there = redis.call('HGET', KEYS[7], key)
  if not there or tonumber(there) > urgency then redis.call('HSET', KEYS[7], key, urgency) end
end
local function urgency_of(token)
  return tonumber(string.match(token, '-%d+-([012])$') or string.match(token, '-%d+-([012]):begun$') or 1)
end
"""
_CLAIM = (
    _TIME
    + """
local prefix, lease, window = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local lists = {[0] = KEYS[4], [1] = KEYS[5], [2] = KEYS[6]}
for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now)) do
  local token = redis.call('HGET', KEYS[3], key)
  if token and (redis.call('LPOS', KEYS[4], token) or redis.call('LPOS', KEYS[5], token)
      or redis.call('LPOS', KEYS[6], token)) then
    redis.call('ZADD', KEYS[2], now + lease, key)
  else
    redis.call('ZREM', KEYS[2], key); redis.call('HDEL', KEYS[3], key)
    redis.call('ZADD', KEYS[1], 'LT', since(token and urgency_of(token) or 1), key)
  end
end
local claimed, room = {}, {}
for urgency = 0, 2 do room[urgency] = window - redis.call('LLEN', lists[urgency]) end
local function take(first, last, urgency)
  -- What is asked for again while it runs stays in the inbox, before the others: look behind it.
  for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], first, last, 'LIMIT', 0, 4 * window)) do
    local found = urgency or tonumber(redis.call('HGET', KEYS[7], key) or 1)
    local held = redis.call('HGET', KEYS[3], key)
    local waits = held and not string.find(held, ':begun$') and urgency_of(held) > found
    if room[found] > 0 and (waits or not redis.call('ZSCORE', KEYS[2], key)) then
      local token = prefix .. '-' .. #claimed / 2 .. '-' .. found
      redis.call('ZADD', KEYS[2], now + lease, key)
      redis.call('HSET', KEYS[3], key, token)
      claimed[#claimed + 1] = key
      claimed[#claimed + 1] = token
      room[found] = room[found] - 1
    end
  end
end
for urgency = 0, 2 do
  local first, last = band(urgency)
  take(first, last, urgency)
end
take(0, now)
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
if due and tonumber(due) <= now then redis.call('ZREM', KEYS[1], ARGV[1]); redis.call('HDEL', KEYS[7], ARGV[1]) end
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
if ARGV[3] ~= '' then later(ARGV[1], now + ARGV[3], urgency_of(ARGV[2])) end
return 1
"""
)
_LATER = (
    _TIME
    + """
later(ARGV[1], now + ARGV[2], tonumber(ARGV[3]))
return 1
"""
)
_DEPTH = (
    _TIME
    + """
local due = redis.call('ZCOUNT', KEYS[1], '-inf', now)
local oldest = 0
local function look(first, last, shift)
  local found = redis.call('ZRANGEBYSCORE', KEYS[1], first, last, 'WITHSCORES', 'LIMIT', 0, 1)
  if found[2] then oldest = math.max(oldest, now - (tonumber(found[2]) + shift)) end
  return redis.call('ZCOUNT', KEYS[1], first, last)
end
local answer = {due, redis.call('ZCARD', KEYS[1]) - due, redis.call('ZCARD', KEYS[2])}
for urgency = 0, 2 do
  local first, last = band(urgency)
  answer[4 + urgency] = look(first, last, -first)
end
look(0, now, 0)
answer[7] = string.format('%.3f', oldest)
return answer
"""
)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A key handed out to be run, under the token that makes the run the only valid one."""

    key: Key
    token: str

    @property
    def urgency(self) -> Urgency:
        """What the token says that the run is for; a token of another format is for what is new."""
        found = _URGENCY.search(self.token)
        return Urgency(int(found[1])) if found else Urgency.CANDIDATE


@dataclass(frozen=True, slots=True)
class Depth:
    """Keys to be looked at now, later, and being looked at; `oldest` is how many seconds the first has waited.

    `asked` are those of the due ones that somebody asked for, by urgency; the time of the others has come.
    """

    due: int
    later: int
    active: int
    oldest: float
    asked: Mapping[Urgency, int]


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
        self._redis = self.connection = connection
        self.boards = Boards(connection)
        self.details = BoardDetails(connection)
        self.troubles = Troubles(connection)
        self.origins = Origins(connection)
        self.lease = lease
        self._claim = connection.register_script(_CLAIM)
        self._begin = connection.register_script(_BEGIN)
        self._extend = connection.register_script(_EXTEND)
        self._finish = connection.register_script(_FINISH)
        self._later = connection.register_script(_LATER)
        self._depth = connection.register_script(_DEPTH)

    # --- asking ---------------------------------------------------------------------------------------------------

    def request(self, *keys: Key, urgency: Urgency | None = None, origin: Origin = UNKNOWN) -> None:
        """Have each key looked at as soon as may be; one round trip, and nothing new for a key that waits already.

        A key that waits already becomes as urgent as the most urgent of its requests.
        """
        if keys:
            asked = {key: urgency_of(key) if urgency is None else urgency for key in keys}
            now = time.time()
            due = {dump_key(key): now + (asked[key] - 3) * _AGE for key in keys}
            with asked_of_redis():
                if not origin:
                    self._redis.zadd(INBOX, due, lt=True)
                    return
                with self._redis.pipeline(transaction=False) as pipe:
                    pipe.zadd(INBOX, due, lt=True)
                    self.origins.note(due, origin, pipe)
                    pipe.execute()

    def request_at(self, key: Key, when: datetime) -> None:
        """Have the key looked at from `when` on, unless it is due earlier anyway.

        `when` is by this host's clock, of which only the distance counts: the clock of another may be minutes off.
        """
        distance = max(0.0, when.timestamp() - time.time())
        with asked_of_redis():
            self._later(keys=_KEYS, args=[dump_key(key), distance, urgency_of(key).value])

    def request_sweep(self, keys: Iterable[Key], interval: float) -> None:
        """Have everything looked at, and let other schedulers know that they need not for `interval` seconds."""
        self.request(*keys, urgency=Urgency.SWEEP)
        with asked_of_redis():
            self._redis.set(SWEPT, b"1", px=max(1, int(interval * 1000)))

    def until_next_sweep(self) -> float:
        """In how many seconds the next sweep is due; 0 where no scheduler asked for one within its interval."""
        with asked_of_redis():
            left: Any = self._redis.pttl(SWEPT)
        return float(max(0, left)) / 1000

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
            except (ValueError, RecursionError):
                self._put_back(text)
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
        asked = {urgency: int(answer[3 + urgency]) for urgency in Urgency}
        return Depth(int(answer[0]), int(answer[1]), int(answer[2]), float(answer[6]), asked)

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

    def measured(self) -> Mapping[Measured, Sequence[Sample]]:
        """What workers measured beside that."""
        return read(self._redis)

    def _put_back(self, member: bytes) -> None:
        """Leave what is no key here to another version of the bot, which may run beside this one for a while."""
        with asked_of_redis(), self._redis.pipeline() as pipe:
            pipe.hincrby(ATTEMPTS, member, 1)
            pipe.zrem(INBOX, member)
            pipe.zrem(ACTIVE, member)
            pipe.hdel(TOKENS, member)
            pipe.hdel(LATER, member)
            tries = int(pipe.execute()[0])
            if tries < _STRANGE_FOR:
                self._later(keys=_KEYS, args=[member, _STRANGE_AGAIN, Urgency.CANDIDATE.value])
                return
            self._redis.hdel(ATTEMPTS, member)
        log.error("dropped from the queue, it is not a key: %.200r", member)

    @staticmethod
    def _run(script: Any, claimed: Claimed, argument: float | str) -> bool:  # noqa: ANN401 - redis-py's script type
        with asked_of_redis():
            return bool(script(keys=_KEYS, args=[dump_key(claimed.key), claimed.token, argument]))
