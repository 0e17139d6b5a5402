"""`promotion-bot init` on a registry that is in use: the bot begins where the people are, and nothing moves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bot.cli import cli
from bot.domain.errors import Misconfigured, PromotionError, Refused
from bot.sandbox.github import SandboxRepository
from bot.settings import AppCredentials
from bot.wiring import build
from tests.e2e.house import House
from workers.board import drifted
from workers.history import history
from workers.reading import view_of

NAME = "acme/new"
Init = Callable[..., Result]


@pytest.fixture
def fresh(world: House) -> House:
    """The bot serving a repository that has nothing but a README."""
    repo = world.repository.repo
    repository = world.github.add_repository(NAME, {"README.md": "Models\n"}, dict(repo.collaborators), repo.apps)
    gateways = build(replace(world.gateways.settings, repositories=(NAME,)))
    return House(world.github, repository, world.mlflow, gateways, world.model)


@pytest.fixture
def init(fresh: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[Init]:
    """`promotion-bot init` as a person with a token of their own."""
    for name in ("GITHUB_APP_ID", "GITHUB_APP_PRIVATE_KEY", "REDIS_URL", "PROMOTION_REPOSITORIES"):
        monkeypatch.delenv(name, raising=False)
    environment = {
        "MLFLOW_TRACKING_URI": fresh.gateways.settings.mlflow_tracking_uri,
        "GITHUB_API_URL": fresh.gateways.settings.github_api_url,
        "GITHUB_TOKEN": fresh.github.add_token("dana-ds"),
    }

    def run(*arguments: str, answers: str = "", **said: str) -> Result:
        env = {**environment, **said}
        return CliRunner().invoke(cli, ["init", "--repository", NAME, *arguments], env=env, input=answers)

    return run


def registry_of(house: House) -> dict[str, Any]:
    """All that the registry holds of the model."""
    model = house.mlflow.get_registered_model(house.model)
    versions = house.mlflow.search_model_versions(f"name = '{house.model}'")
    return {
        "aliases": dict(model.aliases),
        "tags": dict(model.tags),
        "versions": {v.version: (v.current_stage, dict(v.tags), v.last_updated_timestamp) for v in versions},
    }


def in_use(house: House) -> None:
    """Four versions, of which the second is in production and the third in staging, marked in both ways."""
    for _ in range(4):
        house.register()
    for version, stage, alias in (("2", "Production", "champion"), ("3", "Staging", "staging")):
        house.mlflow.transition_model_version_stage(house.model, version, stage)
        house.mlflow.set_registered_model_alias(house.model, alias, version)


def adopted(house: House, init: Init, *arguments: str) -> SandboxRepository:
    done = init("--models", house.model, "--yes", "--json", *arguments)
    assert done.exit_code == 0, done.output
    house.repository.pull(json.loads(done.stdout)["pull_request"]).merge("alice")
    house.settle()
    return house.repository


def test_after_the_merge_nothing_changes_in_the_registry_and_nothing_drifts(fresh: House, init: Init) -> None:
    in_use(fresh)
    before = registry_of(fresh)
    repository = adopted(fresh, init)
    assert registry_of(fresh) == before
    view = view_of(fresh.gateways)
    assert drifted(view) == []
    live = {name: entry.version if entry else None for name, entry in view.live_in_each(fresh.model)}
    assert live == {"staging": 3, "production": 2}
    assert {(p.environment, p.after and p.after.release) for p in history(view, None, fresh.model, None)} == {
        ("production", "1.0.0"),
        ("staging", "1.0.1"),
    }
    assert repository.issues() == []
    assert [p.number for p in repository.pulls()] == []
    assert repository.tags() == {}


def test_what_was_adopted_is_promoted_from(fresh: House, init: Init) -> None:
    in_use(fresh)
    repository = adopted(fresh, init, "--approvals", "1")
    asked = repository.open_issue("Promote", "dana-ds")
    fresh.say(asked, "dana-ds", f"/promote {fresh.model}@4 to production")
    assert fresh.proposal("production", 4) is None
    assert "signature" in fresh.answers(asked)[0]  # which the policy to begin with asks for
    policy = repository.file("policies/production.yaml") or ""
    own = policy.partition("extends:")[0] + "checks:\n  - {id: accurate, metric: {name: accuracy, at_least: 0.5}}\n"
    repository.push({"policies/production.yaml": own})
    fresh.say(asked, "dana-ds", f"/promote {fresh.model}@4 to production")
    pull = fresh.proposed("production", 4)
    pull.approve("alice")
    pull.merge("bob")
    fresh.settle()
    assert fresh.aliases() == {"champion": 4, "staging": 3}
    assert [fresh.stage(n) for n in (1, 2, 3, 4)] == ["None", "Archived", "Staging", "Production"]
    assert fresh.tags(4)["promotion.release"] == "1.0.2"


def test_what_the_registry_does_not_say_in_one_voice_is_left_out_and_left_alone(fresh: House, init: Init) -> None:
    in_use(fresh)
    fresh.mlflow.transition_model_version_stage(fresh.model, "1", "Production")
    before = registry_of(fresh)
    done = init(
        "--models",
        fresh.model,
        "--environment=staging=stage:Staging,alias:staging",
        "--environment=production=stage:Production,alias:champion",
        "--yes",
        "--json",
    )
    assert done.exit_code == 0, done.output
    (left,) = json.loads(done.stdout)["left_out"]
    assert left["why"] == "v1 is in the stage Production, and it is not live"
    pull = fresh.repository.pull(json.loads(done.stdout)["pull_request"])
    assert "v1 is in the stage Production" in pull.body
    pull.merge("alice")
    fresh.settle()
    assert registry_of(fresh) == before
    assert drifted(view_of(fresh.gateways)) == []


def test_a_few_questions_are_asked_and_the_answers_are_what_is_proposed(fresh: House, init: Init) -> None:
    in_use(fresh)
    answers = f"{fresh.model}\ndev production\nllm\n2\n@acme/ml-platform alice\ny\n"
    done = init(answers=answers)
    assert done.exit_code == 0, done.output
    assert f"{fresh.model}: v2 is live in production (1.0.0)" in done.stdout
    (pull,) = fresh.repository.pulls()
    pipeline = fresh.repository.file("promotion.yaml", pull.head_ref) or ""
    assert "count: 2, from: ['@acme/ml-platform', alice]" in pipeline
    assert "alias: dev" in pipeline
    assert fresh.repository.file("policies/library/llm.yaml", pull.head_ref)
    assert fresh.repository.file("policies/library/baseline.yaml", pull.head_ref)  # which the other extends
    again = init("--models", fresh.model, "--yes", "--json")
    assert json.loads(again.stdout)["pull_request"] == pull.number
    assert "stage: Staging" in (fresh.repository.file("promotion.yaml", pull.head_ref) or "")


def test_a_dry_run_shows_the_files_and_writes_nothing(fresh: House, init: Init) -> None:
    in_use(fresh)
    done = init("--models", fresh.model, "--yes", "--dry-run")
    assert done.exit_code == 0, done.output
    assert "--- versions.yaml" in done.stdout
    assert fresh.repository.pulls("all") == []
    assert fresh.repository.branches() == ["main"]


def test_a_no_to_the_last_question_opens_nothing(fresh: House, init: Init) -> None:
    in_use(fresh)
    done = init("--models", fresh.model, answers="\n\n\n\nn\n")
    assert done.exit_code != 0
    assert fresh.repository.pulls("all") == []


def test_a_repository_that_has_a_pipeline_is_refused(fresh: House, init: Init) -> None:
    fresh.repository.push({"promotion.yaml": "kind: Pipeline\n"})
    done = init("--yes")
    assert isinstance(done.exception, Refused)
    assert "has a promotion.yaml already" in str(done.exception)


def test_a_policy_that_somebody_wrote_is_not_written_over(fresh: House, init: Init) -> None:
    fresh.repository.push({"policies/staging.yaml": "kind: Policy\n"})
    done = init("--models", "nothing-*", "--yes")
    assert isinstance(done.exception, Refused)
    assert "has policies/staging.yaml already" in str(done.exception)
    assert fresh.repository.pulls("all") == []


def test_a_registry_that_is_empty_begins_without_entries(fresh: House, init: Init) -> None:
    done = init("--models", "nothing-*", "--yes")
    assert done.exit_code == 0, done.output
    assert "nothing is live yet" in done.stdout
    [pull] = fresh.repository.pulls()
    pull.merge("alice")
    fresh.settle()
    assert fresh.repository.issues() == []


def test_who_may_only_read_is_told_so(fresh: House, init: Init) -> None:
    fresh.repository.repo.collaborators["dana-ds"] = "read"
    done = init("--models", "nothing-*", "--yes")
    assert isinstance(done.exception, PromotionError)
    assert "lacks the permission" in str(done.exception)
    assert fresh.repository.pulls("all") == []


def test_the_bots_own_app_does_not_open_it(fresh: House, init: Init) -> None:
    app = fresh.gateways.settings.github_credentials
    assert isinstance(app, AppCredentials)
    key = app.private_key.reveal()
    done = init("--yes", GITHUB_TOKEN="", GITHUB_APP_ID=app.app_id, GITHUB_APP_PRIVATE_KEY=key)
    assert isinstance(done.exception, Misconfigured)
    assert "GITHUB_TOKEN is missing" in str(done.exception)
    assert fresh.repository.pulls("all") == []
