"""The open proposals of a model: which stay, which go, and which the bot may merge."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from bot.domain import naming
from bot.domain.actions import (
    Action,
    CloseProposal,
    LabelProposal,
    LookAt,
    MergeProposal,
    RenewProposal,
    SetModelTags,
    tag_missing,
)
from bot.domain.authorisation import WINDOW, kind_of_going_to
from bot.domain.candidates import passing_candidate
from bot.domain.instructions import HoldKind, Instruction
from bot.domain.keys import PullRequestKey
from bot.domain.pipeline import After, Merge
from bot.domain.pull_requests import CheckName, CheckState
from bot.domain.windows import frozen_by
from bot.domain.world import ChangeKind, EnvironmentState, Evaluation, Observation, Proposal
from policies.verdict import Status


def settle_proposals(world: Observation, now: datetime) -> Iterator[Action]:
    """Close what was overtaken, label what lacks labels, merge what the pipeline lets the bot merge."""
    for state in world.states:
        yield from _show_hold(world, state)
        candidate = passing_candidate(world, state, now)
        leading = _leading(state)
        for proposal in state.open_proposals:
            reason = _why_close(world, state, proposal, candidate)
            if reason is None and leading is not None and proposal is not leading:
                reason = f"superseded by #{leading.pull_request.number}"
            if reason is not None:
                yield CloseProposal(
                    state.rules.name, proposal.pull_request.number, proposal.pull_request.head_ref, reason
                )
                yield LookAt(PullRequestKey(world.repository, proposal.pull_request.number))
                continue
            yield from _keep(world, state, proposal, now)


def _why_close(
    world: Observation, state: EnvironmentState, proposal: Proposal, candidate: Evaluation | None
) -> str | None:
    """Why an open proposal must go; None where it stays."""
    asked = state.request
    is_asked_for = asked is not None and asked.told.version == proposal.version
    if state.hold and state.hold.kind is HoldKind.ROLLBACK and not is_asked_for and not _goes_back(state, proposal):
        return f"{state.rules.name} is held: {state.hold}"
    if asked is not None and not is_asked_for and _can_be_opened(state, asked):
        return f"superseded by version {asked.told.version}, which {asked.by} asked for"
    if world.version(proposal.version) is None:
        return f"version {proposal.version} is not in the registry any more"
    if state.live and state.live.version == proposal.version:
        return f"version {proposal.version} is live in {state.rules.name} already"
    if candidate is not None and candidate.entry.version > proposal.version:
        return f"superseded by version {candidate.entry.version}"
    if isinstance(state.rules.propose, After) and not is_asked_for:
        return _left_for_good(world.environments[state.rules.propose.environment], proposal.version)
    return None


def _leading(state: EnvironmentState) -> Proposal | None:
    """The one proposal that stays where there are several: what was asked for, else the newest version."""
    asked = state.request
    wanted = next((p for p in state.open_proposals if asked and p.version == asked.told.version), None)
    return wanted or next(iter(state.open_proposals), None)


def _goes_back(state: EnvironmentState, proposal: Proposal) -> bool:
    return kind_of_going_to(state, proposal.version)[0] is ChangeKind.ROLLBACK


def _can_be_opened(state: EnvironmentState, asked: Instruction) -> bool:
    """Whether what somebody asked for takes the place of other proposals now."""
    evaluation = state.evaluations.get(asked.told.version or 0)
    passed = evaluation is not None and evaluation.verdict.status_before_proposal is Status.PASS
    return asked.waiting and passed


def _show_hold(world: Observation, state: EnvironmentState) -> Iterator[Action]:
    """Say on the registered model that automation stands still for it; a sign for people, nothing reads it."""
    if world.registered is None:
        return
    key, there = naming.hold_tag(state.rules.name), world.registered.tags.get(naming.hold_tag(state.rules.name))
    wanted = naming.one_line(str(state.hold)) if state.hold else None
    if wanted != there:
        yield SetModelTags({key: wanted})


def _left_for_good(earlier: EnvironmentState, version: int) -> str | None:
    """Why a version is not what the earlier environment stands for any more: removed or rolled back, not replaced."""
    if earlier.live is not None and earlier.live.version == version:
        return None
    if earlier.last is not None and earlier.last.kind in (ChangeKind.ROLLBACK, ChangeKind.REMOVAL):
        return f"version {version} was taken out of {earlier.rules.name}"
    return None


def _keep(world: Observation, state: EnvironmentState, proposal: Proposal, now: datetime) -> Iterator[Action]:
    environment, pull = state.rules.name, proposal.pull_request
    if not set(naming.labels(environment)) <= pull.labels:
        yield LabelProposal(environment, pull.number)
    tags = {f"promotion.{environment}.status": "proposed", f"promotion.{environment}.pr": str(pull.number)}
    for check, override in state.overrides(proposal.version).items():
        tags[naming.override_tag(environment, check)] = f"{override.by}: {override.told.reason}"
    yield from tag_missing(world, proposal.version, tags)
    evaluation = state.evaluations.get(proposal.version)
    if proposal.conflicts:
        if proposal.genuine and evaluation is not None and evaluation.verdict.status_before_proposal is Status.PASS:
            yield RenewProposal(environment, evaluation)
            yield LookAt(PullRequestKey(world.repository, pull.number))
    elif _checks_are_behind(state, proposal):
        yield LookAt(PullRequestKey(world.repository, pull.number))
    elif _may_merge(world, state, proposal, now):
        said = (f"{check} was overridden by {o.by}: {o.told.reason}" for check, o in _used(state, proposal).items())
        yield MergeProposal(environment, pull.number, pull.head_sha, tuple(said))


def _checks_are_behind(state: EnvironmentState, proposal: Proposal) -> bool:
    """Whether the checks that the bot would merge on do not stand on what was evaluated just now."""
    evaluation = state.evaluations.get(proposal.version)
    if state.rules.merge is not Merge.AUTO or evaluation is None:
        return False
    policy = proposal.checks.get(CheckName.POLICY)
    return policy is None or policy.fingerprint != evaluation.fingerprint(proposal.pull_request.head_sha).value


def _may_merge(world: Observation, state: EnvironmentState, proposal: Proposal, now: datetime) -> bool:
    """Whether the bot merges: every gate computed anew, and the checks that people see, on the same evidence, green."""
    rules = state.rules
    evaluation = state.evaluations.get(proposal.version)
    if rules.merge is not Merge.AUTO or not proposal.genuine or evaluation is None:
        return False
    if state.change is not None or _waits_for_successor(world, state, proposal):
        return False
    if state.hold and not (state.hold.kind is HoldKind.ROLLBACK and _goes_back(state, proposal)):
        return False
    green = all(name in proposal.checks and proposal.checks[name].state is CheckState.SUCCESS for name in CheckName)
    approved = proposal.approvals is not None and proposal.approvals.satisfied
    ignores_freeze = _goes_back(state, proposal) and rules.rollback.ignore_freeze
    is_open = ignores_freeze or WINDOW in _used(state, proposal) or frozen_by(rules.freeze, now) is None
    return green and approved and is_open and evaluation.verdict.status is Status.PASS


def _used(state: EnvironmentState, proposal: Proposal) -> dict[str, Instruction]:
    return state.overrides(proposal.version)


def _waits_for_successor(world: Observation, state: EnvironmentState, proposal: Proposal) -> bool:
    """Whether the version left the environment that it came after because a newer one took its place."""
    rule = state.rules.propose
    if not isinstance(rule, After) or (state.request and state.request.told.version == proposal.version):
        return False
    earlier = world.environments[rule.environment].live
    return earlier is None or earlier.version != proposal.version
