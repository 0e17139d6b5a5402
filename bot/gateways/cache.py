"""A cache on Redis: what it loses is read again, what somebody else put there is not believed, and it fails no job."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
import struct
import time
import zlib
from typing import Final

import redis

from bot.gateways.redis_connection import PREFIX
from bot.settings import AppCredentials, Secret

_LARGEST: Final = 64 * 1024 * 1024  # bytes before they are packed; what is larger is read again each time
_UNTIL: Final = struct.Struct(">d")  # Unix time until which a value holds
_SEAL: Final = hashlib.sha256().digest_size  # bytes
_OWN: Final = secrets.token_bytes(_SEAL)  # of this process and those that it forks


def sealing_key(credentials: AppCredentials | Secret) -> bytes | None:
    """What the processes of one bot seal their cache with: it follows from how they sign in, and is not in Redis.

    None where nobody signs in.
    """
    secret = credentials.private_key if isinstance(credentials, AppCredentials) else credentials
    text = secret.reveal().strip()  # a key's file may end with a line break
    return hmac.digest(text.encode(), b"promotion-bot: the cache in Redis", "sha256") if text else None


class Cache:
    """Bytes by name, for a time. Without a connection they are remembered for as long as the process lasts.

    Policies, judgements and answers are read from here, so each value stands below a seal over its name, its end and
    itself: who may write to Redis, but does not have `key`, can make the bot forget, and nothing else. By default a
    process believes only itself.
    """

    def __init__(self, connection: redis.Redis | None, key: bytes | None = None) -> None:
        self.connection = connection
        self._key = key or _OWN
        self._memory: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        """What was stored under `key`; None where it is not there any more."""
        if self.connection is None:
            return self._memory.get(key)
        with contextlib.suppress(redis.exceptions.RedisError, zlib.error):
            stored = self.connection.get(f"{PREFIX}cache:{key}")
            if isinstance(stored, bytes):
                seal, sealed = stored[:_SEAL], stored[_SEAL:]
                if hmac.compare_digest(seal, self._seal(key, sealed)) and _UNTIL.unpack_from(sealed)[0] > time.time():
                    return zlib.decompress(sealed[_UNTIL.size :])
        return None

    def set(self, key: str, value: bytes, ttl: int) -> None:
        """Store `value` under `key` for `ttl` seconds; what is too large is not stored."""
        if self.connection is None:
            self._memory[key] = value
        elif len(value) <= _LARGEST:
            sealed = _UNTIL.pack(time.time() + ttl) + zlib.compress(value, 1)
            with contextlib.suppress(redis.exceptions.RedisError):
                self.connection.set(f"{PREFIX}cache:{key}", self._seal(key, sealed) + sealed, ex=ttl)

    def _seal(self, key: str, sealed: bytes) -> bytes:
        # The name's length sets it apart from what follows.
        name = key.encode()
        return hmac.digest(self._key, struct.pack(">I", len(name)) + name + sealed, "sha256")
