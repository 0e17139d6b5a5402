"""The artifact store does not answer, or lets nobody in: an error of the versions that are there, and of no other."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.domain.errors import Unreachable
from bot.domain.keys import PullRequestKey
from bot.sandbox.company import STAGING_POLICY
from policies.evidence import Unreadable
from policies.verdict import Status
from tests.e2e.conftest import Run
from tests.e2e.house import House, everything, without_names
from tests.e2e.proxy import Proxy, proxied
from workers.evaluate import Case, Evaluator, rules_at
from workers.explain import explained
from workers.reading import registered, version_of, view_of

STORE = "/mlflow-artifacts/"
SMALL_ENOUGH = "  - {id: small-enough, artifact: {max_size: 1MB}}\n"


def test_a_version_whose_store_lets_nobody_in_keeps_no_other_waiting(
    world: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    world.register()
    world.event()
    run = world.mlflow.get_model_version(world.model, "1").run_id
    world.mlflow.create_model_version(world.model, "s3://elsewhere/model", run)
    world.event()
    assert world.proposal("staging", 2) is None
    assert world.tags(2)["promotion.staging.status"] == "waiting"
    (found,) = explained(world.gateways, world.model, 2, None, "staging")
    (outcome,) = found.verdict.outcomes
    assert outcome.status is Status.ERROR
    assert "s3://elsewhere" in outcome.measured
    assert "AWS_ACCESS_KEY_ID" in outcome.measured
    world.register(accuracy=0.97)
    world.event()
    assert world.proposed("staging", 3).merged
    entry = world.manifest().entry(world.model, "staging")
    assert entry is not None
    assert (entry.version, entry.release) == (3, "1.0.1")


def test_a_version_whose_store_does_not_answer_waits_with_an_error(behind: tuple[House, Proxy]) -> None:
    built, mlflow = behind
    mlflow.away_below = STORE
    built.register()
    built.event()
    assert built.repository.pulls("all") == []
    assert built.tags(1)["promotion.staging.status"] == "waiting"
    (found,) = explained(built.gateways, built.model, 1, None, "staging")
    (outcome,) = found.verdict.outcomes
    assert (outcome.check, outcome.status) == ("artifacts", Status.ERROR)
    assert "artifact store" in outcome.measured
    assert outcome.remedy == "Nothing to do: it is tried again."
    mlflow.away_below = None
    built.event()
    assert built.proposed("staging", 1).merged


def test_a_release_that_cannot_be_told_is_no_other_release(behind: tuple[House, Proxy]) -> None:
    """Which release a version gets hangs on the signature of another one's files too."""
    built, mlflow = behind
    built.register()
    built.event()
    built.register(accuracy=0.97)
    mlflow.away_below = STORE
    view, model = view_of(built.gateways, model=built.model), registered(built.gateways, built.model)
    with pytest.raises(Unreachable, match="artifact store"):
        Evaluator(view, model).release(version_of(model, 2), view.manifest.of_model(built.model).values())
    built.event()
    assert built.tags(2)["promotion.staging.status"] == "waiting"
    assert "promotion.release" not in built.tags(2)
    mlflow.away_below = None
    built.event()
    assert built.tags(2)["promotion.release"] == "1.0.1"
    assert built.proposed("staging", 2).merged


def test_while_the_store_does_not_answer_a_proposal_is_not_green(behind: tuple[House, Proxy]) -> None:
    built, mlflow = behind
    built.register()
    built.event()
    pull = built.proposed("production", 1)
    assert pull.check("promotion/policy") == "success"
    mlflow.away_below = STORE
    built.settle()
    assert pull.check("promotion/policy") == "in_progress"
    run = [r for r in built.repository.check_runs(pull.head_sha) if r["name"] == "promotion/policy"][-1]
    assert "artifact store" in run["output"]["summary"]
    assert "not in the registry" not in run["output"]["summary"]
    mlflow.away_below = None
    built.settle()
    assert pull.check("promotion/policy") == "success"


