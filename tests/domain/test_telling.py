"""What is told of an effect, and when two tellings are the same."""

from __future__ import annotations

from bot.domain.actions import (
    CompleteJudgement,
    OpenProposal,
    RecordJudgement,
    ReportDrift,
    ReportRefusedChange,
    SetStage,
    StoreVerdict,
)
from bot.domain.happening import Happening, HappeningKind
from bot.domain.telling import happenings
from bot.domain.world import ChangeKind, Completion, EnvironmentState, Ruling
from policies.verdict import Status
from tests.domain.test_decide import NOW, entry, evaluation, judgement, version, world

WORLD = world(version(1), version(2))


def told(action: object, *decided: object) -> list[Happening]:
    return list(happenings(WORLD, (*decided, action), action))  # type: ignore[arg-type]


def test_most_effects_are_nothing_to_tell() -> None:
    assert told(SetStage(1, "Staging")) == []
    assert told(StoreVerdict("staging", evaluation(1, Status.PASS), NOW)) == []


def test_a_proposal_a_refusal_and_drift() -> None:
    (proposed,) = told(OpenProposal("staging", None, entry(2), evaluation(2)))
    assert (proposed.kind, proposed.version) == (HappeningKind.PROPOSED, 2)
    (refused,) = told(StoreVerdict("staging", evaluation(1, Status.FAIL), NOW))
    assert refused.kind is HappeningKind.REFUSED
    assert refused.details
    (merged,) = told(ReportRefusedChange("staging", "c1", entry(1), None, ("no approvals",)))
    assert (merged.kind, merged.details) == (HappeningKind.REFUSED, ("no approvals",))
    (drift,) = told(ReportDrift("staging", ("the alias is gone",)))
    assert (drift.kind, drift.details) == (HappeningKind.DRIFT, ("the alias is gone",))


def test_a_version_goes_live_once_its_judgement_is_complete() -> None:
    done = CompleteJudgement("staging", "c1", Completion.SUCCESS, "live")
    recorded = RecordJudgement("staging", judgement(2, commit="c1", live=False, by="bob", pull_request=7))
    (live,) = told(done, recorded)
    assert (live.kind, live.version, live.by, live.pull_request) == (HappeningKind.LIVE, 2, "bob", 7)
    assert live.registered_at == version(2).created_at
    back = RecordJudgement("staging", judgement(1, commit="c1", live=False, kind=ChangeKind.ROLLBACK))
    assert [each.kind for each in told(done, back)] == [HappeningKind.ROLLED_BACK]
    assert told(CompleteJudgement("staging", "c1", Completion.FAILURE, "refused", Ruling.REFUSED), recorded) == []


def test_a_look_that_finds_the_judgement_recorded_tells_the_same() -> None:
    done = CompleteJudgement("staging", "c1", Completion.SUCCESS, "live")
    known = judgement(2, commit="c1", live=False)
    (first,) = told(done, RecordJudgement("staging", known))
    later = WORLD.with_state(EnvironmentState(WORLD.pipeline.environment("staging"), entry(2), (known,)))
    (second,) = happenings(later, (done,), done)
    assert first.id == second.id


def test_another_version_environment_or_occasion_is_another_happening() -> None:
    base = Happening(HappeningKind.LIVE, "acme/models", "m", "staging", 1, "c1")
    others = [
        Happening(HappeningKind.ROLLED_BACK, "acme/models", "m", "staging", 1, "c1"),
        Happening(HappeningKind.LIVE, "acme/models", "m", "production", 1, "c1"),
        Happening(HappeningKind.LIVE, "acme/models", "m", "staging", 2, "c1"),
        Happening(HappeningKind.LIVE, "acme/models", "m", "staging", 1, "c2"),
    ]
    assert len({base.id, *(other.id for other in others)}) == 5
    assert base.id == Happening(HappeningKind.LIVE, "acme/models", "m", "staging", 1, "c1", ("told otherwise",)).id
