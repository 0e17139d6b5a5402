"""The `data` check in whole looks: a repository made with `dvc`, its remote, MLflow, and what people are told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bot.sandbox.github import SandboxRepository
from bot.settings import Secret
from policies.verdict import Status
from tests.dvc_project import DvcProject
from tests.e2e.house import House, house
from workers.backtest import History, backtest, policies_for
from workers.explain import explained
from workers.reading import view_of

POLICY = """\
apiVersion: promotion-bot/v1
kind: Policy
name: staging
checks:
  - {id: lineage, lineage: {require: [git_commit], git: {repository: acme/training, branch: main}}}
  - {id: data-is-real, data: {dvc: data/all.csv.dvc}}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> DvcProject:
    """Data in a remote, tagged data-v1.0 in git."""
    folder = tmp_path_factory.mktemp("training")
    project = DvcProject.create(folder / "work", str(folder / "store"))
    project.write("data/all.csv", "a,b\n1,2\n")
    project.dvc("add", "data/all.csv")
    project.dvc("push")
    project.commit("Data")
    project.git("tag", "data-v1.0")
    return project


@pytest.fixture
def world(registry_url: str, cache_url: Secret, project: DvcProject) -> Iterator[House]:
    with house(registry_url, cache_url, {"policies/staging.yaml": POLICY}) as world:
        settings = world.gateways.settings
        world.gateways.settings = replace(settings, dvc_roots=(Path(project.remote).parent,))
        yield world


@pytest.fixture
def training(world: House, project: DvcProject) -> SandboxRepository:
    training = world.github.add_repository("acme/training", {"a": "b"}, install=world.repository.repo.apps)
    project.push_to(training)
    return training


def recorded(project: DvcProject, training: SandboxRepository, **tags: str) -> dict[str, str]:
    """What training writes down as its lineage."""
    data_hash = project.hash_of("data/all.csv.dvc")
    return {"git_commit": training.head(), "data_version": "data-v1.0", "data_hash": data_hash, **tags}


def refused(world: House, **tags: str) -> str:
    """Why a version with these tags is refused."""
    version = world.register(tags=tags)
    world.event()
    assert world.proposal("staging", version) is None
    return world.tags(version)["promotion.staging.reason"]


def test_the_right_data_is_promoted_and_the_pull_request_says_so(
    world: House, project: DvcProject, training: SandboxRepository
) -> None:
    said = recorded(project, training)
    version = world.register(tags=said)
    world.event()
    pull = world.proposed("staging", version)
    assert pull.merged
    assert f"data/all.csv at {said['git_commit'][:12]}" in pull.body.replace("\u200b", "")
    assert f"is in {project.remote}" in pull.body
    (found,) = explained(world.gateways, world.model, version, None, "staging")
    assert [o.status for o in found.verdict.outcomes] == [Status.PASS, Status.PASS]
    view = view_of(world.gateways, model=world.model)
    history = History.since(view, view.now - timedelta(days=1))
    rows = list(backtest(view, policies_for(view, "staging", None), history, view.now))
    assert [row.verdict.status for row in rows if row.model == world.model] == [Status.PASS]


def test_other_data_than_was_committed_is_refused(
    world: House, project: DvcProject, training: SandboxRepository
) -> None:
    wrong = "md5:" + "f" * 32
    reason = refused(world, **recorded(project, training, data_hash=wrong))
    assert f"data-is-real: measured data_hash is {wrong}, data/all.csv at" in reason
    assert "Commit and push what was trained on" in reason
    renamed = refused(world, **recorded(project, training, data_version="data-v9"))
    assert "data_version is “data-v9”, which is no git tag of acme/training" in renamed
    missing = refused(world, **recorded(project, training, git_commit="c0ffee" * 6 + "c0ff"))
    assert "data-is-real: measured c0ffeec0ffee is not in acme/training" in missing


def test_an_object_that_was_deleted_from_the_remote_is_a_refusal_until_it_is_back(
    world: House, project: DvcProject, training: SandboxRepository
) -> None:
    place = project.object_of(project.hash_of("data/all.csv.dvc"))
    aside = place.with_name("aside")
    place.rename(aside)
    reason = refused(world, **recorded(project, training))
    aside.rename(place)
    assert f"is not in {project.remote}" in reason
    assert "dvc push" in reason
    world.event()
    assert world.proposed("staging", 1).merged


