"""`compare`: a metric holds its own against what is live in the environment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from policies.evidence import Evidence, Part
from policies.kinds.base import (
    FROM_RUN,
    Complaint,
    Finding,
    IfAbsent,
    Kind,
    exact,
    find_metric,
    not_finite,
    number,
    unfinished,
)
from policies.verdict import Status


class Direction(StrEnum):
    """Which way is better."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True, slots=True)
class Amount:
    """A distance from the champion's value: absolute, or a share of its size."""

    value: Decimal
    is_share: bool = False

    def of(self, champion: Decimal) -> Decimal:
        """The distance in the metric's own unit."""
        return abs(champion) * self.value / 100 if self.is_share else self.value

    def __str__(self) -> str:
        return f"{self.value.normalize():f}" + ("%" if self.is_share else "")


_NOTHING: Final = Amount(Decimal(0))


@dataclass(frozen=True, slots=True)
class CompareCheck:
    """The metric is no worse than the champion's by more than `tolerance`, or better by at least `min_improvement`."""

    metric: str
    dataset: str | None = None
    direction: Direction = Direction.HIGHER
    tolerance: Amount = _NOTHING
    min_improvement: Amount | None = None
    if_absent: IfAbsent = IfAbsent.PASS

    @property
    def needs(self) -> frozenset[Part]:
        """The run."""
        return FROM_RUN

    def judge(self, evidence: Evidence, _now: datetime) -> Finding:
        """How the subject's value stands to the champion's; exactly at the limit passes."""
        rule = self._rule()
        if (waiting := unfinished(evidence.subject, rule)) is not None:
            return waiting
        mine = find_metric(evidence.subject, self.metric, self.dataset)
        if isinstance(mine, Finding):
            return mine
        if not_finite(mine.value):
            remedy = "The metric is not a number: look at the run."
            return Finding(Status.FAIL, str(mine.value), rule, remedy, conclusive=False)
        if evidence.champion is None:
            return self._absent(number(mine.value), "nothing is live to compare with")
        theirs = find_metric(evidence.champion, self.metric, self.dataset)
        champion = f"v{evidence.champion.version}"
        if isinstance(theirs, Finding):
            return self._absent(number(mine.value), f"{champion}, which is live, has no metric “{self.metric}”")
        if not_finite(theirs.value):
            return self._absent(number(mine.value), f"“{self.metric}” of {champion}, which is live, is {theirs.value}")
        limit = self._limit(exact(theirs.value))
        value = exact(mine.value)
        passes = value >= limit if self.direction is Direction.HIGHER else value <= limit
        word = "at least" if self.direction is Direction.HIGHER else "at most"
        required = f"{word} {number(float(limit))} ({champion} has {number(theirs.value)}; {rule})"
        if passes:
            return Finding(Status.PASS, number(mine.value), required)
        return Finding(
            Status.FAIL, number(mine.value), required, f"Beat the live version's “{self.metric}”, or keep it live."
        )

    def _limit(self, champion: Decimal) -> Decimal:
        gain = self.min_improvement.of(champion) if self.min_improvement else -self.tolerance.of(champion)
        return champion + gain if self.direction is Direction.HIGHER else champion - gain

    def _rule(self) -> str:
        if self.min_improvement is not None:
            return f"better than the champion by {self.min_improvement} or more"
        return f"no worse than the champion by more than {self.tolerance}"

    def _absent(self, measured: str, why: str) -> Finding:
        passes = self.if_absent is IfAbsent.PASS
        remedy = "" if passes else "Promote a first version by hand, or set `if_absent: pass`."
        return Finding(Status.PASS if passes else Status.FAIL, f"{measured}; {why}", self._rule(), remedy)


def _amount(said: float | str) -> Amount:
    if isinstance(said, str):
        return Amount(Decimal(said.removesuffix("%")), is_share=True)
    return Amount(exact(said))


def _read(said: Mapping[str, Any]) -> CompareCheck:
    return CompareCheck(
        said["metric"],
        said.get("dataset"),
        Direction(said.get("direction", "higher")),
        _amount(said.get("tolerance", 0)),
        _amount(said["min_improvement"]) if "min_improvement" in said else None,
        IfAbsent(said.get("if_absent", "pass")),
    )


def _complaints(said: Mapping[str, Any]) -> Iterator[Complaint]:
    if "tolerance" in said and "min_improvement" in said:
        yield ("tolerance",), "tolerance and min_improvement exclude each other"


_AMOUNT: Final = {
    "oneOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^[0-9]{1,6}(\.[0-9]{1,6})?%$"}],
    "description": "a number of 0 or more, or a percentage such as 2%",
}

KIND = Kind(
    name="compare",
    summary="A metric holds its own against the version that is live in the environment.",
    schema={
        "type": "object",
        "additionalProperties": False,
        "required": ["metric"],
        "properties": {
            "metric": {"type": "string", "minLength": 1, "description": "The metric's name."},
            "dataset": {"type": "string", "minLength": 1, "description": "The data set that it was logged for."},
            "to": {"enum": ["champion"], "description": "What to compare with: the version that is live."},
            "direction": {"enum": ["higher", "lower"], "default": "higher", "description": "Which way is better."},
            "tolerance": _AMOUNT,
            "min_improvement": _AMOUNT,
            "if_absent": {
                "enum": ["pass", "fail"],
                "default": "pass",
                "description": "What it means that nothing is live, or that what is live has no such metric.",
            },
        },
    },
    read=_read,
    complaints=_complaints,
)
