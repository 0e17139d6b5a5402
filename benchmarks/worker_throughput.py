"""Looks a second with 1, 2 and 4 workers, beside jobs of bare RQ workers that do nothing.

Where the machine is busy the CPU of each says more than their number. That of a look holds the GitHub stand-in's too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.busy_workers import Running, no_op, until, working
from bot.domain.keys import ModelKey
from tests.simulation.fleet import REPOSITORY, model_name

MODELS: Final = 500
WORKERS: Final = (1, 2, 4)
GITHUB: Final = 0.03  # seconds for one request
MLFLOW: Final = 0.03
ROUNDS: Final = 2  # the better one counts
SECONDS: Final = 4.0  # of each round
_MOST: Final = 400  # looks or jobs of a round


@dataclass(frozen=True)
class Speed:
    """Looks or jobs a second, and CPU seconds of one."""

    rate: float
    cpu: float


def run() -> Iterator[tuple[str, str]]:
    """Looks that wait for the services, looks that do not, and bare jobs, with how they grow with the workers."""
    waiting, at_once, bare = dict[int, Speed](), dict[int, Speed](), dict[int, Speed]()
    for count in WORKERS:
        with working(count, MODELS, GITHUB, MLFLOW) as running:
            bare[count] = _best(lambda running=running: _jobs(running))
            waiting[count] = _best(lambda running=running: _looks(running))
        with working(count, MODELS) as running:
            at_once[count] = _best(lambda running=running: _looks(running))
    yield "quiet looks, 5 requests to GitHub and 2 to MLflow of 30 ms each", _row(waiting)
    yield "the same without delays", _row(at_once)
    yield "bare RQ jobs that do nothing", _row(bare)
    yield "looks without delays against bare RQ", ", ".join(f"{at_once[n].rate / bare[n].rate:.0%}" for n in WORKERS)


def _row(found: Mapping[int, Speed]) -> str:
    rates = (f"{count}: {speed.rate:.1f}/s (× {speed.rate / found[1].rate:.2f})" for count, speed in found.items())
    return f"{', '.join(rates)}; {min(speed.cpu for speed in found.values()) * 1e3:.0f} ms of CPU each"


def _best(measure: Callable[[], Speed]) -> Speed:
    rounds = [measure() for _ in range(ROUNDS)]
    return Speed(max(one.rate for one in rounds), min(one.cpu for one in rounds))


def _looks(running: Running) -> Speed:
    """Looks of some seconds, while more of them wait than are done."""
    running.queue.request(*(ModelKey(REPOSITORY, model_name(number)) for number in range(1, _MOST + 1)))
    before = running.looks()
    until(lambda: running.looks() > before, "the first look")
    return _speed(running, running.looks, running.is_idle)


def _jobs(running: Running) -> Speed:
    """Jobs of RQ's own workers, while the bot's have nothing to do."""
    jobs = running.jobs()
    for _ in range(_MOST):
        jobs.enqueue(no_op, result_ttl=0)
    return _speed(running, lambda: -jobs.count, lambda: jobs.count == 0)


def _speed(running: Running, done: Callable[[], int], is_over: Callable[[], bool]) -> Speed:
    began, used, started = done(), running.cpu(), time.monotonic()
    until(lambda: is_over() or time.monotonic() > started + SECONDS, "some seconds of work")
    count = done() - began
    return Speed(count / (time.monotonic() - started), (running.cpu() - used) / count)
