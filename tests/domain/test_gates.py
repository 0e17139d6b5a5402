"""Tables: this pull request at this moment, these checks."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.approvals import ApprovalRule, Approvals
from bot.domain.gates import Mergeability, ProposedChange, PullRequestObservation, gates, next_look, worst_of
from bot.domain.instructions import Said
from bot.domain.pull_requests import CheckName, CheckState
from bot.domain.world import ChangeKind, Found
from policies.documents import Problem
from policies.evidence import Unreadable, Unusable
from policies.verdict import Status
from tests.domain.test_decide import PRODUCTION, digest, entry, evaluation, pull
from tests.domain.test_decide_steered import said

FROZEN = datetime(2026, 12, 24, 12, 0, tzinfo=UTC)
OPENS = datetime(2027, 1, 4, tzinfo=UTC)


def change(**fields: object) -> ProposedChange:
    base = ProposedChange(
        model="m",
        environment="production",
        before=None,
        after=entry(1),
        kind=ChangeKind.PROMOTION,
        rules=PRODUCTION,
        evaluation=evaluation(1),
        found=Found(digest(1)),
        approvals=Approvals(ApprovalRule(0)),
    )
    return replace(base, **fields)  # type: ignore[arg-type]


def observed(*changes: ProposedChange, **fields: object) -> PullRequestObservation:
    return replace(PullRequestObservation(pull(9, 1), Mergeability.CLEAN, changes), **fields)  # type: ignore[arg-type]


def state(world: PullRequestObservation, name: CheckName, now: datetime) -> CheckState:
    return next(gate.state for gate in gates(world, now) if gate.name is name)


@pytest.mark.parametrize(
    ("now", "fields", "expected"),
    [
        (FROZEN, {}, CheckState.ACTION_REQUIRED),
        (OPENS - timedelta(seconds=1), {}, CheckState.ACTION_REQUIRED),
        (OPENS, {}, CheckState.SUCCESS),
        (FROZEN, {"kind": ChangeKind.ROLLBACK}, CheckState.SUCCESS),
        (FROZEN, {"overrides": {"window": said(Said.OVERRIDE, 1, check="window")}}, CheckState.SUCCESS),
        (FROZEN, {"overrides": {"accuracy": said(Said.OVERRIDE, 1, check="accuracy")}}, CheckState.ACTION_REQUIRED),
    ],
)
def test_the_window_opens_by_itself(now: datetime, fields: dict[str, object], expected: CheckState) -> None:
    world = observed(change(**fields))
    assert state(world, CheckName.WINDOW, now) is expected
    assert next_look(world, now) == (OPENS if expected is CheckState.ACTION_REQUIRED else None)


@pytest.mark.parametrize(
    ("world", "expected"),
    [
        (observed(), CheckState.SUCCESS),
        (observed(change()), CheckState.SUCCESS),
        (observed(change(evaluation=evaluation(1, Status.FAIL))), CheckState.FAILURE),
        (observed(change(evaluation=evaluation(1, Status.PENDING))), CheckState.IN_PROGRESS),
        (observed(change(evaluation=evaluation(1, Status.ERROR))), CheckState.IN_PROGRESS),
        (observed(change(found=Found(digest(2)))), CheckState.FAILURE),
        (observed(change(found=Found(None))), CheckState.FAILURE),
        (observed(change(found=Found(Unusable("it has no files")))), CheckState.FAILURE),
        (observed(change(found=Found(Unreadable("the store is away")))), CheckState.IN_PROGRESS),
        (observed(change(owned=False)), CheckState.FAILURE),
        (observed(change(rules=None)), CheckState.FAILURE),
        (observed(change(evaluation=None, problem="unreadable")), CheckState.FAILURE),
        (observed(change(after=None, kind=ChangeKind.REMOVAL, evaluation=None)), CheckState.SUCCESS),
        (observed(change(), change(evaluation=evaluation(1, Status.FAIL))), CheckState.FAILURE),
        (observed(mergeability=Mergeability.CONFLICT), CheckState.FAILURE),
        (observed(mergeability=Mergeability.UNKNOWN), CheckState.IN_PROGRESS),
        (observed(problems=(Problem("versions.yaml", 1, 1, "is wrong"),)), CheckState.FAILURE),
    ],
)
def test_the_policy_gate(world: PullRequestObservation, expected: CheckState) -> None:
    assert state(world, CheckName.POLICY, FROZEN) is expected


@pytest.mark.parametrize(
    ("approvals", "expected"),
    [
        (None, CheckState.SUCCESS),
        (Approvals(ApprovalRule(0)), CheckState.SUCCESS),
        (Approvals(ApprovalRule(1)), CheckState.IN_PROGRESS),
        (Approvals(ApprovalRule(1), ("alice",)), CheckState.SUCCESS),  # type: ignore[arg-type]
        (Approvals(ApprovalRule(1), ("alice",), ("bob",)), CheckState.FAILURE),  # type: ignore[arg-type]
        (Approvals(ApprovalRule(1, obstacles=("nobody knows who",))), CheckState.FAILURE),
    ],
)
def test_the_approvals_gate(approvals: Approvals | None, expected: CheckState) -> None:
    assert state(observed(change(approvals=approvals)), CheckName.APPROVALS, FROZEN) is expected


def test_a_shared_head_shows_the_worst() -> None:
    good, bad = gates(observed(change()), OPENS), gates(observed(change(found=Found(None))), FROZEN)
    worst = [CheckState.FAILURE, CheckState.SUCCESS, CheckState.ACTION_REQUIRED]
    assert [gate.state for gate in worst_of(good, bad)] == worst
    assert [gate.state for gate in worst_of(bad, good)] == worst
