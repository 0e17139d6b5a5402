"""What led to a look: the webhook's delivery and its trace, kept beside the queue for logs and traces alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import redis

from bot.domain.errors import PromotionError
from bot.domain.keys import Key, dump_key
from bot.gateways.redis_connection import PREFIX, asked_of_redis

ORIGINS: Final = f"{PREFIX}deliveries"  # hash: key -> delivery and trace of the webhook that asked for it
_DELIVERY: Final = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_TRACE: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)
_REMEMBERED: Final = 86_400  # seconds


@dataclass(frozen=True, slots=True)
class Origin:
    """A webhook's delivery id, and the span that asked as W3C's `traceparent`; each empty where there is none."""

    delivery: str = ""
    trace: str = ""

    def __bool__(self) -> bool:
        return bool(self.delivery or self.trace)


UNKNOWN: Final = Origin()


def delivery_id(text: str) -> str:
    """What stands in a header as a delivery's id, if it looks like one; it is only ever logged."""
    return text if _DELIVERY.fullmatch(text) else ""


class Origins:
    """The origin of each key that waits. Where several asked for a key, the last one's."""

    def __init__(self, connection: redis.Redis) -> None:
        self._redis = connection

    def note(self, keys: Iterable[str], origin: Origin, pipe: redis.client.Pipeline) -> None:
        """Have an origin written down along with what else `pipe` writes."""
        pipe.hset(ORIGINS, mapping=dict.fromkeys(keys, f"{origin.delivery} {origin.trace}"))
        pipe.expire(ORIGINS, _REMEMBERED)

    def take(self, key: Key) -> Origin:
        """What led to the look at a key that begins; it is forgotten with that."""
        with suppress(PromotionError), asked_of_redis(), self._redis.pipeline() as pipe:
            pipe.hget(ORIGINS, dump_key(key))
            pipe.hdel(ORIGINS, dump_key(key))
            delivery, _, trace = (pipe.execute()[0] or b"").decode(errors="replace").partition(" ")
            return Origin(delivery_id(delivery), trace if _TRACE.fullmatch(trace) else "")
        return UNKNOWN

    def keep(self, key: Key, origin: Origin) -> None:
        """The same led to the next try, unless somebody has asked meanwhile."""
        if origin:
            with suppress(PromotionError), asked_of_redis():
                self._redis.hsetnx(ORIGINS, dump_key(key), f"{origin.delivery} {origin.trace}")
