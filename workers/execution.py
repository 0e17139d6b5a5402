"""One job: begin under the key's token, keep the lease, look, and end with the key where it belongs."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Final

from opentelemetry.trace import SpanKind, StatusCode

from bot import tracing
from bot.domain.errors import LostLock, Misconfigured, NotYet, PromotionError, Refused, Service, Unreachable
from bot.domain.keys import (
    CommentKey,
    Key,
    PullRequestKey,
    RecheckKey,
    Urgency,
    dump_key,
    parse_key,
)
from bot.gateways.origins import Origin
from bot.gateways.queue import Claimed, WorkQueue
from bot.gateways.redis_connection import connect
from bot.gateways.troubles import MOST_FAILURES, Cause
from bot.logs import about
from bot.settings import Needs, Settings, load_settings
from bot.wiring import Gateways, build
from workers.desk import Desk

log = logging.getLogger("promotion-bot.worker")

NEEDS: Final = Needs.GITHUB | Needs.REGISTRY
_BASE: Final = 2.0  # seconds before the first retry, at most
_LONGEST: Final = 300.0


class Result(StrEnum):
    """How a look ended; the names are those of the metric."""

    DONE = "done"
    RETRIED = "retried"
    POSTPONED = "postponed"
    SET_ASIDE = "set aside"
    REFUSED = "refused"
    MISCONFIGURED = "misconfigured"
    LOST = "lost"
    FAILED = "failed"
    KILLED = "killed"


_WRONG: Final = frozenset({Result.RETRIED, Result.MISCONFIGURED, Result.FAILED})


class TookTooLong(BaseException):
    """The look's time is over. No library's `except Exception` on the way may take it for an error of its own."""


def execute(key_text: str, token: str) -> None:
    """RQ's entry: run the look that `token` was given for; nothing where it is not valid any more."""
    from workers.jobs import look_at

    settings = load_settings(os.environ, NEEDS)
    queue = open_queue(settings)

    def look(desk: Desk) -> None:
        gateways = gateways_of(settings)
        with gateways.serving(desk.claimed.urgency, desk.answered, desk.silent):
            look_at(desk.claimed.key, desk, gateways)

    measured = gateways_of(settings).measurements
    measured.forget()  # what the process that forked this one has not written yet
    try:
        run(Claimed(parse_key(key_text), token), queue, look)
    finally:
        measured.flush()
        tracing.flush()


def run(claimed: Claimed, queue: WorkQueue, look: Callable[[Desk], None]) -> None:
    """Begin, look, finish. What is unreachable is tried again later; what is refused is said and left alone."""
    with about(job=claimed.token, **subject(claimed.key)):
        try:
            if queue.begin(claimed):
                _run_begun(claimed, queue, look)
        except (Unreachable, Misconfigured) as error:
            # The key stays this token's until the lease ends; then the dispatcher hands it out again.
            log.warning("key=%s: %s; it is looked at again when its lease has ended", dump_key(claimed.key), error)


def _run_begun(claimed: Claimed, queue: WorkQueue, look: Callable[[Desk], None]) -> None:
    origin = queue.origins.take(claimed.key)
    with about(delivery=origin.delivery or None):
        started = time.monotonic()
        result, again = _traced_attempt(claimed, queue, look, origin)
        seconds = time.monotonic() - started
        log.info("key=%s result=%s seconds=%.2f", dump_key(claimed.key), result, seconds)
        if result is not Result.LOST:
            queue.finish(claimed, again)
        if again is not None:
            queue.origins.keep(claimed.key, origin)
        queue.record(kind(claimed.key), result, seconds)


def _traced_attempt(
    claimed: Claimed, queue: WorkQueue, look: Callable[[Desk], None], origin: Origin
) -> tuple[Result, float | None]:
    """As `_attempt`, as a part of the trace of what led to it."""
    known = {**subject(claimed.key), "delivery": origin.delivery or None, "job": claimed.token}
    attributes = {f"promotion.{name}": value for name, value in known.items()}
    with tracing.begun(f"look {kind(claimed.key)}", SpanKind.CONSUMER, attributes, origin.trace) as span:
        result, again = _attempt(claimed, queue, look, origin)
        span.set_attribute("promotion.result", result.value)
        if result in _WRONG:
            span.set_status(StatusCode.ERROR, result.value)
        return result, again


def subject(key: Key) -> dict[str, object]:
    """What the lines of a look at a key are about."""
    names = ("repository", "model", "environment")
    return {name: getattr(key, name) for name in names if hasattr(key, name)}


