"""Evaluating a policy of metric checks, beside the same comparisons as compiled CEL expressions alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import cel

from policies.engine import evaluate
from policies.evidence import Evidence, Metric, Run, RunStatus, VersionEvidence
from policies.policy import parse_policy

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def run() -> Iterator[tuple[str, str]]:
    """Milliseconds of both for 100 checks, their ratio, and how a policy of 10,000 grows from there."""
    ours = _policy(100)
    theirs = _expressions(100)
    mine, reference = _best(ours), _best(theirs)
    many = _best(_policy(10_000), rounds=3)
    yield "policy of 100 metric checks", f"{mine * 1e3:.2f} ms"
    yield "100 compiled CEL expressions", f"{reference * 1e3:.2f} ms"
    yield "ratio (at most 3)", f"{mine / reference:.2f}"
    yield "10,000 checks, a check, against 100 (1 is linear)", f"{many / 100 / mine:.2f}"


def _best(work: Callable[[], object], rounds: int = 30) -> float:
    def once() -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    return min(once() for _ in range(rounds))


def _policy(count: int) -> Callable[[], object]:
    rows = "".join(f"  - {{id: c{i}, metric: {{name: m{i}, at_least: 0.5}}}}\n" for i in range(count))
    policy = parse_policy(f"apiVersion: promotion-bot/v1\nkind: Policy\nname: p\nchecks:\n{rows}", "p.yaml")
    metrics = tuple(Metric(f"m{i}", 0.9) for i in range(count))
    subject = VersionEvidence("m", 1, NOW, Run("r", RunStatus.FINISHED, "dana"), metrics)
    evidence = Evidence("production", subject, None, NOW)
    return lambda: evaluate(policy, evidence, NOW)


def _expressions(count: int) -> Callable[[], object]:
    programs: list[Any] = [cel.compile(f"metrics.m{i} >= 0.5") for i in range(count)]
    context = {"metrics": {f"m{i}": 0.9 for i in range(count)}}
    return lambda: [program.execute(context) for program in programs]
