"""Tables: how a model stands, and the one thing to do next."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from bot.domain.board import Matter, MatterKind, row, waits_for
from bot.domain.instructions import Instruction, Said, Told
from bot.domain.model_detail import Judged, detail, remembered
from bot.domain.pipeline import ApprovalsWanted, Drift, Merge
from bot.domain.pull_requests import Login
from bot.domain.repository_seen import (
    CheckSeen,
    MetricSeen,
    PolicySeen,
    Refusals,
    environment_seen,
    policy_seen,
    thresholds,
)
from bot.domain.timeline import EventKind
from bot.domain.versions import RegisteredModel
from bot.domain.windows import Freeze
from bot.domain.world import EnvironmentState, Observation, Proposal, Ruling
from policies.policy import parse_policy
from policies.verdict import Outcome, Severity, Status, Verdict
from tests.domain.test_decide import NOW, PRODUCTION, STAGING, entry, evaluation, judgement, pull, version, world

FROZEN = Freeze(datetime.fromisoformat("2026-11-01"), datetime.fromisoformat("2026-12-01"), "UTC", "audit")
BY_TWO = ApprovalsWanted(2, ("@acme/ml-platform",))


def matters(seen: Observation, environment: str = "production") -> dict[MatterKind, Matter]:
    (cell,) = (cell for cell in row(seen, NOW) if cell.environment == environment)
    return {matter.kind: matter for matter in cell.matters}


def proposed(**rules: object) -> Observation:
    state = EnvironmentState(
        replace(PRODUCTION, **rules),  # type: ignore[arg-type]
        proposals=(Proposal(2, pull(7, 2)),),
    )
    return world(version(2), production=state)


def test_a_proposal_waits_for_whom_the_pipeline_names() -> None:
    waits = matters(proposed(approvals=BY_TWO))[MatterKind.WAITING]
    assert waits.what == "v2 waits for 2 approvals of @acme/ml-platform"
    assert (waits.do, waits.pull_request, waits.since) == ("Review it.", 7, pull(7, 2).created_at)
    by_bot = matters(proposed(approvals=ApprovalsWanted(), merge=Merge.AUTO))[MatterKind.WAITING]
    assert by_bot.do == "Nothing: the bot merges it once its checks are green."


def test_a_branch_that_somebody_else_uses_is_said_with_what_to_do() -> None:
    state = EnvironmentState(PRODUCTION, taken={2: replace(pull(12, 2), author=Login("mallory"))})
    found = matters(world(version(2), production=state))[MatterKind.TAKEN]
    assert found.what == "mallory uses the branch of v2's proposal"
    assert (found.do.partition(";")[0], found.pull_request) == ("Merge or close it", 12)


def test_of_many_who_may_approve_the_first_are_named() -> None:
    many = replace(PRODUCTION, approvals=ApprovalsWanted(1, ("a", "b", "c", "d", "e", "f")))
    assert waits_for(many) == "1 approval of a, b, c, d and 2 more"


def test_a_closed_window_says_when_it_opens_and_who_may_override_it() -> None:
    frozen = matters(proposed(freeze=(FROZEN,), overrides=("@acme/ml-leads",)))[MatterKind.FROZEN]
    assert frozen.what == "the window is closed: audit"
    assert frozen.do == "It opens Tue 2026-12-01 00:00 UTC; @acme/ml-leads may `/override window because …`."
    assert MatterKind.FROZEN not in matters(proposed(freeze=()))


def test_an_override_of_the_window_opens_it_on_the_board_too() -> None:
    told = Told(Said.OVERRIDE, "production", "m", 2, "window", "it is urgent")
    said = Instruction(told, Login("carol"), NOW, 7, 70, 1)
    seen = proposed(freeze=(FROZEN,))
    state = replace(seen.environments["production"], instructions=(said,))
    assert MatterKind.FROZEN not in matters(seen.with_state(state))


@pytest.mark.parametrize("model", ["m", "two\nlines"])
def test_a_hold_says_how_to_resume(model: str) -> None:
    told = Told(Said.HOLD, "production", "m", reason="the audit")
    state = EnvironmentState(PRODUCTION, instructions=(Instruction(told, Login("alice"), NOW, 3, 30, 1),))
    held = matters(replace(world(version(1), production=state), model=model))[MatterKind.HELD]
    assert held.what == "held in #3 because the audit, by alice"
    assert held.do == f"Comment `/resume {model.replace(chr(10), ' ')} in production` when automation may go on."


def test_the_newest_version_that_was_refused_says_why() -> None:
    tags = {"promotion.staging.status": "refused", "promotion.staging.reason": "accuracy: measured 0.5\nmore"}
    refused = replace(version(2), tags=tags)
    found = matters(world(version(1), refused), "staging")[MatterKind.REFUSED]
    assert found.what == "v2 was refused: accuracy: measured 0.5"
    assert found.version == 2
    assert MatterKind.REFUSED not in matters(world(refused, version(3)), "staging"), "a newer one is under way"


def test_a_merge_without_effect_says_what_it_lacked() -> None:
    lacking = replace(judgement(2, commit="b"), ruling=Ruling.REFUSED, reasons=("2 approvals are missing",))
    state = EnvironmentState(STAGING, desired=entry(2), judgements=(judgement(1, commit="a"), lacking))
    found = matters(world(version(1), version(2), staging=state), "staging")[MatterKind.REFUSED]
    assert found.what == "the manifest says v2, which did not take effect: 2 approvals are missing"


@pytest.mark.parametrize(("rule", "do"), [(Drift.REPORT, "Put it back"), (Drift.REPAIR, "Nothing")])
def test_drift_says_what_differs(rule: Drift, do: str) -> None:
    state = EnvironmentState(replace(STAGING, drift=rule), desired=entry(1), judgements=(judgement(1),))
    assert matters(world(version(1), staging=state), "staging")[MatterKind.DRIFTING].do.startswith(do)


# --- a model in full --------------------------------------------------------------------------------------------------


def test_what_anybody_may_write_into_a_tag_is_read_as_nothing() -> None:
    nonsense = ("[", "7", '"x"', '{"checks": 7, "metrics": 7, "status": []}', '{"metrics": {"a": 1' + "0" * 400 + "}}")
    versions = tuple(
        replace(version(n), tags={"promotion.staging.verdict": t}) for n, t in enumerate(nonsense, start=1)
    )
    seen = replace(world(version(1)), registered=RegisteredModel("m", versions=versions))
    assert all(v.metrics == {} for v in detail(seen, ()).versions)


def test_a_verdicts_tag_holds_its_metrics() -> None:
    judged = evaluation(1)
    tagged = replace(version(1), tags={"promotion.staging.verdict": judged.summary()})
    (seen,) = detail(world(tagged), ()).versions
    assert seen.metrics == {m.name: m.value for m in judged.evidence.subject.metrics}
    assert {c.environment: c.verdict for c in seen.checked} == {"staging": judged.verdict.status}


def test_what_is_live_is_shown_however_many_are_newer() -> None:
    live = EnvironmentState(STAGING, desired=entry(3), judgements=(judgement(3),))
    shown = detail(world(*map(version, range(1, 151)), staging=live), ()).versions
    assert [v.version for v in shown] == [*range(150, 50, -1), 3]


def test_a_merge_tells_who_approved_it() -> None:
    merged = replace(judgement(1), approved_by=("alice", "bob"), pull_request=7)
    seen = world(version(1), staging=EnvironmentState(STAGING, desired=entry(1), judgements=(merged,)))
    events = detail(seen, ()).events
    assert [e.by for e in events if e.kind is EventKind.APPROVED] == ["alice and bob"]
    assert [e.kind for e in events].count(EventKind.MERGED) == 1


def test_a_verdict_that_comes_out_the_same_keeps_its_first_moment() -> None:
    first = Judged("staging", 1, NOW, Verdict("p", (Outcome("a", "metric", Status.PASS, "1", "1"),)))
    again = replace(first, at=NOW + timedelta(hours=1))
    assert remembered((first,), (again,)) == (first,)
    other = replace(again, verdict=Verdict("p", ()))
    assert remembered((first,), (other,)) == (other,)
    many = tuple(replace(first, version=n) for n in range(1, 20))
    assert [j.version for j in remembered((), many)] == [19, 18, 17, 16]


def test_refusals_are_counted_of_the_last_ninety_days() -> None:
    seen = detail(
        world(replace(version(1), tags={"promotion.staging.verdict": '{"status":"fail","checks":{"a":"fail"}}'})), ()
    ).versions
    old = tuple(replace(v, registered_at=NOW - timedelta(days=91)) for v in seen)
    counted = Refusals(NOW - timedelta(days=90))
    counted.count("m", tuple(replace(v, registered_at=NOW) for v in seen))
    counted.count("old", old)
    policy = PolicySeen("p.yaml", "p", ("staging",), (CheckSeen("a", "metric", "", Severity.REQUIRED),))
    told = counted.of(policy)
    assert (told.judged, told.refused) == (1, 1)
    assert [r.model for r in told.checks[0].versions] == ["m"]


def test_bounds_are_known_that_every_version_keeps() -> None:
    text = """
