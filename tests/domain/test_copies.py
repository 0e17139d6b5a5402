"""Environments with a registered model of their own: the copies of versions there carry stage and alias."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.domain.actions import (
    Action,
    CompleteJudgement,
    CopyVersion,
    CreateTag,
    DeleteAlias,
    LookAt,
    RecordJudgement,
    ReportDrift,
    SetAlias,
    SetStage,
)
from bot.domain.drift import drift_of
from bot.domain.gates import Mergeability, ProposedChange, PullRequestObservation, gates
from bot.domain.keys import ModelKey
from bot.domain.pipeline import parse_pipeline
from bot.domain.promotion import decide
from bot.domain.pull_requests import CheckState
from bot.domain.versions import ModelVersion, RegisteredModel, copied_version
from bot.domain.world import ChangeKind, EnvironmentState, Observation, Ruling
from policies.documents import InvalidDocument
from tests.domain.test_decide import NOW, change, entry, judgement, of, pull, version
from tests.domain.test_decide import PIPELINE as TOGETHER
from tests.domain.test_pipeline import one

PIPELINE = parse_pipeline("""\
apiVersion: promotion-bot/v1
kind: Pipeline
models: [m]
environments:
  - {name: staging, policy: p.yaml, propose: on_registration, merge: auto, registry: {stage: Staging, alias: staging}}
  - name: production
    policy: p.yaml
    propose: {after: staging}
    registry: {copy_to: "prod.{model}", stage: Production, alias: champion, archive_existing: true}
