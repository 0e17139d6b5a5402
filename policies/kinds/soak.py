"""`soak`: the version has been live in another environment for a while, and held its own there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from policies.durations import DURATION, parse_duration
from policies.evidence import Evidence, LiveIn, Need
from policies.kinds import metric
from policies.kinds.base import Check, Finding, Kind
from policies.verdict import Status


@dataclass(frozen=True, slots=True)
class SoakCheck:
    """The version has been live in `environment` for `time`, by GitHub's clock, and then `metric` passes."""

    environment: str
    time: timedelta
    said: str
    metric: Check | None = None

    @property
    def needs(self) -> frozenset[Need]:
        """Since when it is live there, and what the metric needs."""
        return frozenset({LiveIn(self.environment)}) | (self.metric.needs if self.metric else frozenset())

    def judge(self, evidence: Evidence, now: datetime) -> Finding:
        """How long it has been live there; waiting for the clock never times out."""
        required = f"live in {self.environment} for {self.said}"
        since = evidence.live_since.get(self.environment)
        if since is None:
            # Going live there is a promotion of its own, which takes the time that people take.
            return Finding(Status.PENDING, f"not live in {self.environment}", required, since=now)
        measured = f"live in {self.environment} since {since:%Y-%m-%d %H:%M} UTC"
        if now < since + self.time:
            return Finding(Status.PENDING, measured, required, until=since + self.time)
        if self.metric is None:
            return Finding(Status.PASS, measured, required)
        found = self.metric.judge(evidence, now)
        return replace(found, measured=f"{measured}; {found.measured}", required=f"{required}; {found.required}")


def _read(said: Mapping[str, Any]) -> SoakCheck:
    measured = metric.KIND.read(said["metric"]) if "metric" in said else None
    return SoakCheck(said["environment"], parse_duration(said["for"]), said["for"], measured)


def _complaints(said: Mapping[str, Any]) -> Any:  # noqa: ANN401 - complaints of the metric's
    for below, message in metric.KIND.complaints(said["metric"]) if "metric" in said else ():
        yield ("metric", *below), message


KIND = Kind(
    name="soak",
    summary="The version has been live in another environment for a while, and a metric written there is good.",
    schema={
        "type": "object",
        "additionalProperties": False,
        "required": ["environment", "for"],
        "properties": {
            "environment": {"type": "string", "minLength": 1, "description": "The environment that it soaks in."},
            "for": DURATION,
            "metric": metric.KIND.schema,
        },
    },
    read=_read,
    complaints=_complaints,
)
