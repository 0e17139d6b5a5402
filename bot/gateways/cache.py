"""A cache on Redis: what it loses is read again, and it never fails a job."""

from __future__ import annotations

import contextlib
import zlib
from typing import Final

import redis

from bot.gateways.redis_connection import PREFIX

_LARGEST: Final = 64 * 1024 * 1024  # bytes before they are packed; what is larger is read again each time


class Cache:
    """Bytes by name, for a time. Without a connection they are remembered for as long as the process lasts."""

    def __init__(self, connection: redis.Redis | None) -> None:
        self.connection = connection
        self._memory: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        """What was stored under `key`; None where it is not there any more."""
        if self.connection is None:
            return self._memory.get(key)
        with contextlib.suppress(redis.exceptions.RedisError, zlib.error):
            packed = self.connection.get(f"{PREFIX}cache:{key}")
            if isinstance(packed, bytes):
                # Who may write to Redis could have put there what unpacks without end.
                unpacking = zlib.decompressobj()
                value = unpacking.decompress(packed, _LARGEST)
                return value if unpacking.eof else None
        return None

    def set(self, key: str, value: bytes, ttl: int) -> None:
        """Store `value` under `key` for `ttl` seconds; what is too large is not stored."""
        if self.connection is None:
            self._memory[key] = value
        elif len(value) <= _LARGEST:
            with contextlib.suppress(redis.exceptions.RedisError):
                self.connection.set(f"{PREFIX}cache:{key}", zlib.compress(value, 1), ex=ttl)
