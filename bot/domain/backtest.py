"""What a policy would have decided for the versions of the past, against what was decided then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bot.domain.manifest import Entry
from bot.domain.versions import ModelVersion
from bot.domain.world import Judgement
from policies.policy import Policy
from policies.verdict import Status, Verdict

_DECIDED = {
    "refused": Status.FAIL,
    "proposed": Status.PASS,
    "live": Status.PASS,
    "superseded": Status.PASS,
    "rolled back": Status.PASS,
}


class Difference(StrEnum):
    """How a policy's decision stands to the one that was made."""

    NEWLY_REFUSED = "newly refused"
    NEWLY_ACCEPTED = "newly accepted"
    UNCHANGED = "unchanged"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Backtested:
    """One version of the past: what was decided on it for an environment, None for nothing, and the verdict now."""

    model: str
    version: int
    environment: str
    registered_at: datetime
    then: Status | None
    verdict: Verdict

    @property
    def difference(self) -> Difference:
        """Newly refused, newly accepted, unchanged; undecided where then or now nothing was."""
        now = self.verdict.status_before_proposal
        if self.then is None or now not in (Status.PASS, Status.FAIL):
            return Difference.UNDECIDED
        if now is self.then:
            return Difference.UNCHANGED
        return Difference.NEWLY_REFUSED if now is Status.FAIL else Difference.NEWLY_ACCEPTED


def decided_then(version: ModelVersion, environment: str) -> Status | None:
    """What was decided on a version for an environment, by the tags that record it; None for nothing."""
    return _DECIDED.get(version.tags.get(f"promotion.{environment}.status", ""))


def champion_then(judgements: Iterable[Judgement], at: datetime) -> Entry | None:
    """What was live at a moment, by the authorised judgements of one model and environment, oldest first."""
    live = None
    for judgement in judgements:
        if judgement.at <= at:
            live = judgement.entry
    return live


def judged_at(policy: Policy, registered_at: datetime, now: datetime) -> datetime:
    """The moment that a version of the past is judged for: when the policy would not have waited any longer."""
    return min(now, registered_at + max((check.timeout for check in policy.checks), default=now - now))


def counted(rows: Iterable[Backtested]) -> Mapping[Difference, int]:
    """How many versions there are of each difference."""
    found = dict.fromkeys(Difference, 0)
    for row in rows:
        found[row.difference] += 1
    return found