def _attempt(
    claimed: Claimed, queue: WorkQueue, look: Callable[[Desk], None], origin: Origin
) -> tuple[Result, float | None]:
    """How the look ended, and in how many seconds the next one is due, if it already asks for one."""
    name, desk = dump_key(claimed.key), Desk(queue, claimed, origin)
    try:
        if _is_set_aside(claimed, queue):
            return Result.SET_ASIDE, None
        queue.troubles.expect(*services_of(claimed.key))
        try:
            with _heartbeat(queue, claimed):
                look(desk)
        finally:
            desk.remember_who_answered()
    except LostLock:
        return Result.LOST, None
    except NotYet as error:
        again = (error.retry_after or 0.0) + random.uniform(0.0, 1.0)  # noqa: S311 - no secret depends on it
        log.info("key=%s: %s; again in %.0f s", name, error, again)
        return Result.POSTPONED, again
    except Unreachable as error:
        if error.service is not None:
            queue.troubles.is_away(error.service, str(error))
        attempts = queue.count_attempt(claimed.key)
        if attempts >= MOST_FAILURES and error.service is None:
            queue.troubles.failed(claimed.key, str(error), Cause.OUTSIDE)
        again = backoff(attempts, error.retry_after)
        log.warning("key=%s: %s; again in %.0f s", name, error, again)
        return Result.RETRIED, again
    except Refused as error:
        log.error("key=%s: %s", name, error)
        queue.forget_attempts(claimed.key)
        return Result.REFUSED, None
    except Misconfigured as error:
        queue.troubles.failed(claimed.key, str(error), Cause.OUTSIDE)
        log.error("key=%s: %s", name, error)
        queue.forget_attempts(claimed.key)
        return Result.MISCONFIGURED, None
    except TookTooLong as error:
        queue.troubles.failed(claimed.key, str(error))
        log.error("key=%s: %s", name, error)
        return Result.FAILED, None
    except Exception as error:
        failures = queue.troubles.failed(claimed.key, _place_of(error))
        log.exception("key=%s failed, %d times in a row; the next sweep looks again", name, failures)
        return Result.FAILED, None
    queue.forget_attempts(claimed.key)
    queue.troubles.worked(claimed.key)
    return Result.DONE, None


def _is_set_aside(claimed: Claimed, queue: WorkQueue) -> bool:
    """Whether this is only the sweep asking for a key whose looks keep failing, and none too soon."""
    if claimed.urgency is not Urgency.SWEEP:
        return False
    failing = queue.troubles.of(claimed.key)
    return failing is not None and failing.is_left_alone(time.time())


def _place_of(error: Exception) -> str:
    """What failed where, without the error's text, which may hold anything."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if any(f"/{room}/" in f.filename for room in ("bot", "policies", "workers"))]
    last = (ours or frames)[-1] if frames else None
    return f"{type(error).__name__} in {Path(last.filename).stem}.{last.name}, line {last.lineno}" if last else "?"


def services_of(key: Key) -> tuple[Service, ...]:
    """What a look at a key cannot do without."""
    match key:
        case CommentKey() | PullRequestKey() | RecheckKey():
            return (Service.GITHUB,)
        case _:
            return (Service.GITHUB, Service.MLFLOW)


def backoff(attempt: int, retry_after: float | None = None) -> float:
    """Seconds before the next try: exponential with full jitter, and never before the other side said."""
    spread = min(_LONGEST, _BASE * 2 ** min(attempt - 1, 20))
    return (retry_after or 0.0) + random.uniform(0.0, spread)  # noqa: S311 - no secret depends on it


def kind(key: Key) -> str:
    """What a metric calls the key: its kind, never its name, of which there may be any number."""
    return type(key).__name__.removesuffix("Key")


def give_back(claimed: Claimed, queue: WorkQueue, seconds: float) -> None:
    """Return a key whose job was killed for certain, so that it need not wait for the lease to run out.

    What kills its job each time, such as too little memory, comes back less and less often, in the end with the sweep.
    """
    try:
        failures = queue.troubles.failed(claimed.key, "its process was killed; had it too little memory?")
        again = backoff(queue.count_attempt(claimed.key)) if failures < MOST_FAILURES else None
        queue.finish(claimed, again)
        queue.record(kind(claimed.key), Result.KILLED, seconds)
    except PromotionError as error:
        log.warning("key=%s: %s; it is looked at again when its lease has ended", dump_key(claimed.key), error)


@contextmanager
def _heartbeat(queue: WorkQueue, claimed: Claimed) -> Iterator[None]:
    """Extend the lease while the look lasts, for as long as this process lives, whatever became of its parent."""
    stopped = threading.Event()

    def beat() -> None:
        while not stopped.wait(queue.lease / 3):
            try:
                queue.still_mine(claimed)
            except LostLock:
                return  # the look learns it before its next effect
            except PromotionError:
                continue

    thread = threading.Thread(target=beat, daemon=True, name="lease")
    thread.start()
    try:
        yield
    finally:
        stopped.set()


_gateways: dict[Settings, Gateways] = {}


def gateways_of(settings: Settings) -> Gateways:
    """The process' gateways; a forked job finds those of its parent, signed in already."""
    if settings not in _gateways:
        _gateways[settings] = build(settings)
    return _gateways[settings]


def open_queue(settings: Settings) -> WorkQueue:
    """The queue that `settings` name."""
    if settings.redis_url is None:
        raise Misconfigured("REDIS_URL is missing; `promotion-bot up` starts a queue of its own")
    return WorkQueue(connect(settings.redis_url), settings.queue_lease.total_seconds())
