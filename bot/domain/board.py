"""The board: how each model stands in each environment, as one value that every page and answer draws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import Final

from bot.domain import naming
from bot.domain.authorisation import WINDOW, kind_of_going_to
from bot.domain.drift import drift_of
from bot.domain.instructions import HoldKind
from bot.domain.manifest import Entry
from bot.domain.pipeline import After, Drift, Environment, Merge
from bot.domain.windows import frozen_by, opens_at
from bot.domain.world import ChangeKind, EnvironmentState, Observation, Proposal

_STARVED_AFTER: Final = 3  # versions in a row that were replaced before they had soaked
LEFT_TO_PEOPLE: Final = ("Review it.", "Decide on it.")  # what to do about a proposal that the bot does not merge
_MOST_NAMED: Final = 4  # people and teams; there may be dozens


class MatterKind(StrEnum):
    """What there may be to do about a model in an environment."""

    WAITING = "waiting"
    HELD = "held"
    FROZEN = "frozen"
    DRIFTING = "drifting"
    REFUSED = "refused"
    EVIDENCE = "evidence"
    JUDGED = "judged"
    STARVED = "starved"
    TAKEN = "taken"


@dataclass(frozen=True, slots=True)
class Matter:
    """One thing that is not settled: what it is, and the one thing to do next. `until` is when it ends by itself."""

    kind: MatterKind
    what: str
    do: str
    pull_request: int | None = None
    version: int | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Proposed:
    """A version that waits in a pull request: since when, and for whom."""

    version: int
    pull_request: int
    since: datetime
    waits_for: str


@dataclass(frozen=True, slots=True)
class Cell:
    """One model in one environment. `since` is when what is live went live, `by` who merged it."""

    model: str
    environment: str
    live: Entry | None = None
    since: datetime | None = None
    by: str = ""
    proposed: tuple[Proposed, ...] = ()
    hold: str | None = None
    matters: tuple[Matter, ...] = ()

    def has(self, kind: MatterKind) -> bool:
        """Whether something of this kind is not settled."""
        return any(matter.kind is kind for matter in self.matters)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is out of order, in words, beside its proposals and its hold."""
        said = (m for m in self.matters if m.kind not in (MatterKind.WAITING, MatterKind.HELD))
        return tuple(f"{matter.kind}: {matter.what}" for matter in said)


def row(world: Observation, now: datetime) -> tuple[Cell, ...]:
    """How one model stands in every environment of its pipeline."""
    return tuple(_cell(world, state, now) for state in world.states)


def _cell(world: Observation, state: EnvironmentState, now: datetime) -> Cell:
    last = state.last if state.live else None
    return Cell(
        model=world.model,
        environment=state.rules.name,
        live=state.live,
        since=last.completed_at if last else None,
        by=last.by if last else "",
        proposed=tuple(_proposed(state, proposal) for proposal in state.open_proposals),
        hold=str(state.hold) if state.hold else None,
        matters=(
            *_held(world, state),
            *_waiting(state, now),
            *_taken(state),
            *_refused(world, state),
            *_drifting(world, state),
            *_unsettled(world, state),
        ),
    )


def _proposed(state: EnvironmentState, proposal: Proposal) -> Proposed:
    pull = proposal.pull_request
    return Proposed(proposal.version, pull.number, pull.created_at, waits_for(state.rules))


def waits_for(rules: Environment) -> str:
    """Whom a proposal for an environment waits for, by the pipeline alone."""
    wanted = rules.approvals
    if wanted.count:
        of = named(wanted.allowed) or "people who may write"
        return f"{wanted.count} approval{'' if wanted.count == 1 else 's'} of {of}"
    return "its checks; the bot merges it" if rules.merge is Merge.AUTO else "somebody who may merge it"


