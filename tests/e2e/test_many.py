"""Several repositories, models and pull requests at once: each gets what is its own, and nobody what is another's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.errors import NotYet
from bot.domain.keys import EnvironmentKey, ModelKey, PullRequestKey, RegisteredModelKey
from bot.gateways.github.pace import Limits
from bot.gateways.redis_connection import connect
from bot.settings import Secret
from tests.e2e.house import FILES, House, TestDesk, house
from tests.passing import end_windows
from workers.look_at_batch import look_at_batch
from workers.repository_view import RepositoryView

GATES = ("promotion/policy", "promotion/approvals", "promotion/window")


@pytest.fixture
def churn() -> str:
    """A model that the second repository owns."""
    return f"churn-{time.time_ns()}"


@pytest.fixture
def street(registry_url: str, cache_url: Secret, churn: str) -> Iterator[House]:
    """Two repositories: the house's own model belongs to the first, `churn` to the second."""
    with house(registry_url, cache_url, others={"acme/risk": churn}) as built:
        yield built


def test_a_head_that_two_pull_requests_share_shows_the_worst_of_both(world: House) -> None:
    world.register()
    world.event()
    first = world.proposed("production", 1)
    for person in ("alice", "bob"):
        first.approve(person)
    world.settle()
    assert [first.check(gate) for gate in GATES] == ["success"] * 3

    # mallory points a branch of her own at the very same commit: her pull request has no approvals.
    world.repository.repo.git.set_ref("refs/heads/mine", first.head_sha)
    second = world.repository.open_pull("mine", "The same once more", as_user="mallory")
    world.settle()
    assert second.head_sha == first.head_sha
    assert first.check("promotion/approvals") == "in_progress"
    assert first.check("promotion/policy") == "success"
    runs = len(world.repository.check_runs(first.head_sha))
    world.settle()
    assert len(world.repository.check_runs(first.head_sha)) == runs, "the two looks do not fight over the checks"

    second.close("mallory")
    world.settle()
    assert [first.check(gate) for gate in GATES] == ["success"] * 3


def test_an_event_reaches_the_repository_that_owns_the_model_and_no_other(street: House, churn: str) -> None:
    (risk,) = street.others
    street.register()
    street.register(model=churn)

    street.look(RegisteredModelKey(churn))
    assert [key.repository for key in street.keys] == [risk.repo.full_name]  # type: ignore[union-attr]
    street.event(churn)
    street.event()

    assert [pull.title for pull in risk.pulls("all")] == [
        f"Promote {churn} v1 to staging",
        f"Promote {churn} v1 to production",
    ]
    assert [pull.title for pull in street.repository.pulls("all")] == [
        f"Promote {street.model} v1 to staging",
        f"Promote {street.model} v1 to production",
    ]
    for repository, model in ((street.repository, street.model), (risk, churn)):
        assert repository.issues("all") == []
        text = repository.file("versions.yaml") or ""
        assert model in text
        assert text.count("version:") == 1


def test_a_model_that_two_repositories_name_goes_nowhere_and_both_hear_of_it(street: House) -> None:
    (risk,) = street.others
    before = risk.file("promotion.yaml") or ""
    risk.push({"promotion.yaml": before.replace("models: [", f'models: ["{street.model}", ')})
    street.register()
    street.event()
    street.settle()

    for here, there in ((street.repository, risk), (risk, street.repository)):
        assert here.pulls("all") == []
        (issue,) = here.issues()
        assert street.model in issue.body
        assert there.repo.full_name in issue.body
    assert street.tags(1) == {}
    assert street.stage(1) == "None"

    risk.push({"promotion.yaml": before})
    street.event()
    assert street.proposed("staging", 1).merged
    assert risk.pulls("all") == []
    assert street.repository.issues() == [], "what is mended is not complained of any more"
    assert risk.issues() == []


def test_a_model_that_no_pipeline_names_is_left_alone(street: House) -> None:
    stray = f"stray-{time.time_ns()}"
    street.register(model=stray)
    street.event(stray)
    for repository in (street.repository, *street.others):
        assert repository.pulls("all") == []
        assert repository.issues("all") == []
        assert repository.deployments() == []
    version = street.mlflow.get_model_version(stray, "1")
    assert (version.tags, version.current_stage) == ({}, "None")


def test_an_event_of_a_model_that_does_not_exist_changes_nothing(street: House) -> None:
    """MLflow's own `test_webhook` tells of a made-up model; a model may be deleted before the worker looks."""
    street.event("example_model")
    street.event()
    for repository in (street.repository, *street.others):
        assert repository.pulls("all") == []
        assert repository.issues("all") == []


def test_one_broken_repository_does_not_hold_up_the_other(street: House) -> None:
    (risk,) = street.others
    risk.push({"promotion.yaml": "kind: Nonsense\n"})
    street.register()
    street.event()
    assert street.proposed("staging", 1).merged
    assert street.repository.issues() == []
    (issue,) = risk.issues()
    assert "promotion.yaml" in issue.body


