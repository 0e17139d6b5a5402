"""Tables: what people said, and what happens then: requests, holds, overrides, drift, soaking."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.actions import (
    AnswerRequest,
    CloseDrift,
    CloseProposal,
    LookAgain,
    MergeProposal,
    OpenProposal,
    RecordJudgement,
    ReportDrift,
    SetAlias,
    SetModelTags,
    SetStage,
)
from bot.domain.approvals import ApprovalRule, Approvals
from bot.domain.board import row
from bot.domain.candidates import candidates, evaluations_needed
from bot.domain.instructions import Instruction, Said, Settled, Told
from bot.domain.manifest import Entry
from bot.domain.pipeline import Drift, WhileSoaking
from bot.domain.promotion import decide
from bot.domain.pull_requests import Check, CheckName, CheckState, Login
from bot.domain.versions import ModelVersion, RegisteredModel
from bot.domain.world import ChangeKind, Completion, EnvironmentState, Proposal, Ruling
from policies.evidence import Unreadable, Unusable
from policies.verdict import Status
from tests.domain.test_decide import (
    NOW,
    PRODUCTION,
    STAGING,
    change,
    entry,
    evaluation,
    judgement,
    of,
    pull,
    version,
    world,
)

EARLIER, LATER = NOW - timedelta(hours=1), NOW + timedelta(hours=1)


def said(command: Said, number: int | None = None, at: datetime = NOW, **fields: object) -> Instruction:
    waiting = bool(fields.pop("waiting", command in (Said.PROMOTE, Said.ROLLBACK)))
    told = Told(command, "staging", "m", number, **fields)  # type: ignore[arg-type]
    return Instruction(told, Login("alice"), at, 3, 101, 1, waiting)


def two_live() -> tuple[object, ...]:
    return (judgement(1, commit="a"), judgement(2, commit="b"))


# --- requests ---------------------------------------------------------------------------------------------------------


def asked(request: Instruction, **fields: object) -> list[object]:
    state = EnvironmentState(STAGING, instructions=(request,), **fields)  # type: ignore[arg-type]
    return decide(world(version(1), version(2), version(3), staging=state), NOW)  # type: ignore[return-value]


def test_what_was_asked_for_is_proposed_and_answered() -> None:
    actions = asked(said(Said.PROMOTE, 1), evaluations={1: evaluation(1), 3: evaluation(3)})
    (opened,) = of(OpenProposal, actions)  # type: ignore[arg-type]
    assert isinstance(opened, OpenProposal)
    assert (opened.entry.version, opened.kind) == (1, ChangeKind.PROMOTION)
    (answer,) = of(AnswerRequest, actions)  # type: ignore[arg-type]
    assert isinstance(answer, AnswerRequest)
    assert answer.settled is Settled.DONE


@pytest.mark.parametrize(
    ("fields", "settled", "reason"),
    [
        ({"evaluations": {1: evaluation(1, Status.FAIL)}}, Settled.REFUSED, ""),
        ({"evaluations": {1: evaluation(1, Status.PENDING)}}, None, ""),
        ({"evaluations": {1: evaluation(1, Status.ERROR)}}, None, ""),
        ({}, Settled.REFUSED, "cannot be read"),
        ({"judgements": (judgement(1),), "desired": entry(1)}, Settled.REFUSED, "is live in staging already"),
        ({"proposals": (Proposal(1, pull(9, 1)),), "evaluations": {1: evaluation(1)}}, Settled.DONE, ""),
    ],
)
def test_a_request_is_answered_with_what_came_of_it(
    fields: dict[str, object], settled: Settled | None, reason: str
) -> None:
    actions = asked(said(Said.PROMOTE, 1), **fields)
    assert of(OpenProposal, actions) == []  # type: ignore[arg-type]
    answers = of(AnswerRequest, actions)  # type: ignore[arg-type]
    assert [a.settled for a in answers] == ([settled] if settled else [])  # type: ignore[attr-defined]
    assert all(reason in a.reason for a in answers)  # type: ignore[attr-defined]


def test_a_version_that_is_gone_is_refused() -> None:
    (answer,) = of(AnswerRequest, asked(said(Said.PROMOTE, 9)))  # type: ignore[arg-type]
    assert "no version 9" in answer.reason  # type: ignore[attr-defined]


def test_other_proposals_make_way_for_what_was_asked_for() -> None:
    actions = asked(
        said(Said.PROMOTE, 1),
        proposals=(Proposal(3, pull(9, 3)),),
        evaluations={1: evaluation(1), 3: evaluation(3)},
    )
    (closed,) = of(CloseProposal, actions)  # type: ignore[arg-type]
    assert "which alice asked for" in closed.reason  # type: ignore[attr-defined]


def test_what_was_registered_before_the_request_is_no_candidate_beside_it() -> None:
    request = said(Said.PROMOTE, 1, waiting=False)
    state = EnvironmentState(STAGING, instructions=(request,))
    seen = world(version(1), version(2), replace(version(3), created_at=LATER), staging=state)
    assert candidates(seen, state, NOW) == (3, 1)


def test_a_rollback_goes_back_to_what_was_live_and_nowhere_else() -> None:
    fields = {"judgements": two_live(), "desired": entry(2)}
    actions = asked(said(Said.ROLLBACK, 1), evaluations={1: evaluation(1)}, **fields)
    (opened,) = of(OpenProposal, actions)  # type: ignore[arg-type]
    assert opened.kind is ChangeKind.ROLLBACK  # type: ignore[attr-defined]
    (answer,) = of(AnswerRequest, asked(said(Said.ROLLBACK, 3), evaluations={3: evaluation(3)}, **fields))  # type: ignore[arg-type]
    assert "`/promote` proposes it" in answer.reason  # type: ignore[attr-defined]
    changed = replace(evaluation(1), entry=replace(entry(1), digest="sha256:ff"))
    (answer,) = of(AnswerRequest, asked(said(Said.ROLLBACK, 1), evaluations={1: changed}, **fields))  # type: ignore[arg-type]
    assert "other files than when it was live" in answer.reason  # type: ignore[attr-defined]


def test_a_rollback_waits_for_a_store_that_does_not_answer_and_is_told_of_files_that_are_gone() -> None:
    fields = {"judgements": two_live(), "desired": entry(2)}
    away = replace(evaluation(1, Status.ERROR), entry=Entry(1, "", ""), without_files=Unreadable("no answer"))
    actions = asked(said(Said.ROLLBACK, 1), evaluations={1: away}, **fields)
    assert of(AnswerRequest, actions) == of(OpenProposal, actions) == []  # type: ignore[arg-type]
    assert of(LookAgain, actions)  # type: ignore[arg-type]
    gone = replace(evaluation(1, Status.FAIL), entry=Entry(1, "", ""), without_files=Unusable("it has no files"))
    (answer,) = of(AnswerRequest, asked(said(Said.ROLLBACK, 1), evaluations={1: gone}, **fields))  # type: ignore[arg-type]
    assert answer.evaluation is gone  # type: ignore[attr-defined]


def test_an_asked_for_version_is_evaluated_whatever_else_passes() -> None:
    state = EnvironmentState(STAGING, instructions=(said(Said.PROMOTE, 1),))
    assert dict(evaluations_needed(world(version(1), version(2), staging=state), NOW))["staging"] == (1,)


# --- holds ------------------------------------------------------------------------------------------------------------


def open_and_green(number: int = 2) -> Proposal:
    found = evaluation(number)
    checks = {
        name: Check(name, CheckState.SUCCESS, "", fingerprint=found.fingerprint("h" * 40).value) for name in CheckName
    }
    return Proposal(number, pull(9, number), genuine=True, checks=checks, approvals=Approvals(ApprovalRule(0)))


@pytest.mark.parametrize(
    ("instructions", "merges", "closes"),
    [
        ((), True, False),
        ((said(Said.HOLD, reason="x"),), False, False),
        ((said(Said.HOLD, at=EARLIER), said(Said.RESUME)), True, False),
        ((said(Said.ROLLBACK, 1, waiting=False),), False, True),
    ],
    ids=["free", "held", "resumed", "rollback asked for"],
)
def test_what_is_held_stays_open_and_unmerged(
    instructions: tuple[Instruction, ...], merges: bool, closes: bool
) -> None:
    state = EnvironmentState(
        STAGING, proposals=(open_and_green(),), evaluations={2: evaluation(2)}, instructions=instructions
    )
    actions = decide(world(version(1), version(2), staging=state), NOW)
    assert bool(of(MergeProposal, actions)) is merges
    assert bool(of(CloseProposal, actions)) is closes


def test_a_hold_is_shown_on_the_model_and_taken_off_again() -> None:
    held = EnvironmentState(STAGING, instructions=(said(Said.HOLD, reason="the audit"),))
    (tags,) = of(SetModelTags, decide(world(version(1), staging=held), NOW))
    assert "because the audit by alice" in tags.tags["promotion.staging.hold"]  # type: ignore[attr-defined]
    seen = world(version(1))
    forged = replace(seen, registered=RegisteredModel("m", {"promotion.staging.hold": "x"}, versions=(version(1),)))
    assert SetModelTags({"promotion.staging.hold": None}) in decide(forged, NOW)


def test_the_label_holds() -> None:
    labelled = replace(open_and_green(), pull_request=replace(pull(9, 2), labels=frozenset({"hold"})))
    state = EnvironmentState(STAGING, proposals=(labelled,), evaluations={2: evaluation(2)})
    seen = world(version(2), version(3), staging=state)
    assert of(MergeProposal, decide(seen, NOW)) == []
    assert candidates(seen, state, NOW) == ()


# --- overrides --------------------------------------------------------------------------------------------------------


def test_an_override_of_the_window_lets_a_merge_in() -> None:
    closed = datetime(2026, 12, 24, tzinfo=UTC)
    override = said(Said.OVERRIDE, 1, check="window", reason="x")
    fields = {"rules": PRODUCTION, "approvals": Approvals(ApprovalRule(0)), "decided_at": closed}
    state = EnvironmentState(STAGING, desired=entry(1), change=change(1, overrides={"window": override}, **fields))
    (recorded,) = of(RecordJudgement, decide(world(version(1), staging=state), NOW))
    assert recorded.judgement.ruling is Ruling.AUTHORISED  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("fields", "lacking"),
    [
        ({"evaluation": evaluation(1, Status.FAIL)}, ("accuracy",)),
        ({"rules": PRODUCTION, "approvals": Approvals(ApprovalRule(1))}, ("",)),
        ({"rules": None}, ("",)),
    ],
)
def test_a_refusal_names_what_it_stands_on(fields: dict[str, object], lacking: tuple[str, ...]) -> None:
    state = EnvironmentState(STAGING, desired=entry(1), change=change(1, **fields))
    (recorded,) = of(RecordJudgement, decide(world(version(1), staging=state), NOW))
    assert recorded.judgement.lacking == lacking  # type: ignore[attr-defined]


def test_what_an_override_settled_is_not_judged_anew() -> None:
    refused = judgement(1, ruling=Ruling.REFUSED, completed=Completion.FAILURE, lacking=("accuracy",))
    nobody = Approvals(ApprovalRule(2))
    reopened = change(1, reopens=refused, approvals=nobody, rules=PRODUCTION)
    state = EnvironmentState(STAGING, desired=entry(1), judgements=(refused,), change=reopened)
    (recorded,) = of(RecordJudgement, decide(world(version(1), staging=state), NOW))
    assert recorded.judgement.ruling is Ruling.AUTHORISED  # type: ignore[attr-defined]


# --- drift ------------------------------------------------------------------------------------------------------------


def drifting(drift: Drift, tag: str = "", stage: str = "None", aliases: dict[str, int] | None = None) -> list[object]:
    rules = replace(STAGING, drift=drift)
    state = EnvironmentState(rules, desired=entry(1), judgements=(judgement(1),))
    seen = world(version(1, stage), version(2), staging=state)
    tags = {"promotion.staging.drift": tag} if tag else {}
    model = RegisteredModel("m", tags, aliases or {}, (version(1, stage), version(2)))
    return decide(replace(seen, registered=model), NOW)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("drift", "tag", "stage", "aliases", "repaired", "reported"),
    [
        (Drift.REPORT, "", "Staging", {"staging": 1}, False, False),
        (Drift.REPORT, "", "None", {"staging": 1}, False, True),
        (Drift.REPORT, "", "Staging", {}, False, True),
        (Drift.REPORT, "", "Staging", {"staging": 2}, False, True),
        (Drift.REPAIR, "", "None", {"staging": 2}, True, False),
        (Drift.REPAIR, "c1 1", "None", {"staging": 2}, True, False),
        (Drift.REPAIR, "c1 2", "None", {"staging": 2}, False, True),
        (Drift.REPAIR, "c0 2", "None", {"staging": 2}, True, False),
    ],
)
def test_drift_is_repaired_or_reported(
    drift: Drift, tag: str, stage: str, aliases: dict[str, int], repaired: bool, reported: bool
) -> None:
    actions = drifting(drift, tag, stage, aliases)
    assert bool(of(SetAlias, actions) + of(SetStage, actions)) is repaired  # type: ignore[arg-type]
    assert bool(of(ReportDrift, actions)) is reported  # type: ignore[arg-type]


def test_drift_that_is_reported_is_not_reported_again_and_closed_when_it_is_gone() -> None:
    (tags,) = of(SetModelTags, drifting(Drift.REPORT))  # type: ignore[arg-type]
    known = tags.tags["promotion.staging.drift"]  # type: ignore[attr-defined]
    assert drifting(Drift.REPORT, known) == []
    gone = drifting(Drift.REPORT, known, "Staging", {"staging": 1})
    assert of(CloseDrift, gone) == [CloseDrift("staging")]  # type: ignore[arg-type]


def test_what_is_under_way_is_no_drift() -> None:
    state = EnvironmentState(STAGING, desired=entry(1), judgements=(judgement(1, live=False),))
    assert of(ReportDrift, decide(world(version(1), staging=state), NOW)) == []


# --- soaking ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("soaking", "hours", "named"),
    [
        (WhileSoaking.REPLACE, 0.5, (2,)),
        (WhileSoaking.WAIT, 0.5, ()),
        (WhileSoaking.WAIT, 1.0, (2,)),
    ],
)
def test_a_newer_version_replaces_what_soaks_or_waits_for_it(
    soaking: WhileSoaking, hours: float, named: tuple[int, ...]
) -> None:
    live = judgement(1, completed_at=NOW - timedelta(hours=hours))
    staging = EnvironmentState(STAGING, desired=entry(1), judgements=(live,))
    production = EnvironmentState(replace(PRODUCTION, while_soaking=soaking))
    seen = world(version(1), version(2), staging=staging, production=production)
    assert candidates(seen, staging, NOW) == named


def test_the_board_says_when_an_environment_is_starved() -> None:
    times = [NOW - timedelta(minutes=10 * n) for n in (5, 4, 3, 2)]
    judged = tuple(judgement(n + 1, commit=str(n), at=at, completed_at=at) for n, at in enumerate(times))
    staging = EnvironmentState(STAGING, desired=entry(4), judgements=judged)
    seen = world(*(ModelVersion("m", n, EARLIER) for n in range(1, 5)), staging=staging)
    first, production = row(seen, NOW)
    assert first.live == entry(4)
    assert any("starved" in note for note in production.notes)
    assert not any("starved" in note for cell in row(world(version(1)), NOW) for note in cell.notes)
