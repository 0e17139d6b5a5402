"""The process that sends notifications to one receiver: nobody waits for it, and it waits for nobody else."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from types import FrameType
from typing import Final, TypeAlias

from bot.domain.errors import PromotionError, Refused, Unreachable
from bot.gateways.measurements import NOTIFICATIONS, Measurements
from bot.gateways.outbox import Message, Outbox
from bot.gateways.receivers import post
from bot.gateways.redis_connection import connect
from bot.settings import Settings

log = logging.getLogger("promotion-bot.notifier")

InTime: TypeAlias = Callable[[], AbstractContextManager[None]]

_POLL: Final = 1.0  # seconds between looks at the outbox
_PATIENCE: Final = 30.0  # seconds that a receiver has for one message, however slowly it talks


def run_notifier(settings: Settings, receiver: str, patience: float = _PATIENCE) -> None:
    """Send what is due to one receiver until told to stop; `patience` are the seconds that it has for one message."""
    stopped = threading.Event()
    signal.signal(signal.SIGALRM, _give_up)
    signal.signal(signal.SIGTERM, lambda _number, _frame: stopped.set())
    connection = connect(settings.redis_url) if settings.redis_url is not None else None
    outbox, measured = Outbox(connection, receiver), Measurements(connection)
    while not stopped.is_set():
        try:
            was_due = send_next(settings, outbox, measured, partial(_within, patience))
            measured.flush()
            if not was_due:
                stopped.wait(_POLL)
        except PromotionError as error:
            log.warning("%s; waiting for it", error)
            stopped.wait(_POLL)


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _give_up(_number: int, _frame: FrameType | None) -> None:
    """A socket's time-out counts from the last byte: a receiver could answer a byte at a time for ever."""
    raise Unreachable("the receiver takes too long")


def send_next(
    settings: Settings,
    outbox: Outbox,
    measured: Measurements,
    in_time: InTime = nullcontext,
) -> bool:
    """Send the next message that is due, and count what came of it; whether there was one.

    `in_time` ends the talk with a receiver that takes too long, and nothing but that.
    """
    message = outbox.take()
    if message is None:
        return False
    measured.count(NOTIFICATIONS, outbox.receiver, _send(settings, outbox, message, in_time))
    return True


def _send(settings: Settings, outbox: Outbox, message: Message, in_time: InTime) -> str:
    """Try once; what came of it."""
    try:
        with in_time():
            post(settings, outbox.receiver, message.id, message.body)
    except Refused as refusal:
        log.error("notification %s is given up: %s", message.id, refusal)
        outbox.sent(message)
        return "given up"
    except Unreachable as error:
        if outbox.failed(message):
            log.warning("notification %s, try %d: %s", message.id, message.tries, error)
            return "retried"
        log.error("notification %s is given up after %d tries: %s", message.id, message.tries, error)
        return "given up"
    outbox.sent(message)
    return "sent"
