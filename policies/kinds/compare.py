"""`compare`: a metric holds its own against what is live in the environment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from policies.evidence import Column, Evidence, Need, Unreadable, Unusable, Vector
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
    unreadable,
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
_SEED: Final = 20_240_229  # any fixed one: equal results give equal intervals
_RESAMPLINGS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Significance:
    """The difference must also hold in a share `confidence` of the resamplings of both versions' results."""

    results: Column
    confidence: float


@dataclass(frozen=True, slots=True)
class CompareCheck:
    """The metric is no worse than the champion's by more than `tolerance`, or better by at least `min_improvement`."""

    metric: str
    dataset: str | None = None
    direction: Direction = Direction.HIGHER
    tolerance: Amount = _NOTHING
    min_improvement: Amount | None = None
    if_absent: IfAbsent = IfAbsent.PASS
    significance: Significance | None = None

    @property
    def needs(self) -> frozenset[Need]:
        """The run; both versions' results where the difference has to be significant."""
        return FROM_RUN | ({self.significance.results} if self.significance else frozenset())

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
        if passes and self.significance is not None:
            return self._significant(self.significance, evidence, number(mine.value), required, theirs.value)
        if passes:
            return Finding(Status.PASS, number(mine.value), required)
        return Finding(
            Status.FAIL, number(mine.value), required, f"Beat the live version's “{self.metric}”, or keep it live."
        )

    def _significant(
        self, rule: Significance, evidence: Evidence, measured: str, required: str, theirs: float
    ) -> Finding:
        """Whether the worst that the interval of the difference leaves open is still good enough."""
        where = f"“{rule.results.column}” of {rule.results.table}"
        required = f"{required}, with {rule.confidence:.4g} confidence on {where}"
        both = []
        for version in (evidence.subject, evidence.champion):
            found = version.columns.get(rule.results) if version else None
            if isinstance(found, Unreadable):
                return unreadable(found, required)
            if found is None or isinstance(found, Unusable):
                why = found.reason if isinstance(found, Unusable) else f"there is no {where}"
                if version is evidence.champion:
                    return self._absent(f"{measured}; the live version: {why}", "nothing to compare with")
                status = Status.FAIL if isinstance(found, Unusable) else Status.PENDING
                return Finding(status, f"{measured}; {why}", required, f"Log {rule.results.table} on the run.")
            both.append(found)
        mine, champions = both
        if len(mine) != len(champions):
            why = f"{len(mine)} results against the live version's {len(champions)}"
            return Finding(Status.FAIL, f"{measured}; {why}", required, "Evaluate both on the same examples.")
        low, high = bootstrap_interval(mine, champions, rule.confidence)
        measured = f"{measured}; differs by {low:.6g} to {high:.6g}"
        worst = low if self.direction is Direction.HIGHER else -high
        if worst >= float(self._gain(exact(theirs))):
            return Finding(Status.PASS, measured, required)
        return Finding(Status.FAIL, measured, required, "Evaluate on more examples, or train a model that is better.")

    def _limit(self, champion: Decimal) -> Decimal:
        gain = self._gain(champion)
        return champion + gain if self.direction is Direction.HIGHER else champion - gain

    def _gain(self, champion: Decimal) -> Decimal:
        """How much better than the champion is good enough; negative where it may be worse."""
        return self.min_improvement.of(champion) if self.min_improvement else -self.tolerance.of(champion)

    def _rule(self) -> str:
        if self.min_improvement is not None:
            return f"better than the champion by {self.min_improvement} or more"
        return f"no worse than the champion by more than {self.tolerance}"

    def _absent(self, measured: str, why: str) -> Finding:
        passes = self.if_absent is IfAbsent.PASS
        remedy = "" if passes else "Promote a first version by hand, or set `if_absent: pass`."
        return Finding(Status.PASS if passes else Status.FAIL, f"{measured}; {why}", self._rule(), remedy)


def bootstrap_interval(mine: Vector, champions: Vector, confidence: float) -> tuple[float, float]:
    """Between what the mean difference of paired results lies, by the percentile bootstrap with a fixed seed."""
    import numpy as np

    differences = np.asarray(mine) - np.asarray(champions)
    random = np.random.Generator(np.random.PCG64(_SEED))
    means = np.empty(_RESAMPLINGS)
    for i in range(_RESAMPLINGS):
        means[i] = differences[random.integers(len(differences), size=len(differences))].mean()
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


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
        _significance(said["significance"]) if "significance" in said else None,
    )


def _significance(said: Mapping[str, Any]) -> Significance:
    return Significance(Column(said["table"], said["column"]), said.get("confidence", 0.95))


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
            "significance": {
                "type": "object",
                "additionalProperties": False,
                "required": ["table", "column"],
                "properties": {
                    "table": {
                        "type": "string",
                        "minLength": 1,
                        "maxLength": 300,
                        "pattern": r"^[^/].*\.(json|csv)$",
                        "description": "an artifact of the run with one row an example: .json as MLflow's log_table"
                        " writes it, or .csv",
                    },
                    "column": {"type": "string", "minLength": 1, "description": "The numeric column of the results."},
                    "confidence": {
                        "type": "number",
                        "minimum": 0.5,
                        "maximum": 0.999,
                        "default": 0.95,
                        "description": "how sure it must be, from 0.5 to 0.999",
                    },
                },
                "description": "Whether the difference must hold example by example (a paired bootstrap).",
            },
        },
    },
    read=_read,
    complaints=_complaints,
)
