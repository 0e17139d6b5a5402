"""The workers that are at work, as RQ's own keys tell; read without importing RQ, which takes a second."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import redis

from bot.gateways.redis_connection import asked_of_redis

_WORKERS: Final = "rq:workers"  # set of the workers' keys
_FIELDS: Final = ("hostname", "state", "birth", "last_heartbeat")
_MOST: Final = 200
_LONGEST: Final = 200  # characters


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """One worker process: where it runs, what it does, since when, and when it was heard of last."""

    name: str
    host: str
    state: str
    since: datetime
    heard: datetime


def workers(connection: redis.Redis) -> tuple[WorkerSeen, ...]:
    """The workers by host and name; what reads as none is passed over."""
    with asked_of_redis():
        keys: Any = sorted(connection.smembers(_WORKERS))[:_MOST]
        keys = [key for key in keys if key.startswith(b"rq:worker:")]
        with connection.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.hmget(key, _FIELDS)
            rows = pipe.execute() if keys else []
    found = (_worker(key, row) for key, row in zip(keys, rows, strict=True))
    return tuple(sorted((w for w in found if w is not None), key=lambda worker: (worker.host, worker.name)))


def _worker(key: bytes, row: list[bytes | None]) -> WorkerSeen | None:
    host, state, birth, heard = ((part or b"").decode(errors="replace")[:_LONGEST] for part in row)
    try:
        since, last = datetime.fromisoformat(birth), datetime.fromisoformat(heard)
    except ValueError:
        return None
    name = key.decode(errors="replace").removeprefix("rq:worker:")[:_LONGEST]
    return WorkerSeen(name, host, state, since, last) if since.tzinfo and last.tzinfo else None
