"""What breaks on the way: vanished versions, MLflow away, a dying queue. It is said, or it only costs time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bot.domain.actions import Action
from bot.domain.errors import Unreachable
from bot.domain.keys import ModelKey, PullRequestKey
from bot.gateways.cache import Cache
from bot.gateways.embedded_redis import embedded_redis
from bot.gateways.redis_connection import connect
from bot.sandbox.company import STAGING_POLICY
from bot.settings import Secret
from bot.wiring import Gateways
from policies.evidence import Unreadable
from policies.verdict import Status
from tests.e2e.conftest import Run
from tests.e2e.house import FILES, House, everything, house, without_names
from tests.e2e.proxy import Proxy, Write, proxied
from tests.e2e.service import service
from workers.apply import Effects
from workers.evaluate import Case, Evaluator, rules_at
from workers.explain import explained
from workers.reading import registered, version_of, view_of


@pytest.fixture(scope="module")
def undisturbed(registry_url: str, cache_url: Secret) -> str:
    """The end of the story when nothing goes wrong."""
    with house(registry_url, cache_url) as built:
        built.register()
        built.to_production(1)
        return without_names(everything(built), built)


# --- a version is deleted in MLflow -----------------------------------------------------------------------------------


def test_a_version_deleted_while_it_is_proposed_takes_its_pull_request_along(world: House) -> None:
    world.register()
    world.event()
    pull = world.proposed("production", 1)
    world.mlflow.delete_model_version(world.model, "1")
    world.settle()
    assert not pull.is_open
    assert "Closed without merging" in pull.body
    assert world.repository.branches() == ["main"]


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


def test_a_version_deleted_before_it_was_ever_live_takes_its_pull_request_along(
    registry_url: str, cache_url: Secret
) -> None:
    files = {"promotion.yaml": FILES["promotion.yaml"].replace("merge: auto", "merge: manual")}
    with house(registry_url, cache_url, files) as built:
        built.register()
        built.event()
        pull = built.proposed("staging", 1)
        built.mlflow.delete_model_version(built.model, "1")
        built.settle()
        assert not pull.is_open
        built.register()
        built.event()
        assert built.proposed("staging", 2).is_open, "the next one is proposed as ever"
        assert not pull.is_open


def test_a_model_deleted_with_all_its_versions_takes_its_pull_request_along(world: House) -> None:
    world.register()
    world.event()
    pull = world.proposed("production", 1)
    world.mlflow.delete_registered_model(world.model)
    world.settle()
    assert not pull.is_open
    (issue,) = world.repository.issues()
    assert "v1, live in staging, is not in the registry" in issue.title


def test_a_version_deleted_between_merge_and_effect_has_none_and_an_issue_says_so(world: House) -> None:
    world.register()
    world.event()
    pull = world.proposed("production", 1)
    world.approve_and_merge(pull)
    world.mlflow.delete_model_version(world.model, "1")
    world.settle()
    reasons = {issue.title.partition(": ")[2]: issue.body for issue in world.repository.issues()}
    assert set(reasons) == {"v1 in production has no effect", "v1, live in staging, is not in the registry"}
    assert "version 1 is not in the registry" in reasons["v1 in production has no effect"]
    assert "without effect" in pull.body
    assert world.repository.branches() == ["main"]
    assert world.repository.tags() == {}
    assert world.repository.releases() == []
    assert world.aliases() == {}
    before = len(world.repository.deployments()), len(world.repository.issues("all"))
    world.settle()
    assert (len(world.repository.deployments()), len(world.repository.issues("all"))) == before

    world.repository.revert(pull.number, as_user="alice").merge("alice")
    world.register()
    world.to_production(2)
    assert world.stage(2) == "Production"
    assert world.repository.issues() == [], "what is mended is not complained of any more"


def test_a_version_deleted_after_it_was_authorised_is_reported(world: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deleted in the middle: after the judgement was recorded, before the tag and release were made."""
    world.register()
    world.event()
    pull = world.proposed("production", 1)
    world.approve_and_merge(pull)
    _stop_before(world, monkeypatch, lambda action: type(action).__name__ == "CreateTag")
    world.mlflow.delete_model_version(world.model, "1")
    world.settle()
    assert "not in the registry any more" in pull.body
    titles = sorted(issue.title.partition(": ")[2] for issue in world.repository.issues())
    assert titles == [f"v1, live in {where}, is not in the registry" for where in ("production", "staging")]
    assert world.repository.tags() == {}
    assert world.repository.branches() == ["main"]


