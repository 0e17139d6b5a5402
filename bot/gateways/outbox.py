"""Notifications that wait to be sent, in Redis: each happening once a receiver, tried again, and never more than a few.

Whoever tells something only writes it down, so that a receiver that does not answer delays nobody; each receiver has an
outbox and a sender of its own. A sender takes what is due and has it for a while; one that dies leaves it to the next.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import redis

from bot.domain.errors import PromotionError
from bot.gateways.redis_connection import PREFIX, asked_of_redis

_TOLD: Final = f"{PREFIX}told:"  # a string for each message, for as long as it is not sent again
_MOST: Final = 1000  # messages that wait for one receiver; the oldest give way
_REMEMBERED: Final = 7 * 86_400  # seconds
_SENDING: Final = 60.0  # seconds that a sender has for one message
MOST_TRIES: Final = 10  # about an hour and a half
_LONGEST: Final = 900.0  # seconds between two tries

_PUT = """
if not redis.call('SET', KEYS[4], '1', 'NX', 'EX', ARGV[4]) then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
local over = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[5])
if over <= 0 then return 0 end
local oldest = redis.call('ZPOPMIN', KEYS[1], over)
for i = 1, #oldest, 2 do redis.call('HDEL', KEYS[2], oldest[i]); redis.call('HDEL', KEYS[3], oldest[i]) end
return over
"""
_TAKE = """
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, 1)
if not due[1] then return false end
redis.call('ZADD', KEYS[1], tonumber(ARGV[1]) + ARGV[2], due[1])
return {due[1], redis.call('HGET', KEYS[2], due[1]) or '', redis.call('HINCRBY', KEYS[3], due[1], 1)}
"""


@dataclass(frozen=True, slots=True)
class Message:
    """One thing to send; `tries` counts this one. The id is the same at every try."""

    id: str
    body: dict[str, Any]
    tries: int


class Outbox:
    """What waits to be sent to one receiver. Without Redis nothing is told."""

    def __init__(self, connection: redis.Redis | None, receiver: str) -> None:
        self.receiver: Final = receiver
        self.due: Final = f"{PREFIX}outbox:{receiver}"  # sorted set: message id -> when it is due
        self.tries: Final = f"{self.due}:tries"  # hash: message id -> how often it was tried
        self._messages: Final = f"{self.due}:messages"  # hash: message id -> its body
        self._redis = connection
        self._put = connection.register_script(_PUT) if connection is not None else None
        self._take = connection.register_script(_TAKE) if connection is not None else None

    def put(self, happening_id: str, body: Mapping[str, object]) -> int:
        """Have something sent, unless it was told before; what cannot be written down is not told.

        Returns how many of what waited longest gave way to it.
        """
        if self._put is None:
            return 0
        message = f"{self.receiver}:{happening_id}"
        keys = [self.due, self._messages, self.tries, f"{_TOLD}{message}"]
        with suppress(PromotionError), asked_of_redis():
            given_up: Any = self._put(keys=keys, args=[message, json.dumps(body), time.time(), _REMEMBERED, _MOST])
            return int(given_up)
        return 0

    def take(self) -> Message | None:
        """The next message that is due, for this sender alone for a minute; None where there is none."""
        if self._take is None:
            return None
        with asked_of_redis():
            found: Any = self._take(keys=[self.due, self._messages, self.tries], args=[time.time(), _SENDING])
        if not found:
            return None
        name = found[0].decode()
        try:
            return Message(name, dict(json.loads(found[1])), int(found[2]))
        except (ValueError, TypeError):
            self._remove(name)  # what somebody else wrote
            return None

    def sent(self, message: Message) -> None:
        """It arrived."""
        self._remove(message.id)

    def failed(self, message: Message) -> bool:
        """It did not; whether it is tried again, later and later."""
        if self._redis is None or message.tries >= MOST_TRIES:
            self._remove(message.id)
            return False
        with asked_of_redis():
            self._redis.zadd(self.due, {message.id: time.time() + min(_LONGEST, 2.0**message.tries)}, xx=True)
        return True

    def _remove(self, name: str) -> None:
        if self._redis is not None:
            with asked_of_redis(), self._redis.pipeline() as pipe:
                pipe.zrem(self.due, name)
                pipe.hdel(self._messages, name)
                pipe.hdel(self.tries, name)
                pipe.execute()
