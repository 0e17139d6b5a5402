"""What every kind of check is made of: its part of the schema, its reading, its judgement."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, Protocol

from policies.documents import MOST_COMPARED
from policies.evidence import Evidence, Metric, Need, Part, Run, RunStatus, Unreadable, VersionEvidence
from policies.verdict import Status


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; the engine makes an outcome of it, with its time-out, severity and the policy's remedy.

    `conclusive` is false for a fail that only says that nothing can be said, such as a NaN: its opposite is no pass.
    `until` is when a pending finding changes by the clock alone: such a one never times out. `since` is when waiting
    for missing evidence began, None for when the version was asked for. `needs_proposal` marks a finding that is
    pending because nothing has been proposed yet: it holds back the merge, not the proposal.
    `parts` are the findings that this one was composed of, each with its name and kind.
    """

    status: Status
    measured: str
    required: str
    remedy: str = ""
    conclusive: bool = True
    until: datetime | None = None
    since: datetime | None = None
    needs_proposal: bool = False
    parts: tuple[tuple[str, str, Finding], ...] = ()


class Check(Protocol):
    """A check of one kind, as read from a policy. Equal evidence at an equal time gives equal findings."""

    @property
    def needs(self) -> frozenset[Need]:
        """What has to be read for `judge`."""

    def judge(self, evidence: Evidence, now: datetime, /) -> Finding:
        """What the evidence says. Never raises."""


class IfAbsent(StrEnum):
    """What a missing champion, or a champion without the metric, means."""

    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"


Complaint = tuple[Sequence[str | int], str]

RETRIED: Final = "Nothing to do: it is tried again."
NOTHING: Final[frozenset[Need]] = frozenset()
FROM_RUN: Final[frozenset[Need]] = frozenset({Part.RUN})


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of check. What a policy says under the kind's name fits `schema`; `read` makes the check of it.

    `complaints` are what a schema cannot say: a place below the kind's key, and why.
    """

    name: str
    summary: str
    schema: Mapping[str, Any]
    read: Callable[[Any], Check]
    complaints: Callable[[Any], Iterable[Complaint]] = lambda _: ()


def number(value: float) -> str:
    """A number as people read it: as short as it can be without being another one."""
    return f"{value:.15g}"


def exact(value: float) -> Decimal:
    """The number that was written, not the binary fraction nearest to it: 0.91 - 0.005 is 0.905."""
    return Decimal(repr(value))


def unfinished(version: VersionEvidence, required: str) -> Finding | None:
    """The answer while the run cannot be read or still goes on, since its values may change; None once it has ended."""
    if isinstance(version.run, Unreadable):
        return unreadable(version.run, required)
    if isinstance(version.run, Run) and version.run.status in (RunStatus.RUNNING, RunStatus.SCHEDULED):
        return Finding(Status.PENDING, f"the run {version.run.run_id} is still {version.run.status}", required)
    return None


def unreadable(what: Unreadable, required: str) -> Finding:
    """The answer where a store could not be read."""
    return Finding(Status.ERROR, what.reason, required, RETRIED)


def find_metric(version: VersionEvidence, name: str, dataset: str | None) -> Metric | Finding:
    """The metric that a check means; a finding where there is none, or no telling which."""
    named = [m for m in version.metrics_by_name.get(name, ()) if dataset is None or m.dataset == dataset]
    plain = [metric for metric in named if metric.dataset is None]
    candidates = plain or named
    if len(candidates) > 1:
        sets = ", ".join(sorted(str(metric.dataset) for metric in candidates))
        return Finding(
            Status.FAIL,
            f"“{name}” was logged for several data sets: {sets}",
            "one value",
            "Name the `dataset`.",
            conclusive=False,
        )
    if candidates:
        return candidates[0]
    where = f" on {dataset}" if dataset else ""
    hint = did_you_mean(name, version.metrics_by_name)
    return Finding(
        Status.PENDING, f"no metric “{name}”{where}{hint}", "the metric is logged", f"Log the metric “{name}”{where}."
    )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """What a name that is not there looks like a slip of."""
    near = difflib.get_close_matches(name, sorted(set(known))[:MOST_COMPARED], n=1, cutoff=0.75)
    return f"; did you mean “{near[0]}”?" if near else ""


def not_finite(value: float) -> bool:
    """Whether a value is no number that can be compared."""
    return not math.isfinite(value)
