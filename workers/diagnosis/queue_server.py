"""The queue's server: does it answer, is it new enough, does it keep what it is given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from packaging.version import InvalidVersion, Version

from bot.domain.errors import PromotionError
from bot.gateways.redis_connection import connect
from bot.gateways.redis_server import RedisServer, about
from bot.settings import Settings
from workers.diagnosis.finding import Diagnosis, State

OLDEST: Final = "6.2"  # ZADD's LT, LPOS
_NEARLY_FULL: Final = 0.9
_PAGE: Final = "docs/operations.md#how-the-queue-works"


def look_at_queue(settings: Settings) -> Iterator[Diagnosis]:
    """Redis' version, eviction policy and persistence."""
    if settings.redis_url is None:
        yield Diagnosis("queue", State.GOOD, "REDIS_URL is not set: `promotion-bot up` starts a queue of its own")
        return
    try:
        server = about(connect(settings.redis_url))
    except PromotionError as error:
        yield Diagnosis.of_error("queue", error, "set REDIS_URL: docs/operations.md#settings")
        return
    yield _version(server)
    yield _eviction(server)
    yield _persistence(server)


def _version(server: RedisServer) -> Diagnosis:
    try:
        is_old = Version(server.version) < Version(OLDEST)
    except InvalidVersion:
        return Diagnosis("queue", State.UNKNOWN, f"{server.name} answers; is it {OLDEST} or later?", _PAGE)
    if is_old:
        return Diagnosis("queue", State.BAD, f"{server.name} is too old", f"use Redis {OLDEST} or later, or Valkey")
    return Diagnosis("queue", State.GOOD, f"{server.name} answers")


def _eviction(server: RedisServer) -> Diagnosis:
    what = "queue: eviction"
    if server.eviction.startswith("allkeys"):
        says = f"the policy {server.eviction} throws keys of the queue away when memory is full"
        return Diagnosis(what, State.BAD, says, "redis-cli CONFIG SET maxmemory-policy noeviction, and in its file")
    if server.full is not None and server.full > _NEARLY_FULL:
        says = f"{server.full:.0%} of its memory is used, and then the queue takes nothing more"
        return Diagnosis(what, State.UNKNOWN, says, "raise maxmemory in the server's configuration")
    return Diagnosis(what, State.GOOD, f"the policy {server.eviction} leaves the queue alone")


def _persistence(server: RedisServer) -> Diagnosis:
    what = "queue: persistence"
    if server.writes_failed:
        says = "the server could not write its data to disk; by default it then refuses every change"
        return Diagnosis(what, State.BAD, says, "look into the server's log and at its disk")
    if server.persists is None:
        says = "the server does not tell whether it keeps its keys over a restart; nothing is lost if not"
        return Diagnosis(what, State.UNKNOWN, says, _PAGE)
    if not server.persists:
        says = "a restart empties the queue; nothing is lost, but what waited waits for the next sweep"
        return Diagnosis(what, State.UNKNOWN, says, "redis-cli CONFIG SET appendonly yes, and in its file")
    return Diagnosis(what, State.GOOD, "the queue is kept over a restart")
