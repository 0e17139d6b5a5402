"""Stand-ins for what a look does, which worker processes import by name; they leave marks in Redis for the tests.

The model's name says what happens: `quick`, `slow`, `dies`, and so on. Marks are below `seen:`.
"""

from __future__ import annotations

import os
import time
from contextlib import nullcontext
from types import SimpleNamespace

import redis

import workers.execution
import workers.jobs
import workers.process
from bot.domain.errors import Unreachable
from bot.domain.keys import Key, ModelKey, dump_key
from bot.gateways.github.budget import Budget
from bot.gateways.measurements import Measurements
from bot.gateways.redis_connection import connect
from bot.settings import Secret
from workers.desk import Desk


def stand_in() -> None:
    """Have this process' worker take these looks instead of the real ones, without any gateway."""
    client = SimpleNamespace(prepare=lambda _repository: None, budget=Budget(None, ""))
    workers.jobs.look_at = look_at
    gateways = SimpleNamespace(
        github_client=client,
        measurements=Measurements(None),
        serving=lambda _urgency, _answered, _silent: nullcontext(),
    )
    workers.execution.gateways_of = workers.process.gateways_of = lambda _settings: gateways


def look_at(key: Key, desk: Desk, _gateways: object) -> None:
    marks = connect(Secret(os.environ["REDIS_URL"]))
    name = dump_key(key)
    if marks.incr(f"seen:inside:{name}") > 1:
        marks.incr("seen:overlaps")
    marks.rpush(f"seen:began:{name}", os.getpid())
    try:
        if isinstance(key, ModelKey):
            _act(key.model, marks, desk)
        desk.still_mine()
        marks.incr(f"seen:done:{name}")
    finally:
        marks.decr(f"seen:inside:{name}")


def _act(what: str, marks: redis.Redis, desk: Desk) -> None:
    match what:
        case "slow":
            while not marks.exists("seen:go"):
                desk.still_mine()
                time.sleep(0.02)
        case "blocked":  # asks nothing while it works
            while not marks.exists("seen:go"):
                time.sleep(0.02)
        case "away" if not marks.exists("seen:go"):
            raise Unreachable("nobody answers", retry_after=0.0)
        case "wrong":
            raise RuntimeError("a mistake")
