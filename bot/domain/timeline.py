"""What happened to a model, oldest last: read from the registry's versions, GitHub's pull requests, and the record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from bot.domain.instructions import Instruction, Said
from bot.domain.world import ChangeKind, Completion, EnvironmentState, Judgement, Observation, Ruling
from policies.verdict import Status

MOST_EVENTS: Final = 200
_TOLD: Final = {
    Said.PROMOTE: "asked for it",
    Said.ROLLBACK: "asked to go back",
    Said.CANCEL: "cancelled the proposal",
    Said.HOLD: "put automation on hold",
    Said.RESUME: "let automation go on",
    Said.OVERRIDE: "overrode a check",
}


class EventKind(StrEnum):
    """What happened."""

    REGISTERED = "registered"
    VALIDATED = "validated"
    REFUSED = "refused"
    PROPOSED = "proposed"
    COMMENTED = "commented"
    APPROVED = "approved"
    MERGED = "merged"
    NO_EFFECT = "no effect"
    ADOPTED = "adopted"
    LIVE = "live"
    ROLLED_BACK = "rolled back"
    REMOVED = "removed"


# Of what happened in the same second, what comes first.
_ORDER: Final = tuple(EventKind)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened; where it can be seen is a pull request, a comment of an issue, or a commit."""

    at: datetime
    kind: EventKind
    what: str
    environment: str = ""
    version: int | None = None
    by: str = ""
    pull_request: int | None = None
    issue: int | None = None
    comment: int | None = None
    commit: str = ""


@dataclass(frozen=True, slots=True)
class Validated:
    """When a version was judged for an environment, as far as a look remembers it, and how that came out."""

    environment: str
    version: int
    at: datetime
    status: Status


def timeline(world: Observation, validated: tuple[Validated, ...]) -> tuple[Event, ...]:
    """The newest `MOST_EVENTS` events of a model, newest first."""
    events = [*_registered(world), *_judged(world, validated)]
    for state in world.states:
        events += _proposals(state)
        events += _comments(world, state)
        for judgement in state.judgements:
            events += _outcome(state, judgement)
    events.sort(key=lambda event: (event.at, _ORDER.index(event.kind)), reverse=True)
    return tuple(events[:MOST_EVENTS])


def _registered(world: Observation) -> Iterator[Event]:
    for version in world.registered.versions if world.registered else ():
        yield Event(version.created_at, EventKind.REGISTERED, "", version=version.version, by=version.user or "")


def _judged(world: Observation, validated: tuple[Validated, ...]) -> Iterator[Event]:
    shown = {(s.rules.name, p.version): p.pull_request.number for s in world.states for p in s.proposals}
    for each in validated:
        if each.status in (Status.PASS, Status.FAIL) and world.version(each.version) is not None:
            passed = each.status is Status.PASS
            kind = EventKind.VALIDATED if passed else EventKind.REFUSED
            what = "passed every required check" if passed else "did not pass the policy"
            pull = shown.get((each.environment, each.version))
            yield Event(each.at, kind, what, each.environment, each.version, pull_request=pull)


def _proposals(state: EnvironmentState) -> Iterator[Event]:
    for proposal in state.proposals:
        pull = proposal.pull_request
        fate = "" if pull.is_open or pull.merged_at else "and closed unmerged"
        yield Event(
            pull.created_at,
            EventKind.PROPOSED,
            fate,
            state.rules.name,
            proposal.version,
            pull_request=pull.number,
        )


def _comments(world: Observation, state: EnvironmentState) -> Iterator[Event]:
    """The accepted commands; one that named the whole environment is told for each of its models."""
    for said in state.instructions:
        if said.told.model in ("", world.model):
            yield Event(
                said.at,
                EventKind.COMMENTED,
                _said(said),
                state.rules.name,
                said.told.version,
                said.by,
                issue=said.issue,
                comment=said.comment,
            )


def _said(instruction: Instruction) -> str:
    told = instruction.told
    because = f" because {told.reason}" if told.reason else ""
    return f"{_TOLD[told.said]}{f' {told.check}' if told.check else ''}{because}"


def _outcome(state: EnvironmentState, judgement: Judgement) -> Iterator[Event]:
    """A merge, who approved it, and what came of it."""
    environment, pull, commit = state.rules.name, judgement.pull_request, judgement.commit
    version = judgement.entry.version if judgement.entry else None
    if judgement.kind is ChangeKind.ADOPTION:
        yield Event(
            judgement.at,
            EventKind.ADOPTED,
            "was live already when the manifest was added",
            environment,
            version,
            commit=commit,
        )
        return
    proposal = next((p for p in state.proposals if p.pull_request.number == pull), None)
    merged_at = (proposal.pull_request.merged_at if proposal else None) or judgement.at
    if judgement.approved_by:
        who = " and ".join(judgement.approved_by)
        yield Event(merged_at, EventKind.APPROVED, "at the merged commit", environment, version, who, pull)
    how = "" if pull else "by a direct push"
    yield Event(merged_at, EventKind.MERGED, how, environment, version, judgement.by, pull, commit=commit)
    if judgement.ruling is Ruling.REFUSED:
        why = "; ".join(judgement.reasons) or "it lacked something"
        yield Event(judgement.at, EventKind.NO_EFFECT, why, environment, version, "", pull, commit=commit)
    elif judgement.completed is Completion.SUCCESS and judgement.completed_at is not None:
        yield _took_effect(environment, judgement, judgement.completed_at)


def _took_effect(environment: str, judgement: Judgement, at: datetime) -> Event:
    version = judgement.entry.version if judgement.entry else None
    kind, what = EventKind.LIVE, "took effect in the registry"
    if judgement.kind is ChangeKind.ROLLBACK:
        kind, what = EventKind.ROLLED_BACK, "went back to a version that was live before"
    elif judgement.entry is None:
        kind, what = EventKind.REMOVED, "nothing is live any more"
    return Event(at, kind, what, environment, version, "", judgement.pull_request, commit=judgement.commit)