releases: {}
""")
STAGING, PRODUCTION = PIPELINE.environments


def copy(number: int, of_version: int, stage: str = "None", of_model: str = "m") -> ModelVersion:
    return ModelVersion("prod.m", number, NOW, stage=stage, source=f"models:/{of_model}/{of_version}")


def world(production: EnvironmentState, *copies: ModelVersion, alias: int | None = None) -> Observation:
    """Two versions of the model, the second live in staging, and the copies that production has."""
    aliases = {} if alias is None else {"champion": alias}
    registered = RegisteredModel("prod.m", aliases=aliases, versions=copies) if copies else None
    staging = EnvironmentState(STAGING, desired=entry(2), judgements=(judgement(2, commit="s"),))
    return Observation(
        repository="o/r",
        model="m",
        head="head",
        pipeline=PIPELINE,
        registered=RegisteredModel("m", aliases={"staging": 2}, versions=(version(1), version(2, "Staging"))),
        environments={"staging": staging, "production": replace(production, copies=registered)},
    )


def live(*versions: int, done: bool = True) -> EnvironmentState:
    """Production after the versions went live there, one after the other; `done` says whether the last did."""
    history = tuple(judgement(v, commit=f"p{i}") for i, v in enumerate(versions))
    if not done:
        history = (*history[:-1], replace(history[-1], completed=None, completed_at=None))
    return EnvironmentState(PRODUCTION, desired=entry(versions[-1]), judgements=history)


def registry_actions(actions: list[Action]) -> list[Action]:
    return [a for a in actions if isinstance(a, CopyVersion | SetStage | SetAlias | DeleteAlias)]


def test_what_goes_live_is_copied_first_and_is_not_live_before() -> None:
    actions = decide(world(live(2, done=False)), NOW)
    assert registry_actions(actions) == [CopyVersion(2, "prod.m")]
    assert LookAt(ModelKey("o/r", "m")) in actions
    assert of(CompleteJudgement, actions) == of(CreateTag, actions) == []


@pytest.mark.parametrize(
    ("copies", "alias", "wanted"),
    [
        ([copy(1, 2)], None, [SetStage(1, "Production", "prod.m"), SetAlias("champion", 1, "prod.m")]),
        ([copy(1, 2, "Production")], 1, []),
        (
            [copy(1, 1, "Production"), copy(2, 2)],
            1,
            [
                SetStage(2, "Production", "prod.m"),
                SetAlias("champion", 2, "prod.m"),
                SetStage(1, "Archived", "prod.m"),
            ],
        ),
        ([copy(1, 2), copy(7, 2)], None, [SetStage(7, "Production", "prod.m"), SetAlias("champion", 7, "prod.m")]),
    ],
    ids=["first", "already there", "the copy before is archived", "the newest of two copies counts"],
)
def test_the_copy_carries_stage_and_alias(copies: list[ModelVersion], alias: int | None, wanted: list[Action]) -> None:
    actions = decide(world(live(1, 2, done=False), *copies, alias=alias), NOW)
    assert registry_actions(actions) == wanted
    assert len(of(CompleteJudgement, actions)) == 1


def test_a_version_of_that_number_that_is_no_copy_does_not_serve() -> None:
    theirs = [copy(2, 2, of_model="other"), ModelVersion("prod.m", 3, NOW, source="s3://bucket/m/2")]
    assert registry_actions(decide(world(live(2, done=False), *theirs), NOW)) == [CopyVersion(2, "prod.m")]


def test_a_rollback_goes_back_to_the_copy_that_is_there() -> None:
    history = (*live(1, 2).judgements, judgement(1, commit="back", live=False, kind=ChangeKind.ROLLBACK))
    state = EnvironmentState(PRODUCTION, desired=entry(1), judgements=history)
    seen = world(state, copy(1, 1, "Archived"), copy(2, 2, "Production"), alias=2)
    assert registry_actions(decide(seen, NOW)) == [
        SetStage(1, "Production", "prod.m"),
        SetAlias("champion", 1, "prod.m"),
        SetStage(2, "Archived", "prod.m"),
    ]


def test_what_is_removed_loses_alias_and_stage_there() -> None:
    history = (*live(2).judgements, judgement(None, commit="gone", live=False, kind=ChangeKind.REMOVAL))
    state = EnvironmentState(PRODUCTION, desired=None, judgements=history)
    seen = world(state, copy(1, 2, "Production"), alias=1)
    assert registry_actions(decide(seen, NOW)) == [DeleteAlias("champion", "prod.m"), SetStage(1, "Archived", "prod.m")]


@pytest.mark.parametrize(
    ("copies", "alias", "what", "repair"),
    [
        ([copy(1, 2, "Production")], 1, None, None),
        ([], None, "prod.m has no copy of v2, which is live", CopyVersion(2, "prod.m")),
        (
            [copy(1, 1), copy(2, 2, "Production")],
            1,
            "the alias champion points at v1 of prod.m, and v2 of prod.m is live",
            SetAlias("champion", 2, "prod.m"),
        ),
        (
            [copy(1, 2)],
            1,
            "v1 of prod.m is in the stage None, and it is live",
            SetStage(1, "Production", "prod.m"),
        ),
        (
            [copy(1, 2, "Production"), copy(2, 9, "Production", of_model="other")],
            1,
            "v2 of prod.m is in the stage Production, and it is not live",
            SetStage(2, "None", "prod.m"),
        ),
    ],
    ids=["as it should be", "copy deleted", "alias moved", "stage left", "something else put there"],
)
def test_drift_is_seen_on_the_copies(
    copies: list[ModelVersion], alias: int | None, what: str | None, repair: Action | None
) -> None:
    seen = world(live(2), *copies, alias=alias)
    found = drift_of(seen, seen.environments["production"])
    assert [(d.what, d.repair) for d in found] == ([] if what is None else [(what, repair)])
    actions = decide(seen, NOW)
    assert bool(of(ReportDrift, actions)) is bool(what)
    assert registry_actions(actions) == [], "production reports and does not repair"


def test_the_models_own_stages_are_those_of_the_environments_without_copies() -> None:
    actions = decide(world(live(2), copy(1, 2, "Production"), alias=1), NOW)
    assert registry_actions(actions) == [], "version 2 stays in Staging although it is live in production"


@pytest.mark.parametrize("name", ["a\tb", "a\nb", "a\rb", "a?b", "#a", "#"])
def test_a_name_that_mlflow_cannot_refer_to_is_refused_once_and_never_copied(name: str) -> None:
    assert STAGING.registry.cannot_carry(name) == ()
    (reason,) = PRODUCTION.registry.cannot_carry(name)
    state = EnvironmentState(PRODUCTION, desired=entry(1), change=change(1, rules=PRODUCTION))
    merged = decide(replace(world(state), model=name), NOW)
    (recorded,) = (r.judgement for r in of(RecordJudgement, merged) if r.environment == "production")
    assert (recorded.ruling, recorded.reasons) == (Ruling.REFUSED, (reason,))
    assert of(CopyVersion, merged) == []
    proposed = ProposedChange(name, "production", None, entry(1), ChangeKind.PROMOTION, PRODUCTION)
    gate = gates(PullRequestObservation(pull(9, 1), Mergeability.CLEAN, (proposed,)), NOW)[0]
    assert (gate.state, gate.reasons) == (CheckState.FAILURE, (f"{name} in production: {reason}",))
    removal = replace(state, desired=None, change=change(None, rules=PRODUCTION))
    (removed,) = of(RecordJudgement, decide(replace(world(removal), model=name), NOW))
    assert removed.judgement.ruling is Ruling.AUTHORISED, "what must not be there can always be taken out"


@pytest.mark.parametrize("name", ["a b", "a#b", "a%3Fb", "a;b", "a@b", "ä"])
def test_other_odd_names_are_copied(name: str) -> None:
    assert PRODUCTION.registry.cannot_carry(name) == ()


def test_without_copy_to_the_model_carries_all_itself() -> None:
    assert all(e.registry.carrier("m") == "m" for e in TOGETHER.environments)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("models:/m/3", ("m", 3)),
        ("models:/odd name\n/12", ("odd name\n", 12)),
        ("models:/m-0123", None),
        ("models:/m@champion", None),
        ("s3://bucket/models:/m/3", None),
    ],
)
def test_a_copy_is_known_by_its_source(source: str, found: tuple[str, int] | None) -> None:
    assert copied_version(source) == found


@pytest.mark.parametrize(
    ("registry", "problem"),
    [
        ('{copy_to: "prod"}', "needs {model} once"),
        ('{copy_to: "{model}"}', "needs {model} once"),
        ('{copy_to: "{model}.{model}"}', "needs {model} once"),
        ('{copy_to: "prod.{model}.{environment}"}', "needs {model} once"),
        ('{copy_to: "prod/{model}"}', "needs {model} once"),
        ('{copy_to: "{model}-prod"}', "would be a model of this pipeline too, by “fraud-*”"),
    ],
)
def test_a_wrong_place_for_copies_is_refused(registry: str, problem: str) -> None:
    with pytest.raises(InvalidDocument) as refused:
        parse_pipeline(one("merge: auto", registry=registry))
    assert problem in str(refused.value)


def test_two_environments_do_not_share_a_place_for_copies_and_may_share_an_alias_in_two() -> None:
    text = one("merge: auto", registry='{copy_to: "a.{model}", alias: live}')
    second = "  - {name: production, policy: p.yaml, registry: {copy_to: '%s.{model}', alias: live}}\n"
    with pytest.raises(InvalidDocument, match="two environments copy to"):
        parse_pipeline(text + second % "a")
    assert len(parse_pipeline(text + second % "b").environments) == 2
