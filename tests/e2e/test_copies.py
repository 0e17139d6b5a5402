"""A team with a registered model for each environment: what goes live is copied, and the copy carries the alias."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.comments.markdown import inert
from bot.sandbox.company import PIPELINE
from bot.settings import Secret
from tests.e2e.conftest import Run
from tests.e2e.house import FILES, House, house

IN_ONE = "registry: {stage: Production, alias: champion, archive_existing: true}"
COPIED = 'registry: {copy_to: "prod.{model}", alias: champion}'


@pytest.fixture
def world(registry_url: str, cache_url: Secret) -> Iterator[House]:
    assert IN_ONE in PIPELINE
    files = {"promotion.yaml": FILES["promotion.yaml"].replace(IN_ONE, COPIED)}
    with house(registry_url, cache_url, files) as built:
        yield built


def copies(world: House) -> list[tuple[str, str]]:
    """Number and source of each copy, oldest first."""
    found = world.mlflow.search_model_versions(f"name = 'prod.{world.model}'")
    return sorted((v.version, v.source) for v in found)


def champion(world: House) -> str:
    """The source of what production serves."""
    return str(world.mlflow.get_model_version_by_alias(f"prod.{world.model}", "champion").source)


def test_a_version_is_copied_when_it_goes_live_and_a_rollback_takes_the_copy_that_is_there(world: House) -> None:
    world.register()
    world.mlflow.set_model_version_tag(world.model, "1", "team", "fraud")
    promotion = world.to_production(1)
    assert f"v1 is copied to {inert(f'prod.{world.model}')}" in promotion.body
    assert copies(world) == [("1", f"models:/{world.model}/1")]
    assert champion(world) == f"models:/{world.model}/1"
    copy = world.mlflow.get_model_version(f"prod.{world.model}", "1")
    assert dict(copy.tags) == {"team": "fraud"}, "the bot's own tags are the original's"
    assert copy.run_id == world.mlflow.get_model_version(world.model, "1").run_id
    assert world.aliases() == {"staging": 1}
    assert world.stage(1) == "Staging", "production has its own registered model"
    assert world.tags(1)["promoted_from"] == "staging"

    world.register(accuracy=0.96)
    second = world.to_production(2)
    assert champion(world) == f"models:/{world.model}/2"
    world.say(second, "alice", "/rollback")
    world.settle()
    (back,) = world.repository.pulls()
    back.merge("bob")
    world.settle()
    assert champion(world) == f"models:/{world.model}/1"
    assert len(copies(world)) == 2, "the first copy is used again"
    assert world.repository.issues() == [], "nothing drifts"


def test_the_files_of_a_copy_are_compared_with_what_the_manifest_says_of_the_original(
    world: House, run: Run, tmp_path: Path
) -> None:
    world.register(files={"weights.bin": b"1" * 1000})
    world.to_production(1)
    asked = ("download", f"prod.{world.model}", "--alias", "champion", "--to")
    done = run(*asked, str(tmp_path / "served"))
    assert done.exit_code == 0, done.exception
    assert done.stdout.endswith("\nverified: the manifest says the same\n")
    entry = world.manifest().entry(world.model, "production")
    assert entry is not None
    manifest = world.repository.file("versions.yaml") or ""
    world.repository.push({"versions.yaml": manifest.replace(entry.digest, f"sha256:{0:064x}")})
    assert "somebody changed them" in str(run(*asked, str(tmp_path / "again")).exception)
    world.repository.push({"versions.yaml": manifest.replace(entry.digest, f"sha256:{0:064x}", 1)})
    assert "different digests in different environments" in str(run(*asked, str(tmp_path / "again")).exception)
    assert [path.name for path in tmp_path.iterdir()] == ["served"]


def test_a_copy_that_somebody_deletes_is_drift(world: House) -> None:
    world.register()
    world.to_production(1)
    world.mlflow.delete_model_version(f"prod.{world.model}", "1")
    world.settle()
    (issue,) = world.repository.issues()
    assert f"prod.{world.model} has no copy of v1, which is live" in issue.body


def test_a_copy_is_no_candidate_of_its_own(world: House) -> None:
    world.register()
    world.to_production(1)
    world.event(f"prod.{world.model}")
    world.settle()
    assert [p.title for p in world.repository.pulls("all") if "prod." in p.title] == []


def test_a_name_that_mlflow_cannot_copy_is_said_at_the_pull_request_and_has_no_effect_when_merged(
    registry_url: str, cache_url: Secret
) -> None:
    unique = str(time.time_ns())
    files = {"promotion.yaml": FILES["promotion.yaml"].replace(IN_ONE, COPIED)}
    with house(registry_url, cache_url, files, model=f"fraud\n{unique}", owns=f"fraud?{unique}") as world:
        world.register()
        world.event()
        pull = world.proposed("production", 1)
        assert pull.check("promotion/policy") == "failure"
        world.approve_and_merge(pull)
        world.settle()
        (issue,) = world.repository.issues()
        assert "MLflow cannot copy a model whose name has a line break" in issue.body
        world.settle()
        assert copies(world) == []
        assert world.aliases() == {"staging": 1}