def test_two_models_proposed_at_once_both_go_live_and_the_manifest_holds_both(
    registry_url: str, cache_url: Secret
) -> None:
    with house(registry_url, cache_url) as built:
        twin = f"{built.model}-twin"
        pipeline = built.repository.file("promotion.yaml") or ""
        built.repository.push({"promotion.yaml": pipeline.replace(f'"{built.model}"', f'"{built.model}*"')})
        built.register()
        built.register(model=twin)
        built.settle()
        pulls = [pull for pull in built.repository.pulls() if "production" in pull.labels[1]]
        assert len(pulls) == 2
        built.approve_and_merge(pulls[0])
        built.settle()
        other = built.repository.pull(pulls[1].number)
        assert [other.check(gate) for gate in GATES] == ["success", "in_progress", "success"]
        built.approve_and_merge(other)
        built.settle()
        text = built.repository.file("versions.yaml") or ""
        view = built.gateways.registry
        for model in (built.model, twin):
            registered = view.model(model)
            assert registered is not None
            assert dict(registered.aliases) == {"staging": 1, "champion": 1}
            assert text.count(f"  {model}:\n") == 1
        assert built.repository.issues("all") == []
        assert len(built.repository.releases()) == 2


def test_the_candidates_of_an_environment_are_proposed_in_one_pull_request(
    registry_url: str, cache_url: Secret
) -> None:
    grouped = FILES["promotion.yaml"].replace("    merge: manual\n", '    merge: manual\n    group: "* * * * *"\n')
    with house(registry_url, cache_url, {"promotion.yaml": grouped}) as built:
        twin = f"{built.model}-twin"
        pipeline = built.repository.file("promotion.yaml") or ""
        built.repository.push({"promotion.yaml": pipeline.replace(f'"{built.model}"', f'"{built.model}*"')})
        built.register()
        built.register(model=twin)
        built.settle()
        soon = datetime.now(UTC) + timedelta(minutes=1)
        view = RepositoryView(built.gateways, built.repository.repo.full_name, soon)
        key = EnvironmentKey(built.repository.repo.full_name, "production")
        look_at_batch(view, view.environment("production"), TestDesk(built, key), soon)  # type: ignore[arg-type]
        (group,) = built.repository.pulls()
        built.look(PullRequestKey(built.repository.repo.full_name, group.number))
        assert group.title == "Promote 2 models to production"
        assert "2 of 2 models for **production** passed every required check" in group.body
        assert group.body.count("<details>") == 2
        assert [group.check(gate) for gate in GATES] == ["success", "in_progress", "success"]
        group.close("bob")
        for minutes in (1, 2):
            later = soon + timedelta(minutes=minutes)
            view = RepositoryView(built.gateways, built.repository.repo.full_name, later)
            look_at_batch(view, view.environment("production"), TestDesk(built, key), later)  # type: ignore[arg-type]
        assert built.repository.pulls() == [], "what a person closed is refused"
        for model in (built.model, twin):
            built.register(model=model, accuracy=0.96)
        built.settle()
        later = datetime.now(UTC) + timedelta(minutes=4)
        view = RepositoryView(built.gateways, built.repository.repo.full_name, later)
        look_at_batch(view, view.environment("production"), TestDesk(built, key), later)  # type: ignore[arg-type]
        (group,) = built.repository.pulls()
        built.look(PullRequestKey(built.repository.repo.full_name, group.number))
        built.approve_and_merge(group)
        for model in (built.model, twin):
            built.look(ModelKey(built.repository.repo.full_name, model))
            registered = built.gateways.registry.model(model)
            assert registered is not None
            assert dict(registered.aliases) == {"staging": 2, "champion": 2}
        built.look(PullRequestKey(built.repository.repo.full_name, group.number))
        assert "Merged and live" in group.body
        assert built.repository.branches() == ["main"]


def test_many_registrations_are_proposed_in_their_order_below_githubs_limit(
    registry_url: str, cache_url: Secret
) -> None:
    prefix = f"many-{time.time_ns()}"
    names = [f"{prefix}-{number}" for number in range(8)]
    with house(registry_url, cache_url, model=names[0], owns=f"{prefix}-*") as built:
        built.gateways.github_client._pace._limits = Limits(content=((3, 3600.0),))
        for name in names:
            built.register(model=name)
        waiting = [ModelKey(built.repository.repo.full_name, name) for name in names]
        for hour in (1, 2, 3):
            waiting = [key for key in waiting if waits_for_its_turn(built, key)]
            opened = [pull.head_ref.rpartition("/")[2] for pull in built.repository.pulls("all")]
            assert opened == [f"{name}-v1" for name in names[: 3 * hour]]
            assert [key.model for key in waiting] == names[3 * hour :]
            end_windows(connect(cache_url))
        assert not [seen for seen in built.github.requests if seen.status in (403, 429)]


def waits_for_its_turn(built: House, key: ModelKey) -> bool:
    """Look; whether the look gave its key back because GitHub would be asked for too much."""
    try:
        built.look(key)
    except NotYet as error:
        return 0 < (error.retry_after or 0) <= 3600
    return False
