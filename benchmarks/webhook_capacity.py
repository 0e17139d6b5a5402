"""How many of MLflow's webhooks a second two workers keep up with, and how a flood of one model's events folds.

A webhook of MLflow's names a model: one look finds the repository that owns it, a second one looks at the model.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import cycle
from typing import Final

from benchmarks.busy_workers import Running, until, working
from bot.domain.keys import RegisteredModelKey
from tests.simulation.fleet import model_name

WORKERS: Final = 2
GITHUB: Final = 0.03  # seconds for one request
MLFLOW: Final = 0.03
SECONDS: Final = 6.0  # of each rate
MODELS: Final = 500
FIRST: Final = 2.0  # webhooks a second, doubled while the workers keep up
ROUNDS: Final = 4  # of doubling, and after them of halving the gap
FLOOD: Final = 1_000  # events of one model, as fast as they can be queued


def run() -> Iterator[tuple[str, str]]:
    """The highest rate that was kept up with, for a small and a large repository, and the flood."""
    with working(WORKERS, MODELS, GITHUB, MLFLOW) as running:
        names = map(model_name, cycle(range(1, MODELS + 1)))
        kept, lost = _capacity(running, names)
        yield f"webhooks of distinct models, {WORKERS} workers: kept up with", f"{kept:.1f}/s, not with {lost:.1f}/s"
        yield f"{FLOOD:,} events of one model, and then one of another", _flood(running, next(names), next(names))


def _capacity(running: Running, names: Iterator[str]) -> tuple[float, float]:
    """The highest rate that left nothing waiting, and the lowest that did."""
    rate, kept, lost = FIRST, 0.0, float("inf")
    for _ in range(2 * ROUNDS):
        if _keeps_up(running, names, rate):
            kept = rate
        else:
            lost = rate
        if lost / max(kept, 0.01) < 1.15:
            break
        rate = 2 * rate if lost == float("inf") else (kept + lost) / 2
    return kept, lost


def _keeps_up(running: Running, names: Iterator[str], rate: float) -> bool:
    """Whether no more is left at the end than came in the last second; each webhook takes two looks."""
    sent, before, started = 0, running.looks(), time.monotonic()
    while (now := time.monotonic() - started) < SECONDS:
        if sent < rate * now:
            running.queue.request(RegisteredModelKey(next(names)))
            sent += 1
        else:
            time.sleep(0.005)
    left = sent - (running.looks() - before) / 2
    until(running.is_idle, "the end of what was queued")
    return left <= max(WORKERS, rate)


def _flood(running: Running, one: str, other: str) -> str:
    before, started = running.looks(), time.monotonic()
    for _ in range(FLOOD):
        running.queue.request(RegisteredModelKey(one))
    queued = time.monotonic() - started
    at_end = running.looks()
    running.queue.request(RegisteredModelKey(other))
    started = time.monotonic()
    until(running.is_idle, "the end of the flood")
    looks = running.looks() - before
    return (
        f"{looks} looks for all ({at_end - before} while {FLOOD / queued:.0f}/s came in), "
        f"done {time.monotonic() - started:.1f} s after the last"
    )
