"""What a policy said of a model version: one value that every page, check, comment and `--json` is a drawing of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Self


class Status(StrEnum):
    """How a check came out.

    `PENDING` waits for evidence that is not there yet; `ERROR` means a store could not be read, is retried and never
    counts as a pass; `SKIPPED` is a check whose `when` was false.
    """

    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    PENDING = "pending"
    ERROR = "error"
    SKIPPED = "skipped"


class Severity(StrEnum):
    """Whether a check can refuse a version or only says what it saw."""

    REQUIRED = "required"
    ADVISORY = "advisory"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one check measured, what it required, and what to do about the difference.

    `measured` and `required` are for people, with units; `remedy` is empty where there is nothing to do.
    `until` is the known moment at which a pending outcome can change by the clock alone, such as its time-out.
    `needs_proposal` marks one that is pending because there is no pull request yet that it could run on.
    `override` says who let it pass although it failed, and why; empty where nobody did.
    `children` are the outcomes that this one was composed of.
    """

    check: str
    kind: str
    status: Status
    measured: str
    required: str
    remedy: str = ""
    severity: Severity = Severity.REQUIRED
    until: datetime | None = None
    needs_proposal: bool = False
    children: tuple[Outcome, ...] = ()
    override: str = ""

    @property
    def counts_as(self) -> Status:
        """What it weighs in the verdict: a failure that was overridden is a pass."""
        return Status.PASS if self.override and self.status is Status.FAIL else self.status

    def to_dict(self) -> dict[str, Any]:
        """The outcome as JSON values; `from_dict` reads it back without loss."""
        return {
            "check": self.check,
            "kind": self.kind,
            "status": self.status.value,
            "measured": self.measured,
            "required": self.required,
            "remedy": self.remedy,
            "severity": self.severity.value,
            "until": self.until.isoformat() if self.until else None,
            "needs_proposal": self.needs_proposal,
            "children": [child.to_dict() for child in self.children],
            "override": self.override,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The outcome that `to_dict` wrote; raises KeyError or ValueError for anything else."""
        return cls(
            check=data["check"],
            kind=data["kind"],
            status=Status(data["status"]),
            measured=data["measured"],
            required=data["required"],
            remedy=data["remedy"],
            severity=Severity(data["severity"]),
            until=datetime.fromisoformat(data["until"]) if data["until"] else None,
            needs_proposal=data["needs_proposal"],
            children=tuple(cls.from_dict(child) for child in data["children"]),
            override=data.get("override", ""),
        )


_WORST_FIRST = (Status.FAIL, Status.ERROR, Status.PENDING)


def worst(statuses: Iterable[Status]) -> Status:
    """The worst of several; a pass where there are none, or only skipped ones."""
    found = set(statuses)
    return next((status for status in _WORST_FIRST if status in found), Status.PASS)


@dataclass(frozen=True, slots=True)
class Verdict:
    """All outcomes of one policy for one version, in the policy's order."""

    policy: str
    outcomes: tuple[Outcome, ...]

    @property
    def status(self) -> Status:
        """The worst of the required outcomes: a failure outweighs an error, an error outweighs waiting."""
        return worst(o.counts_as for o in self.outcomes if o.severity is Severity.REQUIRED)

    @property
    def status_before_proposal(self) -> Status:
        """The status without what can only run on a pull request: that holds back the merge, not the proposal."""
        required = (o for o in self.outcomes if o.severity is Severity.REQUIRED)
        return worst(o.counts_as for o in required if not o.needs_proposal)

    @property
    def until(self) -> datetime | None:
        """The first known moment at which a required outcome changes by the clock alone."""
        known = (o.until for o in self.outcomes if o.severity is Severity.REQUIRED)
        return min((at for at in known if at is not None), default=None)

    def having(self, status: Status) -> tuple[Outcome, ...]:
        """The required outcomes that count as `status`."""
        return tuple(o for o in self.outcomes if o.counts_as is status and o.severity is Severity.REQUIRED)

    def overridden(self, overrides: Mapping[str, str]) -> Verdict:
        """The verdict with who let which failed check pass, by the check's id."""
        return replace(
            self,
            outcomes=tuple(
                replace(o, override=overrides[o.check]) if o.check in overrides and o.status is Status.FAIL else o
                for o in self.outcomes
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        """The verdict as JSON values; `from_dict` reads it back without loss."""
        return {
            "policy": self.policy,
            "status": self.status.value,
            "outcomes": [outcome.to_dict() for outcome in self.outcomes],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The verdict that `to_dict` wrote; raises KeyError or ValueError for anything else."""
        return cls(policy=data["policy"], outcomes=tuple(Outcome.from_dict(o) for o in data["outcomes"]))
