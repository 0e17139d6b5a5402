"""`age`: the version is not too old to go live."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from policies.durations import DURATION, parse_duration
from policies.evidence import Evidence, Need
from policies.kinds.base import NOTHING, Finding, Kind
from policies.verdict import Status


@dataclass(frozen=True, slots=True)
class AgeCheck:
    """The version was registered at most `limit` ago; exactly then passes."""

    limit: timedelta
    said: str

    @property
    def needs(self) -> frozenset[Need]:
        """Nothing beyond the version."""
        return NOTHING

    def judge(self, evidence: Evidence, now: datetime) -> Finding:
        """Whether the version is young enough at this moment."""
        registered = evidence.subject.created_at
        required = f"registered at most {self.said} ago"
        measured = f"registered {registered:%Y-%m-%d %H:%M} UTC, {_days(now - registered)} ago"
        if now - registered <= self.limit:
            return Finding(Status.PASS, measured, required)
        return Finding(Status.FAIL, measured, required, "Train on recent data, and register a new version.")


def _days(age: timedelta) -> str:
    return f"{age.days} days" if age.days >= 2 else f"{max(0, int(age.total_seconds() // 3600))} hours"


def _read(said: Mapping[str, Any]) -> AgeCheck:
    return AgeCheck(parse_duration(said["not_older_than"]), said["not_older_than"])


KIND = Kind(
    name="age",
    summary="The version was registered not too long ago.",
    schema={
        "type": "object",
        "additionalProperties": False,
        "required": ["not_older_than"],
        "properties": {"not_older_than": DURATION},
    },
    read=_read,
)
