"""Tables: this world, these actions."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.actions import (
    Action,
    CloseLostVersion,
    CloseProposal,
    CloseRefusedChange,
    CompleteJudgement,
    CreateRelease,
    CreateTag,
    LookAgain,
    MergeProposal,
    OpenProposal,
    PassCommitCheck,
    RecordJudgement,
    RenewProposal,
    ReportLostVersion,
    ReportRefusedChange,
    SetAlias,
    SetStage,
    SetVersionTags,
    StartCommitCheck,
    StoreVerdict,
)
from bot.domain.approvals import ApprovalRule, Approvals
from bot.domain.candidates import candidates
from bot.domain.manifest import Entry
from bot.domain.pipeline import parse_pipeline
from bot.domain.promotion import decide
from bot.domain.pull_requests import Check, CheckName, CheckState, Login, PullRequest
from bot.domain.versions import ModelVersion, RegisteredModel
from bot.domain.world import (
    Change,
    ChangeKind,
    Completion,
    EnvironmentState,
    Evaluation,
    Found,
    Judgement,
    Observation,
    Proposal,
    Ruling,
)
from policies.evidence import Evidence, Unreadable, Unusable, VersionEvidence
from policies.verdict import Outcome, Status, Verdict

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
PIPELINE = parse_pipeline("""\
apiVersion: promotion-bot/v1
kind: Pipeline
models: [m]
environments:
  - {name: staging, policy: p.yaml, propose: on_registration, merge: auto, registry: {stage: Staging, alias: staging}}
  - name: production
    policy: p.yaml
    propose: {after: staging, soak: 1h}
    approvals: {count: 1}
    freeze: [{from: "2026-12-20", until: "2027-01-04", reason: year end}]
    registry: {stage: Production, alias: champion, archive_existing: true}
