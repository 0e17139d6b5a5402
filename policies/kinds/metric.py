"""`metric`: a metric lies within bounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from policies.evidence import Evidence, Need
from policies.kinds.base import FROM_RUN, Complaint, Finding, Kind, exact, find_metric, not_finite, number, unfinished
from policies.verdict import Status


@dataclass(frozen=True, slots=True)
class MetricCheck:
    """The metric `name`, for `dataset` where given, is at least `low` and at most `high`, both inclusive."""

    name: str
    low: float | None = None
    high: float | None = None
    dataset: str | None = None

    @property
    def required(self) -> str:
        """The bounds in words."""
        if self.low is not None and self.high is not None:
            return f"between {number(self.low)} and {number(self.high)}"
        if self.low is not None:
            return f"at least {number(self.low)}"
        return f"at most {number(self.high or 0.0)}"

    @property
    def needs(self) -> frozenset[Need]:
        """The run."""
        return FROM_RUN

    def judge(self, evidence: Evidence, _now: datetime) -> Finding:
        """Whether the value lies within the bounds; NaN and infinity never do."""
        if (waiting := unfinished(evidence.subject, self.required)) is not None:
            return waiting
        metric = find_metric(evidence.subject, self.name, self.dataset)
        if isinstance(metric, Finding):
            return metric
        if not_finite(metric.value):
            remedy = "The metric is not a number: look at the run."
            return Finding(Status.FAIL, str(metric.value), self.required, remedy, conclusive=False)
        value = exact(metric.value)
        too_low = self.low is not None and value < exact(self.low)
        too_high = self.high is not None and value > exact(self.high)
        if too_low or too_high:
            return Finding(Status.FAIL, number(metric.value), self.required, f"Bring “{self.name}” to {self.required}.")
        return Finding(Status.PASS, number(metric.value), self.required)


def _read(said: Mapping[str, Any]) -> MetricCheck:
    low, high = said.get("between", (said.get("at_least"), said.get("at_most")))
    return MetricCheck(said["name"], low, high, said.get("dataset"))


def _complaints(said: Mapping[str, Any]) -> Iterator[Complaint]:
    given = [name for name in ("at_least", "at_most", "between") if name in said]
    if not given:
        yield (), "needs at_least, at_most or between"
        return
    if "between" in given and len(given) > 1:
        yield ("between",), "between stands alone: it is both bounds"
        return
    check = _read(said)
    if check.low is not None and check.high is not None and check.low > check.high:
        place = "between" if "between" in said else "at_least"
        yield (place,), f"no value is at least {number(check.low)} and at most {number(check.high)}"


KIND = Kind(
    name="metric",
    summary="A metric of the run or the logged model lies within bounds.",
    schema={
        "type": "object",
        "additionalProperties": False,
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "minLength": 1, "description": "The metric's name."},
            "dataset": {"type": "string", "minLength": 1, "description": "The data set that it was logged for."},
            "at_least": {"type": "number", "description": "The smallest value that passes."},
            "at_most": {"type": "number", "description": "The largest value that passes."},
            "between": {
                "type": "array",
                "items": {"type": "number"},
                "minItems": 2,
                "maxItems": 2,
                "description": "the smallest and the largest value that pass, as [low, high]",
            },
        },
    },
    read=_read,
    complaints=_complaints,
)
