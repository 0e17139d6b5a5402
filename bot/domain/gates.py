"""The three gates of a pull request: what its checks say, decided from one observation of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from bot.domain.approvals import Approvals
from bot.domain.authorisation import WINDOW, integrity_reasons
from bot.domain.fingerprint import combined
from bot.domain.instructions import Holding, Instruction
from bot.domain.manifest import Entry
from bot.domain.pipeline import Environment
from bot.domain.pull_requests import CheckName, CheckState, PullRequest
from bot.domain.windows import frozen_by, opens_at
from bot.domain.world import ChangeKind, Evaluation, Found
from policies.documents import Problem
from policies.evidence import Unreadable
from policies.verdict import Status


class Mergeability(StrEnum):
    """Whether GitHub can merge a pull request, as far as it has found out."""

    CLEAN = "clean"
    CONFLICT = "conflict"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ProposedChange:
    """One entry that merging would change, with what its gates stand on.

    `rules` are the environment's in the pipeline of the default branch, None for an environment that is not there.
    `evaluation` and `found` are None where they do not matter or the policy cannot be read.
    """

    model: str
    environment: str
    before: Entry | None
    after: Entry | None
    kind: ChangeKind
    rules: Environment | None
    owned: bool = True
    evaluation: Evaluation | None = None
    found: Found | None = None
    approvals: Approvals | None = None
    problem: str = ""
    overrides: Mapping[str, Instruction] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gate:
    """One check, decided: its state, why, and what it was decided on. Drawings of it are made elsewhere."""

    name: CheckName
    state: CheckState
    reasons: tuple[str, ...] = ()
    changes: tuple[ProposedChange, ...] = ()
    fingerprint: str = ""
    warnings: tuple[str, ...] = ()


class Fate(StrEnum):
    """What became of a proposal."""

    OPEN = "open"
    LIVE = "live"
    LOST = "lost"
    NO_EFFECT = "no effect"
    MERGED = "merged"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Standing:
    """What the text of a proposal says: its fate, its evidence, and its neighbours.

    `pipeline` is what is live in each environment, in the pipeline's order; `not_merged` why GitHub did not let the bot
    merge it; `went_back` that what was merged is a rollback.
    """

    fate: Fate
    model: str
    change: ProposedChange | None = None
    changes: tuple[ProposedChange, ...] = ()
    supersedes: int | None = None
    superseded_by: int | None = None
    reasons: tuple[str, ...] = ()
    since: datetime | None = None
    hold: Holding | None = None
    request: Instruction | None = None
    pipeline: tuple[tuple[str, Entry | None], ...] = ()
    not_merged: str = ""
    went_back: bool = False


@dataclass(frozen=True, slots=True)
class PullRequestObservation:
    """One pull request to the default branch, and the manifest that merging it would make.

    `problems` are those of the merged manifest, pipeline and policies. `rule_files` are the pipeline and policy files
    that it changes. `merged` is the commit whose files the merge would make.
    """

    pull_request: PullRequest
    mergeability: Mergeability
    changes: tuple[ProposedChange, ...] = ()
    problems: tuple[Problem, ...] = ()
    rule_files: tuple[str, ...] = ()
    merged: str | None = None


def gates(world: PullRequestObservation, now: datetime) -> tuple[Gate, ...]:
    """The three checks of a pull request; all green at once where it touches no entry and no rules."""
    return (_policy_gate(world), _approvals_gate(world), _window_gate(world, now))


def worst_of(some: tuple[Gate, ...], others: tuple[Gate, ...]) -> tuple[Gate, ...]:
    """For each check the worse of two: a commit that heads several pull requests shows the worst of them."""
    return tuple(
        one if _worst((one.state, other.state)) is one.state else other for one, other in zip(some, others, strict=True)
    )


def next_look(world: PullRequestObservation, now: datetime) -> datetime | None:
    """The moment at which the clock alone changes a gate: the earliest opening of a closed window."""
    openings = [
        opening
        for change in world.changes
        if change.rules is not None and not _ignores_freeze(change)
        if (opening := opens_at(change.rules.freeze, now)) is not None
    ]
    return min(openings, default=None)


def _policy_gate(world: PullRequestObservation) -> Gate:
    name = CheckName.POLICY
    warnings = tuple(f"changes the rules: {path}" for path in world.rule_files)
    if world.problems:
        return Gate(name, CheckState.FAILURE, tuple(str(p) for p in world.problems), warnings=warnings)
    if world.mergeability is Mergeability.CONFLICT:
        reason = "it conflicts with its base, so there is no merged manifest to judge; bring the branch up to date"
        return Gate(name, CheckState.FAILURE, (reason,), warnings=warnings)
    if world.mergeability is Mergeability.UNKNOWN:
        return Gate(name, CheckState.IN_PROGRESS, ("GitHub has not computed the merge yet",), warnings=warnings)
    judged = [(change, *_judge_entry(change)) for change in world.changes]
    state = _worst(tuple(state for _, state, _ in judged))
    reasons = tuple(
        f"{change.model} in {change.environment}: {reason}" for change, _, found in judged for reason in found
    )
    prints = tuple(c.evaluation.fingerprint(world.pull_request.head_sha) for c in world.changes if c.evaluation)
    return Gate(name, state, reasons, world.changes, combined(prints) if prints else "", warnings)


def _judge_entry(change: ProposedChange) -> tuple[CheckState, tuple[str, ...]]:
    """Where the evidence for one entry stands, and what it lacks."""
    if not change.owned:
        return CheckState.FAILURE, ("the pipeline's `models` do not name this model",)
    if change.rules is None:
        return CheckState.FAILURE, ("the pipeline has no such environment",)
    if change.kind is ChangeKind.REMOVAL or change.after is None:
        return CheckState.SUCCESS, ()
    if change.found is not None and isinstance(change.found.digest, Unreadable):
        return CheckState.IN_PROGRESS, (change.found.digest.reason,)
    if obstacles := change.rules.registry.cannot_carry(change.model):
        return CheckState.FAILURE, obstacles
    if integrity := integrity_reasons(change.after, change.found):
        return CheckState.FAILURE, integrity
    if change.evaluation is None:
        return CheckState.FAILURE, (change.problem or "the policy of this environment cannot be read",)
    verdict = change.evaluation.verdict
    reasons = tuple(f"{o.check}: measured {o.measured}, required {o.required}" for o in verdict.having(verdict.status))
    match verdict.status:
        case Status.PASS:
            return CheckState.SUCCESS, ()
        case Status.FAIL:
            return CheckState.FAILURE, reasons
        case _:
            return CheckState.IN_PROGRESS, reasons


def _approvals_gate(world: PullRequestObservation) -> Gate:
    states: list[CheckState] = []
    reasons: list[str] = []
    for change in world.changes:
        approvals = change.approvals
        if approvals is None or approvals.satisfied:
            states.append(CheckState.SUCCESS)
            continue
        states.append(
            CheckState.FAILURE if approvals.changes_requested_by or approvals.rule.obstacles else CheckState.IN_PROGRESS
        )
        where = f"{change.model} in {change.environment}"
        if approvals.missing:
            who = f" from {approvals.rule.described}" if approvals.rule.described else ""
            reasons.append(f"{where}: {approvals.missing} more of {approvals.rule.count} approvals needed{who}")
        reasons += [f"{where}: {login} requested changes" for login in approvals.changes_requested_by]
        reasons += [f"{where}: {obstacle}" for obstacle in approvals.rule.obstacles]
    return Gate(CheckName.APPROVALS, _worst(tuple(states)), tuple(reasons), world.changes)


def _window_gate(world: PullRequestObservation, now: datetime) -> Gate:
    reasons: list[str] = []
    for change in world.changes:
        if change.rules is None or _ignores_freeze(change):
            continue
        freeze = frozen_by(change.rules.freeze, now)
        opening = opens_at(change.rules.freeze, now)
        if freeze is not None and opening is not None:
            reasons.append(
                f"{change.model} in {change.environment}: closed ({freeze.reason}), opens {opening:%Y-%m-%d %H:%M} UTC"
            )
    state = CheckState.ACTION_REQUIRED if reasons else CheckState.SUCCESS
    return Gate(CheckName.WINDOW, state, tuple(reasons), world.changes)


def _ignores_freeze(change: ProposedChange) -> bool:
    """Whether a closed window does not keep this change out: a fast rollback, or an override."""
    if WINDOW in change.overrides:
        return True
    return change.rules is not None and change.kind is ChangeKind.ROLLBACK and change.rules.rollback.ignore_freeze


def _worst(states: tuple[CheckState, ...]) -> CheckState:
    order = (CheckState.FAILURE, CheckState.ACTION_REQUIRED, CheckState.IN_PROGRESS)
    return next((state for state in order if state in states), CheckState.SUCCESS)
