"""What kind of server answers at REDIS_URL: its version, and what it does with keys when it is full or restarted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import redis

from bot.gateways.redis_connection import asked_of_redis


@dataclass(frozen=True, slots=True)
class RedisServer:
    """What the server says of itself (https://redis.io/docs/latest/commands/info/, and Valkey's, which is the same).

    `version` is the version of Redis that it speaks like. `eviction` is the policy for keys when memory is full,
    `full` the share of its memory that is used, None where it has no limit. `persists` says whether a restart keeps the
    keys, None where the server does not tell; `writes_failed` that it could not write them last time.
    """

    name: str
    version: str
    eviction: str
    full: float | None
    persists: bool | None
    writes_failed: bool


def about(connection: redis.Redis) -> RedisServer:
    """The server behind a connection; asks for nothing that a restricted user may not read."""
    with asked_of_redis():
        said: dict[str, Any] = dict(connection.info())
    limit = int(said.get("maxmemory", 0))
    server = str(said.get("server_name", "redis"))
    return RedisServer(
        name=f"{server.capitalize()} {said.get(f'{server}_version', said.get('redis_version', '?'))}",
        version=str(said.get("redis_version", "0")),
        eviction=str(said.get("maxmemory_policy", "noeviction")),
        full=int(said.get("used_memory", 0)) / limit if limit else None,
        persists=True if said.get("aof_enabled") else _saves(connection),
        writes_failed=said.get("rdb_last_bgsave_status") == "err" or said.get("aof_last_write_status") == "err",
    )


def _saves(connection: redis.Redis) -> bool | None:
    """Whether snapshots are configured; None for a user who may not read the configuration."""
    try:
        said: Any = connection.config_get("save")
    except redis.exceptions.ResponseError:
        return None
    return bool(said.get("save"))
