"""Looks a second with 1, 2 and 4 workers, beside jobs of bare RQ workers that do nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Final

from benchmarks.busy_workers import Running, no_op, until, working
from bot.domain.keys import ModelKey
from tests.simulation.fleet import REPOSITORY, model_name

MODELS: Final = 500
WORKERS: Final = (1, 2, 4)
GITHUB: Final = 0.03  # seconds for one request
MLFLOW: Final = 0.03
SECONDS: Final = 5.0  # of each measurement, about
_MOST: Final = 400  # looks or jobs


def run() -> Iterator[tuple[str, str]]:
    """Looks that wait for the services, looks that do not, and bare jobs, with how they grow with the workers."""
    waiting, at_once, bare = {}, {}, {}
    for count in WORKERS:
        with working(count, MODELS, GITHUB, MLFLOW) as running:
            bare[count] = _bare(running)
            waiting[count] = _looks(running)
        with working(count, MODELS) as running:
            at_once[count] = _looks(running)
    yield "quiet looks, 5 requests to GitHub and 2 to MLflow of 30 ms each", _row(waiting)
    yield "the same without delays", _row(at_once)
    yield "bare RQ jobs that do nothing", _row(bare)
    yield "looks without delays against bare RQ", ", ".join(f"{at_once[n] / bare[n]:.0%}" for n in WORKERS)


def _row(rates: Mapping[int, float]) -> str:
    return ", ".join(f"{count}: {rate:.1f}/s (× {rate / rates[1]:.2f})" for count, rate in rates.items())


def _looks(running: Running) -> float:
    """Looks a second while more of them wait than are done."""
    running.queue.request(*(ModelKey(REPOSITORY, model_name(number)) for number in range(1, _MOST + 1)))
    before = running.looks()
    until(lambda: running.looks() > before, "the first look")
    began, started = running.looks(), time.monotonic()
    until(lambda: running.is_idle() or time.monotonic() > started + SECONDS, "some seconds of looks")
    return (running.looks() - began) / (time.monotonic() - started)


def _bare(running: Running) -> float:
    """Jobs a second of RQ's own workers, while the bot's have nothing to do."""
    jobs = running.jobs()
    for _ in range(_MOST):
        jobs.enqueue(no_op, result_ttl=0)
    left, started = jobs.count, time.monotonic()
    until(lambda: jobs.count == 0 or time.monotonic() > started + SECONDS, "some seconds of jobs")
    return (left - jobs.count) / (time.monotonic() - started)