def test_a_version_deleted_while_it_is_live_is_reported_until_another_takes_its_place(world: House) -> None:
    world.register()
    pull = world.to_production(1)
    world.mlflow.delete_model_version(world.model, "1")
    world.settle()
    titles = sorted(issue.title.partition(": ")[2] for issue in world.repository.issues())
    assert titles == [f"v1, live in {where}, is not in the registry" for where in ("production", "staging")]
    assert "not in the registry any more" in pull.body
    before = everything(world)
    world.settle()
    assert everything(world) == before, "said once"

    world.register(accuracy=0.96)
    world.to_production(2)
    assert world.stage(2) == "Production"
    assert world.aliases() == {"staging": 2, "champion": 2}
    assert world.repository.issues() == []


def _stop_before(world: House, monkeypatch: pytest.MonkeyPatch, wanted: Callable[[Action], bool]) -> None:
    """A look at the model that is lost right before an effect."""
    apply = Effects.apply

    def applied(self: Effects, action: Action) -> None:
        if wanted(action):
            raise Unreachable("lost")
        apply(self, action)

    with monkeypatch.context() as patched:
        patched.setattr(Effects, "apply", applied)
        with pytest.raises(Unreachable):
            world.look(ModelKey(world.repository.repo.full_name, world.model))


# --- MLflow is away ---------------------------------------------------------------------------------------------------


@pytest.fixture
def behind(registry_url: str, cache_url: Secret, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[House, Proxy]]:
    """A house whose bot reaches MLflow through a proxy; its people reach it directly."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with house(registry_url, cache_url) as built, proxied("mlflow", registry_url) as proxy:
        settings = replace(built.gateways.settings, mlflow_tracking_uri=proxy.url)
        built.gateways = Gateways(settings, Cache(connect(cache_url)))
        yield built, proxy


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["before it is done", "after it is done"])
def test_mlflow_away_at_each_of_its_writes_costs_only_time(
    behind: tuple[House, Proxy], undisturbed: str, after: bool
) -> None:
    built, mlflow = behind
    seen: set[Write] = set()

    def goes_away(write: Write) -> None:
        mlflow.away = write not in seen
        seen.add(write)

    if after:
        mlflow.wrote = goes_away
    else:
        mlflow.before = goes_away
    built.register()
    _patiently(built, mlflow, built.event)
    built.approve_and_merge(built.proposed("production", 1))
    _patiently(built, mlflow, built.settle)
    assert len(seen) >= 10
    assert without_names(everything(built), built) == undisturbed


def test_mlflow_away_from_the_beginning_and_after_the_merge_is_waited_for(
    behind: tuple[House, Proxy], undisturbed: str
) -> None:
    built, mlflow = behind
    built.register()
    mlflow.away = True
    with pytest.raises(Unreachable, match="MLflow"):
        built.event()
    assert built.repository.pulls("all") == []
    mlflow.away = False
    built.event()
    pull = built.proposed("production", 1)
    built.approve_and_merge(pull)
    mlflow.away = True
    with pytest.raises(Unreachable, match="MLflow"):
        built.settle()
    assert built.repository.issues("all") == [], "nobody is blamed for it"
    assert built.stage(1) == "Staging"
    mlflow.away = False
    built.settle()
    assert without_names(everything(built), built) == undisturbed


def _patiently(built: House, mlflow: Proxy, step: Callable[[], None]) -> None:
    """What the queue does: try again, once MLflow is back."""
    for _ in range(60):
        try:
            step()
        except Unreachable:
            if not mlflow.away:
                raise
            mlflow.away = False
        else:
            return
    raise AssertionError("it never comes to an end")


# --- the artifact store does not answer ------------------------------------------------------------------------------

STORE = "/mlflow-artifacts/"
SMALL_ENOUGH = "  - {id: small-enough, artifact: {max_size: 1MB}}\n"


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


# --- the queue dies ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_emptied_queue_at_each_write_costs_only_time(
    registry_url: str, cache_url: Secret, tmp_path: Path, undisturbed: str
) -> None:
    with service(registry_url, cache_url, tmp_path) as running:
        running.worker.start()
        running.disturb(lambda: connect(cache_url).flushall())
        running.story()
        assert without_names(everything(running.house), running.house) == undisturbed
        assert len(running.disturbed) >= 30


@pytest.mark.slow
def test_a_queue_that_dies_and_comes_back_costs_only_time(registry_url: str, tmp_path: Path, undisturbed: str) -> None:
    """Each third write it is gone, and comes back with what it had on disk."""
    with ExitStack() as everything_else:
        server = ExitStack()
        url = server.enter_context(embedded_redis(tmp_path))
        everything_else.callback(server.close)
        running = everything_else.enter_context(service(registry_url, url, tmp_path))

        def die_and_come_back() -> None:
            server.close()
            server.enter_context(embedded_redis(tmp_path))

        running.worker.start()
        running.disturb(die_and_come_back, every=3)
        running.story()
        assert without_names(everything(running.house), running.house) == undisturbed
        assert len(running.disturbed) >= 10