def test_a_remote_that_is_away_is_an_error_and_passes_when_it_is_back(
    world: House, project: DvcProject, training: SandboxRepository
) -> None:
    store = Path(project.remote)
    store.rename(store.with_name("away"))
    version = world.register(tags=recorded(project, training))
    world.event()
    store.with_name("away").rename(store)
    assert world.proposal("staging", version) is None
    assert world.tags(version)["promotion.staging.status"] == "waiting"
    world.event()
    assert world.proposed("staging", version).merged


def test_a_directory_that_the_operator_did_not_name_never_passes(
    world: House, project: DvcProject, training: SandboxRepository
) -> None:
    world.gateways.settings = replace(world.gateways.settings, dvc_roots=())
    version = world.register(tags=recorded(project, training))
    world.event()
    assert world.proposal("staging", version) is None
    assert world.tags(version)["promotion.staging.status"] == "waiting"


def test_a_repository_that_the_bot_may_not_read_never_passes_and_says_which_permission(
    world: House, project: DvcProject
) -> None:
    training = world.github.add_repository("acme/training", {"a": "b"}, {})
    project.push_to(training)
    version = world.register(tags=recorded(project, training))
    world.event()
    assert world.proposal("staging", version) is None
    assert world.tags(version)["promotion.staging.status"] == "waiting"
    (found,) = explained(world.gateways, world.model, version, None, "staging")
    outcome = next(o for o in found.verdict.outcomes if o.check == "data-is-real")
    assert outcome.status is Status.ERROR
    assert "acme/training" in outcome.measured
    assert "Contents: read" in f"{outcome.measured} {outcome.remedy}"


def test_an_object_that_goes_after_the_proposal_takes_the_check_back(
    world: House, project: DvcProject, training: SandboxRepository
) -> None:
    policy = world.repository.file("promotion.yaml") or ""
    world.repository.push({"promotion.yaml": policy.replace("merge: auto", "merge: manual")})
    version = world.register(tags=recorded(project, training))
    world.event()
    pull = world.proposed("staging", version)
    assert "passed every required check" in pull.body
    place = project.object_of(project.hash_of("data/all.csv.dvc"))
    place.rename(place.with_name("aside"))
    world.settle()
    place.with_name("aside").rename(place)
    assert "does not pass" in pull.body
    assert "is not in" in pull.body


def test_what_is_not_recorded_yet_is_waited_for(world: House, project: DvcProject, training: SandboxRepository) -> None:
    said = recorded(project, training)
    version = world.register(tags={name: value for name, value in said.items() if name != "data_hash"})
    world.event()
    assert world.proposal("staging", version) is None
    assert world.tags(version)["promotion.staging.status"] == "waiting"
    run = world.mlflow.get_model_version(world.model, str(version)).run_id
    world.mlflow.set_tag(run, "data_hash", said["data_hash"])
    world.event()
    assert world.proposed("staging", version).merged


def test_a_model_counts_at_the_commit_that_names_it(
    world: House, project: DvcProject, training: SandboxRepository
) -> None:
    """The commit that was trained from is older than the one whose file of DVC's names the model."""
    said = recorded(project, training)
    project.write("model.bin", "weights")
    project.dvc("add", "model.bin")
    project.dvc("push")
    project.commit("Model")
    project.push_to(training)
    assert training.head() != said["git_commit"]
    policy = POLICY.replace("{dvc: data/all.csv.dvc}", "{dvc: model.bin.dvc, of: model}")
    world.repository.push({"policies/staging.yaml": policy})
    said["model_hash"] = project.hash_of("model.bin.dvc")
    assert "there is no model.bin.dvc in acme/training" in refused(world, **said)
    version = world.register(tags={**said, "model_commit": training.head()})
    world.event()
    assert world.proposed("staging", version).merged


def test_a_run_that_was_deleted_after_the_registration_leaves_what_stands_on_the_version(
    world: House, project: DvcProject, training: SandboxRepository
) -> None:
    said = recorded(project, training)
    version = world.register(tags=dict.fromkeys(said, ""))
    for name, value in said.items():
        world.mlflow.set_model_version_tag(world.model, str(version), name, value)
    world.mlflow.delete_run(world.mlflow.get_model_version(world.model, str(version)).run_id)
    world.event()
    pull = world.proposed("staging", version)
    assert pull.merged
    assert "data-is-real" in pull.body
