"""What a promotion leaves in the metrics: verdicts, requests, who merged, how long it took."""

from __future__ import annotations

import io
import json
import logging

from bot import logs
from bot.gateways.measurements import (
    BUDGET,
    CHECKS,
    HAPPENINGS,
    LAST_SWEEP,
    REQUESTS,
    TO_LIVE,
    TOUCHED,
    VERDICTS,
    Measured,
    read,
)
from bot.gateways.queue import WorkQueue
from tests.e2e.house import House


def test_a_promotion_is_measured(world: House) -> None:
    world.register()
    world.to_production(1)
    world.register(accuracy=0.5)
    world.event()
    world.gateways.measurements.flush()
    connection = world.gateways.cache.connection
    assert connection is not None
    measured = read(connection)

    def values(metric: Measured) -> dict[tuple[str, ...], float]:
        return {sample.labels[1:]: sample.value for sample in measured[metric]}

    assert values(VERDICTS)["staging", "pass"] == 1
    assert values(VERDICTS)["staging", "fail"] == 1
    assert values(CHECKS)["staging", "accuracy-floor", "fail"] == 1
    happened = values(HAPPENINGS)
    assert happened["staging", "proposed"] == happened["production", "proposed"] == 1
    assert happened["staging", "live"] == happened["production", "live"] == 1
    assert happened["production", "waiting"] == 1
    assert happened["staging", "refused"] == 1
    assert values(TOUCHED) == {("staging", "bot"): 1, ("production", "people"): 1}
    assert {sample.labels[1]: sample.buckets["+Inf"] for sample in measured[TO_LIVE]} == {"staging": 1, "production": 1}
    assert {sample.labels for sample in measured[REQUESTS]} >= {("github", "2xx"), ("github", "3xx"), ("mlflow", "2xx")}
    assert [sample.labels for sample in measured[BUDGET]] == [("acme",)]
    assert len(measured[LAST_SWEEP]) == 1
    assert all(cell.proposed == () for cell in WorkQueue(connection).boards.rows()[0].cells)


def test_each_effect_is_a_line_with_what_it_is_about(world: House) -> None:
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = list(root.handlers), root.level
    try:
        logs.configure(logs.LogFormat.JSON, stream)
        world.register()
        world.event()
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    told = {(line["message"], line["environment"], line["version"]) for line in lines}
    assert told >= {("StoreVerdict", "staging", 1), ("OpenProposal", "staging", 1)}