apiVersion: promotion-bot/v1
kind: Policy
name: p
checks:
  - {id: f1, metric: {name: f1, between: [0.8, 0.99]}}
  - {id: better, compare: {metric: auc, to: champion, tolerance: 0.01}}
  - id: parts
    all:
      - {metric: {name: accuracy, at_least: 0.9}}
      - any:
          - {metric: {name: latency, at_most: 50}}
          - {metric: {name: size, at_most: 9}}
  - {id: never, not: {metric: {name: bias, at_least: 0.2}}}
"""
    seen = policy_seen("p.yaml", parse_policy(text.encode(), "p.yaml"), ("staging",))
    assert [check.metrics for check in seen.checks] == [
        (MetricSeen("f1", 0.8, 0.99),),
        (MetricSeen("auc"),),
        (MetricSeen("accuracy", 0.9), MetricSeen("latency"), MetricSeen("size")),
        (),
    ]
    assert thresholds([seen]) == {
        "f1": (("p", 0.8, "at least"), ("p", 0.99, "at most")),
        "accuracy": (("p", 0.9, "at least"),),
    }


def test_an_environments_rules_are_said_in_words() -> None:
    seen = environment_seen(replace(PRODUCTION, approvals=BY_TWO, freeze=(FROZEN,)), NOW)
    assert seen.merges == "2 approvals of @acme/ml-platform"
    assert (seen.frozen, seen.opens is not None) == ("audit", True)
