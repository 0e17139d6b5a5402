"""Time that passes in Redis because a test says so: nothing there ends by itself while a slow machine stands still."""

from __future__ import annotations

import redis

from bot.domain.keys import Key, dump_key
from bot.gateways.queue import ACTIVE, INBOX
from bot.gateways.redis_connection import PREFIX


def end_leases(valkey: redis.Redis, *keys: Key) -> None:
    """The leases of these keys are over, of all where none is named, whoever has them."""
    names = [dump_key(key) for key in keys] or valkey.zrange(ACTIVE, 0, -1)
    if names:
        valkey.zadd(ACTIVE, dict.fromkeys(names, 0), xx=True)


def make_due(valkey: redis.Redis, *keys: Key) -> None:
    """The time has come for which these keys wait, if they wait at all."""
    valkey.zadd(INBOX, {dump_key(key): 0 for key in keys}, xx=True)


def end_windows(valkey: redis.Redis) -> None:
    """What was written to GitHub is longer ago than anything counts."""
    for key in valkey.scan_iter(f"{PREFIX}pace:*"):
        valkey.delete(key)