def test_what_is_merged_while_the_store_does_not_answer_is_judged_when_it_does(
    behind: tuple[House, Proxy], undisturbed: str
) -> None:
    built, mlflow = behind
    built.register()
    built.event()
    mlflow.away_below = STORE
    built.approve_and_merge(built.proposed("production", 1))
    built.settle()
    assert built.repository.issues("all") == [], "nobody is blamed for it"
    assert built.stage(1) == "Staging"
    mlflow.away_below = None
    built.settle()
    assert without_names(everything(built), built) == undisturbed


def test_going_back_waits_for_a_store_that_does_not_answer(behind: tuple[House, Proxy]) -> None:
    built, mlflow = behind
    built.register()
    built.to_production(1)
    built.register(accuracy=0.97)
    pull = built.to_production(2)
    mlflow.away_below = STORE
    asked = built.say(pull, "bob", "/rollback in production")
    (answer,) = built.answers(pull)
    assert "artifact store" in answer
    assert "has other files" not in answer
    assert built.reactions(asked) == ["eyes"]
    mlflow.away_below = None
    built.settle()
    assert built.reactions(asked) == ["eyes", "rocket"]
    assert built.repository.pulls("open")


def test_a_backtest_that_waits_for_a_store_holds_back_no_check(behind: tuple[House, Proxy]) -> None:
    built, mlflow = behind
    built.register()
    built.event()
    changed = {"policies/staging.yaml": STAGING_POLICY + SMALL_ENOUGH}
    built.repository.push(changed, branch="smaller", as_user="alice")
    pull = built.repository.open_pull("smaller", "Smaller models", as_user="alice")
    look = PullRequestKey(built.repository.repo.full_name, pull.number)
    mlflow.away_below = STORE
    with pytest.raises(Unreachable, match="artifact store"):
        built.look(look)
    assert pull.check("promotion/policy") == "success"
    assert pull.check("promotion/backtest") is None
    mlflow.away_below = None
    built.look(look)
    assert pull.check("promotion/backtest") == "success"


def test_what_one_environments_checks_cannot_read_says_nothing_of_anothers(behind: tuple[House, Proxy]) -> None:
    built, mlflow = behind
    pinned = STAGING_POLICY + "  - {id: pinned, artifact: {pinned: true}}\n"
    built.repository.push({"policies/staging.yaml": pinned}, as_user="alice")
    built.register(files={"requirements.txt": b"mlflow==3.1.0\n"})
    built.event()
    assert built.proposed("staging", 1).merged
    mlflow.away_below = "requirements.txt"
    staging, production = explained(built.gateways, built.model, 1, None, None)
    assert {outcome.status for outcome in staging.verdict.outcomes} == {Status.ERROR}
    assert {outcome.status for outcome in production.verdict.outcomes} == {Status.PASS}


def test_a_version_that_waits_for_its_store_waits_since_somebody_asked_for_it(behind: tuple[House, Proxy]) -> None:
    """How soon it is looked at again hangs on it: one that was registered long ago would wait for half its age."""
    built, mlflow = behind
    built.register()
    mlflow.away_below = STORE
    view, model = view_of(built.gateways, model=built.model), registered(built.gateways, built.model)
    rules = rules_at(view.head, view.environment("staging"), view.pipeline, view.files.policy)
    asked_at = view.now + timedelta(days=3)
    assert rules is not None
    found = Evaluator(view, model).evaluate(
        version_of(model, 1), rules, Case(None, "1.0.0", asked_at=asked_at), asked_at
    )
    assert isinstance(found.without_files, Unreadable)
    assert found.evidence.asked_at == asked_at


def test_a_command_says_that_the_store_does_not_answer(world: House, run: Run, registry_url: str) -> None:
    world.register()
    with proxied("mlflow", registry_url) as mlflow:
        mlflow.away_below = STORE
        for asked in (
            ("validate", world.model, "1", "--environment", "staging"),
            ("policy", "explain", world.model, "1"),
        ):
            ended = run(*asked, mlflow=mlflow.url)
            assert ended.exit_code == 3, ended.output
            assert "error" in ended.stdout
        refused = run("promote", world.model, login="dana-ds", mlflow=mlflow.url)
        assert isinstance(refused.exception, Unreachable)
    assert world.repository.pulls("all") == []
