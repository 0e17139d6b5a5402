"""The one kind of job that a worker takes from Redis: a look, by key and token, and nothing else.

RQ lets a job in Redis name any function by its dotted path, and callbacks, addresses that are told of its end,
dependencies, retries and a stored result beside it. Whoever may write to Redis could have a worker run what they like.
So nothing of a stored job is believed but the two texts, and no name that stands there is ever resolved.
"""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from rq.exceptions import NoSuchJobError
from rq.job import Job

from bot.domain.keys import parse_key
from workers.execution import execute

log = logging.getLogger("promotion-bot.worker")

ENTRY: Final = "workers.execution.execute"
JOB_LIMIT: Final = 3600  # seconds for one look, a large model's digest included
KEEP_RESULT: Final = 0  # seconds: a look has none
KEEP_FAILURE: Final = 3600  # seconds
_LARGEST: Final = 64 * 1024  # bytes of a job's data: a model's name may be long, a job is not
_LONGEST_TOKEN: Final = 200
# RQ's own bookkeeping; not among them: callbacks, webhooks, dependencies, groups, retries, repeats, limits, results.
_BOOKKEEPING: Final = frozenset(
    (
        "created_at",
        "origin",
        "status",
        "enqueued_at",
        "started_at",
        "ended_at",
        "last_heartbeat",
        "worker_name",
    )
)


class QueuedLook(Job):
    """A look as it stands in Redis; what does not read as one is treated as a job that is not there."""

    def restore(self, raw_data: Mapping[bytes, bytes]) -> None:
        """Take over RQ's bookkeeping, and the key and token if they are exactly that.

        Raises NoSuchJobError for anything else, which RQ passes over.
        """
        try:
            call = _call(raw_data.get(b"data", b""))
            kept = {name.encode(): raw_data[name.encode()] for name in _BOOKKEEPING if name.encode() in raw_data}
            super().restore({**kept, b"data": json.dumps([ENTRY, None, call, {}]).encode()})
        except (ValueError, TypeError, RecursionError) as error:
            log.error("dropped from the queue, it is not a look: job %.100r (%s)", self.id, type(error).__name__)
            raise NoSuchJobError(f"not a look: {self.id}") from error
        self.timeout, self.result_ttl, self.failure_ttl = JOB_LIMIT, KEEP_RESULT, KEEP_FAILURE

    @property
    def func(self) -> Callable[[str, str], None]:
        """The only function there is."""
        return execute


def _call(data: bytes) -> list[str]:
    """Key and token of a stored call of `execute`; raises ValueError for any other."""
    match json.loads(_unpacked(data)):
        case [name, None, [str(key), str(token)], {**options}] if name == ENTRY and not options:
            parse_key(key)
            if len(token) > _LONGEST_TOKEN:
                raise ValueError("too long for a token")
            return [key, token]
        case _:
            raise ValueError("not a call of the one function")


def _unpacked(data: bytes) -> Any:  # noqa: ANN401 - what json.loads takes
    unpacking = zlib.decompressobj()
    try:
        unpacked = unpacking.decompress(data, _LARGEST)
    except zlib.error as error:
        raise ValueError("not packed as RQ packs") from error
    if not unpacking.eof:
        raise ValueError("too large for a look")
    return unpacked