releases: {github_release: true}
""")
STAGING, PRODUCTION = PIPELINE.environments


def digest(version: int) -> str:
    return f"sha256:{version:064x}"


def entry(version: int) -> Entry:
    return Entry(version, digest(version), f"1.0.{version}")


def evaluation(version: int, status: Status = Status.PASS) -> Evaluation:
    outcome = Outcome("accuracy", "metric", status, "0.5", "at least 0.9")
    subject = VersionEvidence("m", version, NOW)
    evidence = Evidence("staging", subject, None, NOW)
    return Evaluation(entry(version), Verdict("p", (outcome,)), evidence, "policy", "pipeline", None)


def judgement(version: int | None, *, commit: str = "c1", live: bool = True, **fields: object) -> Judgement:
    base = Judgement(
        entry=entry(version) if version else None,
        commit=commit,
        ruling=Ruling.AUTHORISED,
        kind=ChangeKind.PROMOTION,
        at=NOW - timedelta(hours=2),
        completed=Completion.SUCCESS if live else None,
        completed_at=NOW - timedelta(hours=2) if live else None,
    )
    return replace(base, **fields)  # type: ignore[arg-type]


def pull(number: int, version: int, *, is_open: bool = True, merged: bool = False) -> PullRequest:
    return PullRequest(
        number=number,
        title="",
        body="<!-- promotion-bot:settled -->",
        author=Login("bot"),
        is_open=is_open,
        head_sha="h" * 40,
        head_ref=f"promotion/staging/m-v{version}",
        head_repository="o/r",
        base_ref="main",
        labels=frozenset({"promotion", "environment:staging", "environment:production"}),
        created_at=NOW,
        merged_at=NOW if merged else None,
    )


def world(*versions: ModelVersion, aliases: dict[str, int] | None = None, **states: EnvironmentState) -> Observation:
    return Observation(
        repository="o/r",
        model="m",
        head="head",
        pipeline=PIPELINE,
        registered=RegisteredModel("m", aliases=aliases or {}, versions=versions),
        environments={
            "staging": states.get("staging", EnvironmentState(STAGING)),
            "production": states.get("production", EnvironmentState(PRODUCTION)),
        },
    )


def version(number: int, stage: str = "None", **tags: str) -> ModelVersion:
    return ModelVersion("m", number, NOW, stage=stage, tags={k.replace("__", "."): v for k, v in tags.items()})


def of(kind: type, actions: list[Action]) -> list[Action]:
    return [action for action in actions if isinstance(action, kind)]


def test_nothing_registered_nothing_to_do() -> None:
    assert decide(world(), NOW) == []


@pytest.mark.parametrize(
    ("verdicts", "proposed"),
    [
        ({1: Status.PASS}, 1),
        ({2: Status.PASS, 1: Status.PASS}, 2),
        ({2: Status.FAIL, 1: Status.PASS}, 1),
        ({2: Status.PENDING, 1: Status.PASS}, 1),
        ({2: Status.ERROR}, None),
        ({1: Status.FAIL}, None),
        ({1: Status.PENDING}, None),
    ],
)
def test_the_newest_version_that_passes_is_proposed(verdicts: dict[int, Status], proposed: int | None) -> None:
    state = EnvironmentState(STAGING, evaluations={v: evaluation(v, s) for v, s in verdicts.items()})
    opened = of(OpenProposal, decide(world(version(1), version(2), staging=state), NOW))
    assert [a.evaluation.entry.version for a in opened] == ([proposed] if proposed else [])  # type: ignore[attr-defined]


def test_an_outage_takes_no_refusal_back() -> None:
    told = replace(version(1), tags={"promotion.staging.status": "refused", "promotion.staging.reason": "too bad"})
    for undecided, said in ((Status.ERROR, []), (Status.PENDING, [{"promotion.staging.status": "waiting"}])):
        state = EnvironmentState(STAGING, evaluations={1: evaluation(1, undecided)})
        actions = decide(world(told, staging=state), NOW)
        assert [a.tags for a in of(SetVersionTags, actions)] == said  # type: ignore[attr-defined]
        assert of(LookAgain, actions)


def test_a_refused_version_says_why() -> None:
    state = EnvironmentState(STAGING, evaluations={1: evaluation(1, Status.FAIL)})
    (tags,) = of(SetVersionTags, decide(world(version(1), staging=state), NOW))
    assert isinstance(tags, SetVersionTags)
    assert tags.tags["validation_status"] == "failed"
    assert tags.tags["promotion.staging.status"] == "refused"
    assert tags.tags["promotion.staging.reason"] == "accuracy: measured 0.5, required at least 0.9"


@pytest.mark.parametrize(
    ("state", "named"),
    [
        (EnvironmentState(STAGING), (3, 2, 1)),
        (EnvironmentState(STAGING, judgements=(judgement(2),)), (3,)),
        (EnvironmentState(STAGING, judgements=(judgement(3, commit="a"), judgement(1, commit="b"))), ()),
        (EnvironmentState(STAGING, proposals=(Proposal(2, pull(1, 2, is_open=False)),)), (3,)),
        (EnvironmentState(STAGING, proposals=(Proposal(2, pull(1, 2)),)), (3, 2, 1)),
        (EnvironmentState(STAGING, judgements=(judgement(1, kind=ChangeKind.ROLLBACK),)), ()),
    ],
    ids=["all", "newer than live", "never live before", "refused by a person", "open is no refusal", "held"],
)
def test_candidates(state: EnvironmentState, named: tuple[int, ...]) -> None:
    assert candidates(world(version(1), version(2), version(3), staging=state), state, NOW) == named


def test_nothing_is_proposed_from_a_branch_that_somebody_else_uses() -> None:
    passed = {2: evaluation(2), 1: evaluation(1)}
    free = EnvironmentState(STAGING, evaluations=passed)
    assert [a.entry.version for a in of(OpenProposal, decide(world(version(1), version(2), staging=free), NOW))] == [2]
    taken = EnvironmentState(STAGING, evaluations=passed, taken={2: pull(12, 2)})
    assert of(OpenProposal, decide(world(version(1), version(2), staging=taken), NOW)) == []


@pytest.mark.parametrize(("hours", "named"), [(0.9, ()), (1.0, (1,)), (2.0, (1,))])
def test_soak_counts_from_going_live(hours: float, named: tuple[int, ...]) -> None:
    live = judgement(1, completed_at=NOW - timedelta(hours=hours))
    seen = world(version(1), staging=EnvironmentState(STAGING, judgements=(live,)))
    assert candidates(seen, seen.environments["production"], NOW) == named
    waits = of(LookAgain, decide(seen, NOW))
    assert waits == ([] if named else [LookAgain(NOW - timedelta(hours=hours) + timedelta(hours=1))])


def change(version: int | None, **fields: object) -> Change:
    base = Change(
        commit="c2",
        entry=entry(version) if version else None,
        rules=STAGING,
        decided_at=NOW,
        by="bob",
        pull_request=pull(9, version or 1, is_open=False, merged=True),
        approvals=Approvals(ApprovalRule(0)),
        evaluation=evaluation(version) if version else None,
        found=Found(digest(version)) if version else None,
    )
    return replace(base, **fields)  # type: ignore[arg-type]


def test_an_authorised_entry_is_recorded_first_and_completed_last() -> None:
    state = EnvironmentState(STAGING, desired=entry(1), change=change(1))
    stored, *actions = decide(world(version(1), staging=state), NOW)
    assert isinstance(stored, StoreVerdict), "what it is authorised on is kept before it counts"
    assert isinstance(actions[0], RecordJudgement)
    assert actions[0].judgement.ruling is Ruling.AUTHORISED
    assert SetStage(1, "Staging") in actions
    assert SetAlias("staging", 1) in actions
    completed = actions.index(next(a for a in actions if isinstance(a, CompleteJudgement)))
    assert completed > actions.index(SetAlias("staging", 1))


REFUSALS = [
    ({"found": Found(None)}, "is not in the registry"),
    ({"found": Found(Unusable("version 1 has no files"))}, "has no files"),
    ({"found": Found(digest(7))}, "have the digest"),
    ({"evaluation": evaluation(1, Status.FAIL)}, "check “accuracy” failed"),
    ({"rules": None}, "has no environment"),
    ({"rules": PRODUCTION, "approvals": None, "pull_request": None}, "pushed without a pull request"),
    ({"rules": PRODUCTION, "approvals": Approvals(ApprovalRule(1))}, "0 of 1 approvals"),
    (
        {
            "rules": PRODUCTION,
            "approvals": Approvals(ApprovalRule(0)),
            "decided_at": datetime(2026, 12, 24, tzinfo=UTC),
        },
        "the window was closed",
    ),
]


@pytest.mark.parametrize(("fields", "reason"), REFUSALS, ids=[reason for _, reason in REFUSALS])
def test_what_a_merged_entry_lacks_is_said_and_nothing_moves(fields: dict[str, object], reason: str) -> None:
    state = EnvironmentState(STAGING, desired=entry(1), change=change(1, **fields))
    actions = decide(world(version(1), staging=state), NOW)
    (recorded,) = of(RecordJudgement, actions)
    assert isinstance(recorded, RecordJudgement)
    assert recorded.judgement.ruling is Ruling.REFUSED
    assert any(reason in r for r in recorded.judgement.reasons)
    assert of(SetStage, actions) == of(SetAlias, actions) == []
    assert len(of(ReportRefusedChange, actions)) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"found": Found(Unreadable("the store is away"))},
        {"evaluation": evaluation(1, Status.PENDING)},
        {"evaluation": evaluation(1, Status.ERROR)},
        {"evaluation": None},
    ],
)
def test_pending_and_error_are_no_judgement_yet(fields: dict[str, object]) -> None:
    state = EnvironmentState(STAGING, desired=entry(1), change=change(1, **fields))
    actions = decide(world(version(1), staging=state), NOW)
    assert of(RecordJudgement, actions) == []
    assert len(of(LookAgain, actions)) == 1


NOBODY_APPROVED = {"rules": PRODUCTION, "approvals": Approvals(ApprovalRule(1))}


@pytest.mark.parametrize(
    ("fields", "seconds_ago", "is_judged"),
    [
        (NOBODY_APPROVED, 0, False),
        (NOBODY_APPROVED, 2.9, False),
        (NOBODY_APPROVED, 3, True),
        (NOBODY_APPROVED, -1, False),  # the bot's clock is behind GitHub's
        # Whoever forges the date of a commit that they push gains nothing.
        ({**NOBODY_APPROVED, "approvals": None, "pull_request": None}, -1, True),
        ({**NOBODY_APPROVED, "approvals": None, "pull_request": None}, 1, False),
        ({"evaluation": evaluation(1, Status.FAIL)}, 0, True),  # no approvals are asked for
        ({"rules": PRODUCTION}, 0, True),  # nothing is missing
    ],
)
def test_a_missing_approval_is_judged_when_github_lists_for_certain_who_approved(
    fields: dict[str, object], seconds_ago: float, is_judged: bool
) -> None:
    made_at = NOW - timedelta(seconds=seconds_ago)
    state = EnvironmentState(STAGING, desired=entry(1), change=change(1, **fields, made_at=made_at))
    actions = decide(world(version(1), staging=state), NOW)
    assert bool(of(RecordJudgement, actions)) is is_judged
    assert (LookAgain(made_at + timedelta(seconds=3)) in actions) is not is_judged


FROZEN = datetime(2026, 12, 24, tzinfo=UTC)
PUSHED = {"rules": replace(STAGING, freeze=PRODUCTION.freeze), "pull_request": None, "approvals": None}


def test_a_push_to_a_branch_with_windows_shows_when_it_was_first_looked_at() -> None:
    pushed = EnvironmentState(STAGING, desired=entry(1), change=change(1, **PUSHED))
    actions = decide(world(version(1), staging=pushed), NOW)
    assert actions[0] == StartCommitCheck("staging", "c2")
    assert of(RecordJudgement, actions)
    assert of(PassCommitCheck, actions) == [PassCommitCheck("staging", "c2")]


@pytest.mark.parametrize(
    ("started", "ruling"), [(NOW, Ruling.AUTHORISED), (FROZEN, Ruling.REFUSED)], ids=["in time", "too late"]
)
def test_the_window_of_a_push_is_judged_for_the_first_look_however_long_the_evidence_took(
    started: datetime, ruling: Ruling
) -> None:
    looked_at = change(1, **PUSHED, decided_at=started, check_started=True)
    state = EnvironmentState(STAGING, desired=entry(1), change=looked_at)
    actions = decide(world(version(1), staging=state), FROZEN)
    assert of(StartCommitCheck, actions) == []
    (recorded,) = of(RecordJudgement, actions)
    assert isinstance(recorded, RecordJudgement)
    assert recorded.judgement.ruling is ruling


def test_a_green_check_on_the_same_evidence_stands_although_the_clock_went_on() -> None:
    failed = evaluation(1, Status.FAIL)
    check = Check(CheckName.POLICY, CheckState.SUCCESS, "", fingerprint=failed.fingerprint("h" * 40).value)
    state = EnvironmentState(STAGING, desired=entry(1), change=change(1, evaluation=failed, checked=check))
    (recorded,) = of(RecordJudgement, decide(world(version(1), staging=state), NOW))
    assert isinstance(recorded, RecordJudgement)
    assert recorded.judgement.ruling is Ruling.AUTHORISED


def test_production_archives_what_is_live_nowhere_and_makes_a_release() -> None:
    production = EnvironmentState(
        PRODUCTION, desired=entry(3), judgements=(judgement(1, commit="a"), judgement(3, commit="b", live=False))
    )
    staging = EnvironmentState(STAGING, desired=entry(3), judgements=(judgement(3),))
    seen = world(version(1, "Production"), version(2), version(3, "Staging"), staging=staging, production=production)
    actions = decide(seen, NOW)
    assert of(SetStage, actions) == [SetStage(3, "Production"), SetStage(1, "Archived")]
    assert of(SetAlias, actions) == [SetAlias("champion", 3)]
    assert of(CreateTag, actions) == [CreateTag("model-m-v3", "b")]
    assert len(of(CreateRelease, actions)) == 1


def test_a_version_still_live_in_staging_goes_back_there_after_a_rollback() -> None:
    history = (
        judgement(1, commit="a"),
        judgement(3, commit="b"),
        judgement(1, commit="c", live=False, kind=ChangeKind.ROLLBACK),
    )
    production = EnvironmentState(PRODUCTION, desired=entry(1), judgements=history)
    staging = EnvironmentState(STAGING, desired=entry(3), judgements=(judgement(3),))
    seen = world(version(1, "Archived"), version(3, "Production"), staging=staging, production=production)
    actions = decide(seen, NOW)
    assert of(SetStage, actions) == [SetStage(1, "Production"), SetStage(3, "Staging")]
    assert of(CreateTag, actions) == [], "the release was made the first time"


def merging(**fields: object) -> EnvironmentState:
    passing = evaluation(1)
    print_ = passing.fingerprint("h" * 40).value
    checks = {name: Check(name, CheckState.SUCCESS, "", fingerprint=print_) for name in CheckName}
    proposal = Proposal(1, pull(5, 1), genuine=True, checks=checks, approvals=Approvals(ApprovalRule(0)))
    proposal = replace(proposal, **{k: v for k, v in fields.items() if hasattr(proposal, k)})  # type: ignore[arg-type]
    return EnvironmentState(
        STAGING,
        proposals=(proposal,),
        evaluations={1: fields.get("evaluation", passing)},  # type: ignore[dict-item]
    )


RED = {name: Check(name, CheckState.IN_PROGRESS, "") for name in CheckName}
BLOCKED = [
    {"genuine": False},
    {"checks": {}},
    {"checks": RED},
    {"approvals": None},
    {"approvals": Approvals(ApprovalRule(1))},
    {"evaluation": evaluation(1, Status.FAIL)},
    {"evaluation": replace(evaluation(1), policy="another")},
]


def test_the_bot_merges_what_is_its_own_green_and_still_true() -> None:
    assert of(MergeProposal, decide(world(version(1), staging=merging()), NOW)) == [
        MergeProposal("staging", 5, "h" * 40)
    ]


@pytest.mark.parametrize("fields", BLOCKED)
def test_the_bot_leaves_unmerged(fields: dict[str, object]) -> None:
    assert of(MergeProposal, decide(world(version(1), staging=merging(**fields)), NOW)) == []


def test_a_newer_candidate_closes_the_older_proposal_before_it_opens() -> None:
    state = EnvironmentState(
        STAGING, proposals=(Proposal(1, pull(5, 1)),), evaluations={2: evaluation(2), 1: evaluation(1)}
    )
    actions = decide(world(version(1), version(2), staging=state), NOW)
    (closed,), (opened,) = of(CloseProposal, actions), of(OpenProposal, actions)
    assert actions.index(closed) < actions.index(opened)


def test_a_proposal_of_a_deleted_version_is_closed() -> None:
    state = EnvironmentState(STAGING, proposals=(Proposal(1, pull(5, 1)),))
    (closed,) = of(CloseProposal, decide(world(version(2), staging=state), NOW))
    assert isinstance(closed, CloseProposal)
    assert "not in the registry" in closed.reason


@pytest.mark.parametrize(
    ("fields", "renewed"), [({}, 1), ({"genuine": False}, 0), ({"evaluation": BLOCKED[5]["evaluation"]}, 0)]
)
def test_a_proposal_in_conflict_is_made_anew_only_where_it_is_the_bots_own_and_passes(
    fields: dict[str, object], renewed: int
) -> None:
    actions = decide(world(version(1), staging=merging(conflicts=True, **fields)), NOW)
    assert len(of(RenewProposal, actions)) == renewed
    assert of(MergeProposal, actions) == []


def test_a_live_version_that_was_deleted_is_reported_once_and_until_another_is_live() -> None:
    lost = EnvironmentState(STAGING, desired=entry(1), judgements=(judgement(1),))
    assert of(ReportLostVersion, decide(world(staging=lost), NOW)) == [ReportLostVersion("staging", "c1", entry(1))]
    told = replace(lost, judgements=(judgement(1, completed=Completion.FAILURE),))
    assert of(ReportLostVersion, decide(world(staging=told), NOW)) == []
    mended = replace(told, desired=entry(2), judgements=(*told.judgements, judgement(2, commit="c2")))
    assert of(CloseLostVersion, decide(world(version(2), staging=mended), NOW)) == [CloseLostVersion("staging", "c1")]


def test_a_lost_version_that_something_else_replaced_is_closed_once() -> None:
    lost = judgement(2, commit="b", completed=Completion.FAILURE)
    state = EnvironmentState(STAGING, desired=entry(1), judgements=(lost, judgement(1, commit="c")))
    actions = decide(world(version(1), staging=state), NOW)
    assert of(CloseLostVersion, actions) == [CloseLostVersion("staging", "b")]
    assert of(CloseRefusedChange, actions) == []
    assert [a.completion for a in of(CompleteJudgement, actions)] == [Completion.INACTIVE]  # type: ignore[attr-defined]


def test_an_adopted_version_that_is_lost_is_told_until_something_else_goes_live() -> None:
    adopted = replace(judgement(1, commit="a", completed=Completion.SUCCESS), kind=ChangeKind.ADOPTION)
    state = EnvironmentState(STAGING, desired=entry(1), judgements=(adopted,))
    assert of(ReportLostVersion, decide(world(staging=state), NOW)) == [ReportLostVersion("staging", "a", entry(1))]
    mended = replace(state, desired=entry(2), judgements=(adopted, judgement(2, commit="b", live=False)))
    assert of(CloseLostVersion, decide(world(version(2), staging=mended), NOW)) == [CloseLostVersion("staging", "a")]
