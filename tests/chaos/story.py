"""One run: everything starts, people work while trouble is made, it comes to rest, and the promises are looked at."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bot.domain.errors import Unreachable
from bot.domain.keys import Urgency
from bot.gateways.queue import RESULTS
from tests.chaos.found import came_out, fingerprint, look
from tests.chaos.people import People
from tests.chaos.site import Site, site
from tests.chaos.trouble import Trouble
from tests.simulation.promises import broken, explained_twins

_SWEEPS: Final = 2  # with nothing changed in between: it is at rest
_CALM: Final = 0.4  # of the time of trouble, that people go on afterwards
_POLL: Final = 0.2  # seconds


@dataclass(frozen=True)
class Size:
    """How much happens: for how many seconds, and how long it may take to come to rest afterwards."""

    seconds: float
    versions: int
    models: int
    rest: float


@dataclass
class Result:
    """What was done, what came of it, and what is not as promised."""

    done: Counter[str]
    impossible: tuple[str, ...]
    did: Counter[str]
    came_out: Mapping[str, Any]
    explained: list[str]
    broken: list[str]
    seconds: float
    rested_after: float | None


def run(seed: int, size: Size, folder: Path) -> Result:
    """All of it, in `folder`, where the logs stay."""
    with site(folder) as running:
        people = People(running, seed, tuple(f"fraud-{number:02}" for number in range(size.models)))
        trouble = Trouble(running, seed)
        begun = time.monotonic()
        with _working(people, size) as registering:
            with trouble.going_on(size.seconds):
                registering.join(size.seconds * 2 + size.rest)
                time.sleep(max(0.0, begun + size.seconds - time.monotonic()))
            calm = time.monotonic()
            time.sleep(_CALM * size.seconds)
        rested = _comes_to_rest(running, size.rest)
        trouble.note_failed_looks()
        found = look(running, people)
        wrong = [f"0 the chaos itself: {what}" for what in trouble.broken]
        wrong += [f"0 {what}" for what in sorted(trouble.failed)]
        if not rested:
            wrong.append(f"0 it does not come to rest in {size.rest:.0f} s: {running.queue.depth()}")
        return Result(
            done=trouble.done,
            impossible=trouble.impossible,
            did=people.did,
            came_out=came_out(found),
            explained=explained_twins(found),
            broken=[*wrong, *broken(found)],
            seconds=calm - begun,
            rested_after=time.monotonic() - calm if rested else None,
        )


@contextmanager
def _working(people: People, size: Size) -> Iterator[threading.Thread]:
    """People at work while the context lasts; the thread that is joined registers versions, and ends."""
    stopped = threading.Event()
    deeds: tuple[Callable[[], None], ...] = (
        lambda: people.register(size.versions, size.seconds * 0.8, stopped),
        lambda: people.review(stopped),
        lambda: people.command(stopped),
    )
    threads = [threading.Thread(target=deed, name=f"people {number}") for number, deed in enumerate(deeds)]
    for thread in threads:
        thread.start()
    try:
        yield threads[0]
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def _comes_to_rest(running: Site, seconds: float) -> bool:
    """Wait until nothing changes over two sweeps; False where that takes too long."""
    deadline = time.monotonic() + seconds
    state, since = "", 0
    while time.monotonic() < deadline:
        time.sleep(_POLL)
        if not _has_only_sweeps(running):
            state = ""
            continue
        now, swept = fingerprint(running), _sweeps(running)
        if now != state:
            state, since = now, swept
        elif swept >= since + _SWEEPS + 2:  # one was under way already, and the last one's keys still wait
            return True
    return False


def _has_only_sweeps(running: Site) -> bool:
    """Whether no key waits but those that the sweep asks for each time: open pull requests, and their models."""
    try:
        depth = running.queue.depth()
    except Unreachable:
        return False
    return depth.later == depth.asked[Urgency.PEOPLE] == depth.asked[Urgency.CANDIDATE] == 0


def _sweeps(running: Site) -> int:
    """How many looks at the whole repository have ended well."""
    count: Any = running.valkey.connection.hget(RESULTS, "Repository done")
    return int(count or 0)
