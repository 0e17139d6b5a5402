"""However many schedulers share a queue, everything is looked at once in an interval, and not once for each of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
import redis

from bot.domain.keys import RepositoryKey
from bot.gateways.queue import SWEPT, WorkQueue
from bot.settings import Settings
from workers.process import SweepSchedule

HOUR = 3600.0


@pytest.fixture
def queue(valkey: redis.Redis) -> WorkQueue:
    return WorkQueue(valkey)


@pytest.fixture
def hourly(settings: Settings) -> Settings:
    return replace(settings, repositories=("acme/models",), sweep_interval=timedelta(seconds=HOUR))


def swept(queue: WorkQueue) -> bool:
    """Whether a sweep was asked for; the look that it asks for ends at once."""
    claimed = queue.claim()
    for each in claimed:
        assert each.key == RepositoryKey("acme/models")
        assert queue.begin(each)
        queue.finish(each)
    return bool(claimed)


def test_a_scheduler_sweeps_at_its_start_and_then_in_its_interval(queue: WorkQueue, hourly: Settings) -> None:
    schedule = SweepSchedule(queue, hourly)
    schedule.ask_if_due(0)
    assert swept(queue)
    schedule.ask_if_due(HOUR - 1)
    assert not swept(queue)


def test_what_another_scheduler_asked_for_is_not_asked_for_again(
    queue: WorkQueue, hourly: Settings, valkey: redis.Redis
) -> None:
    one, other = SweepSchedule(queue, hourly), SweepSchedule(queue, hourly)
    for each in (one, other):
        each.ask_if_due(0)
        assert swept(queue), "each looks once at its own start"
    valkey.pexpire(SWEPT, int(HOUR / 2 * 1000))  # half an hour later
    one.ask_if_due(HOUR)
    assert not swept(queue)
    one.ask_if_due(HOUR + HOUR / 2 - 600)
    assert not swept(queue)
    valkey.delete(SWEPT)  # its time is over, or Redis was emptied
    one.ask_if_due(HOUR + HOUR / 2)
    assert swept(queue)
    other.ask_if_due(HOUR + HOUR / 2)
    assert not swept(queue)
