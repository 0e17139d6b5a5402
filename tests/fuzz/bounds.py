"""How many inputs a test tries, how long one may take, how much memory thousands may keep."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import psutil
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bot.domain.errors import PromotionError
from policies.documents import InvalidDocument

SECONDS: Final = 1.0  # of processor time of the thread, which a busy machine does not lengthen
SECONDS_BY_THE_CLOCK: Final = (
    30.0  # for what waits instead of working; other processes may have the processor meanwhile
)
_THOROUGH: Final = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
_TIMES_MORE: Final = 20
_WARM: Final = 2  # one in so many of the inputs comes first, so that caches and tables have their size
_ROUNDS: Final = 2
_MOST_BLOCKS: Final = 1_000  # of at most 512 bytes
_MOST_RESIDENT: Final = 8_000_000  # bytes: the allocators of C keep some
_PROCESS: Final = psutil.Process()
_CHECKS: Final = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large)


def inputs(count: int) -> settings:
    """The settings of a test that tries `count` inputs, the same ones at every run; thoroughly, more and new ones."""
    return settings(
        max_examples=count * _TIMES_MORE if _THOROUGH else count,
        derandomize=not _THOROUGH,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=_CHECKS,
    )


@contextmanager
def soon(seconds: float = SECONDS) -> Iterator[None]:
    """Fail where what is done in here takes longer, not counting a collection of all that the tests have kept.

    What does not come back at all is ended by the test's own time limit.
    """
    gc.disable()
    started, begun = time.thread_time(), time.monotonic()
    try:
        yield
    finally:
        took, passed = time.thread_time() - started, time.monotonic() - begun
        gc.enable()
    assert took < seconds, f"took {took:.2f} s of processor time"
    assert passed < SECONDS_BY_THE_CLOCK, f"took {passed:.2f} s by the clock"


def value_or_complaint(call: Callable[[], Any]) -> Any:
    """What `call` reads, soon; None where it complains in one of the product's errors, in words."""
    complaint = ""
    with soon():
        try:
            return call()
        except (InvalidDocument, PromotionError) as error:
            complaint = str(error)
    assert " " in complaint, "an error says what happened"
    return None


def leaves_nothing_behind(feed: Callable[[Any], object], those: Sequence[Any]) -> None:
    """Fail where memory grows with what is fed, beyond what the first of them took.

    What a library keeps once, whenever it comes to it, is there already when the same is fed again; a leak is not.
    """
    warm = len(those) // _WARM
    for each in those[:warm]:
        feed(each)
    for _ in range(_ROUNDS):
        before = _memory()
        for each in those[warm:]:
            feed(each)
        more_blocks, more_resident = (now - then for now, then in zip(_memory(), before, strict=True))
        print(f"{len(those) - warm} inputs kept {more_blocks} blocks and {more_resident // 1024} KB")  # noqa: T201
        if more_blocks < _MOST_BLOCKS and more_resident < _MOST_RESIDENT:
            return
    assert more_blocks < _MOST_BLOCKS, "small objects of Python's own allocator"
    assert more_resident < _MOST_RESIDENT, "bytes of the process"


def _memory() -> tuple[int, int]:
    gc.collect()
    return sys.getallocatedblocks(), _PROCESS.memory_info().rss


def drawn(strategy: st.SearchStrategy, count: int) -> list[Any]:
    """So many values of a strategy, to be fed without Hypothesis, which remembers what it has tried."""
    found: list[Any] = []

    @settings(inputs(count), phases=(Phase.generate,), derandomize=True)
    @given(strategy)
    def draw(value: object) -> None:
        found.append(value)

    draw()
    return found