def named(people: tuple[str, ...]) -> str:
    """The first of so many people and teams in words."""
    more = len(people) - _MOST_NAMED
    return ", ".join(people[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _held(world: Observation, state: EnvironmentState) -> Iterator[Matter]:
    hold = state.hold
    if hold is None:
        return
    where = f"{naming.one_line(world.model)} in {state.rules.name}"
    do = f"Comment `/resume {where}` when automation may go on."
    if hold.kind is HoldKind.LABEL:
        do = "Take the label off the pull request when automation may go on."
    yield Matter(MatterKind.HELD, hold.why + (f", by {hold.by}" if hold.by else ""), do, since=hold.at)


def _waiting(state: EnvironmentState, now: datetime) -> Iterator[Matter]:
    """The open proposals, and the window where it keeps them."""
    for proposal in state.open_proposals:
        pull, version = proposal.pull_request, proposal.version
        wanted, merges = state.rules.approvals.count, state.rules.merge
        do = LEFT_TO_PEOPLE[0 if wanted else 1]
        if merges is Merge.AUTO:
            do = "Review it; the bot merges." if wanted else "Nothing: the bot merges it once its checks are green."
        what = f"v{version} waits for {waits_for(state.rules)}"
        yield Matter(MatterKind.WAITING, what, do, pull.number, version, since=pull.created_at)
        freeze = None if _ignores_freeze(state, proposal) else frozen_by(state.rules.freeze, now)
        if freeze is not None:
            opening = opens_at(state.rules.freeze, now)
            opens = f"It opens {opening:%a %Y-%m-%d %H:%M} UTC" if opening else "It does not open by itself"
            who = f"; {named(state.rules.overrides)} may `/override window because …`" if state.rules.overrides else ""
            what = f"the window is closed: {freeze.reason}"
            yield Matter(MatterKind.FROZEN, what, f"{opens}{who}.", pull.number, version, until=opening)


def _taken(state: EnvironmentState) -> Iterator[Matter]:
    """Pull requests of others where the bot's would be."""
    for version, pull in state.taken.items():
        what = f"{pull.author} uses the branch of v{version}'s proposal"
        do = "Merge or close it; the bot proposes nothing from a branch that somebody else uses."
        yield Matter(MatterKind.TAKEN, what, do, pull.number, version, since=pull.created_at)


def _ignores_freeze(state: EnvironmentState, proposal: Proposal) -> bool:
    """Whether a closed window does not keep a proposal: a fast rollback, or an override."""
    goes_back = kind_of_going_to(state, proposal.version)[0] is ChangeKind.ROLLBACK
    return (goes_back and state.rules.rollback.ignore_freeze) or WINDOW in state.overrides(proposal.version)


def _refused(world: Observation, state: EnvironmentState) -> Iterator[Matter]:
    """The newest version, where the policy refused it, and a merge that took no effect."""
    environment = state.rules.name
    if state.change is None and state.desired != state.live:
        last = state.judgements[-1] if state.judgements else None
        lacks = f": {last.reasons[0]}" if last and last.reasons else ""
        what = f"the manifest says {_version_of(state.desired)}, which did not take effect{lacks}"
        do = "Revert the merge, or settle what its issue says that it lacked."
        yield Matter(
            MatterKind.REFUSED,
            what,
            do,
            last.pull_request if last else None,
            state.desired.version if state.desired else None,
            since=last.at if last else None,
        )
    newest = world.registered.versions[-1] if world.registered and world.registered.versions else None
    if newest is None or newest.tags.get(f"promotion.{environment}.status") != "refused":
        return
    if (state.live and state.live.version >= newest.version) or any(
        p.version >= newest.version for p in state.open_proposals
    ):
        return
    reason = newest.tags.get(f"promotion.{environment}.reason", "").partition("\n")[0]
    what = f"v{newest.version} was refused" + (f": {naming.one_line(reason)}" if reason else "")
    do = "Register a version that passes, or have it overridden."
    yield Matter(MatterKind.REFUSED, what, do, version=newest.version, since=newest.created_at)


def _version_of(entry: Entry | None) -> str:
    return f"v{entry.version}" if entry else "that nothing is live"


def _drifting(world: Observation, state: EnvironmentState) -> Iterator[Matter]:
    do = "Put it back in MLflow, or merge a promotion that says the same."
    if state.rules.drift is Drift.REPAIR:
        do = "Nothing: the bot repairs it; its issue says so where somebody keeps undoing that."
    for drifted in drift_of(world, state):
        yield Matter(MatterKind.DRIFTING, drifted.what, do)


def _unsettled(world: Observation, state: EnvironmentState) -> Iterator[Matter]:
    request = state.request
    if request is not None and request.waiting:
        what = f"v{request.told.version}, asked for by {request.by}, waits for evidence"
        do = "Let its run end with everything that the policy asks for."
        yield Matter(MatterKind.EVIDENCE, what, do, version=request.told.version, since=request.at)
    if state.change is not None:
        what = "a change of the manifest is being judged"
        yield Matter(MatterKind.JUDGED, what, "Nothing: the bot looks again by itself.", since=state.change.made_at)
    if _is_starved(world, state):
        what = "versions before it are replaced faster than they soak"
        yield Matter(MatterKind.STARVED, what, "Set `while_soaking: wait`, or register less often.")


def _is_starved(world: Observation, state: EnvironmentState) -> bool:
    """Whether nothing comes here because what should soak first is replaced again and again."""
    rule = state.rules.propose
    if not isinstance(rule, After):
        return False
    earlier = world.environments[rule.environment].authorised
    here = max((j.at for j in state.authorised), default=None)
    lived = [newer.at - older.at for older, newer in pairwise(earlier) if here is None or newer.at > here]
    return len(lived) >= _STARVED_AFTER and all(time < rule.soak for time in lived[-_STARVED_AFTER:])
