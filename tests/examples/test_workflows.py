"""The examples' workflows, step by step, against a real MLflow and the GitHub stand-in."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient

from bot.gateways.embedded_redis import embedded_redis
from bot.sandbox.github import SandboxRepository
from tests.e2e.house import House, house
from tests.examples.training import BIN, Training, copied, environment, git
from tests.examples.workflows import Ran, run_job
from tests.services import mlflow_server

EXAMPLES = Path(__file__).parents[2] / "examples"
DEPLOY = EXAMPLES / "deploy"
WORKFLOWS = sorted(EXAMPLES.glob("*/.github/workflows/*.yml"))
TRAIN = EXAMPLES / "breast-cancer/.github/workflows/train.yml"
MODEL = "breast-cancer"
FILES = ("promotion.yaml", "versions.yaml", "policies/staging.yaml", "policies/production.yaml")

pytestmark = pytest.mark.timeout(900)  # several programs that import MLflow


@pytest.fixture(scope="module")
def registry_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow"), allow_webhooks=False) as server:
        yield server.url


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory, registry_url: str) -> Training:
    """A clone of the training repository, as a workflow checks it out: the data is in DVC's remote alone."""
    folder = tmp_path_factory.mktemp("team")
    origin = copied(folder / "origin", registry_url)
    origin.ok("./setup-dvc.sh", str(folder / "dvc-storage"))
    git(folder, "clone", "--quiet", str(origin.folder), "checkout")
    return Training(folder / "checkout", registry_url)


@pytest.fixture(scope="module")
def trained(team: Training, registry_url: str, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """What came of the workflow that trains and registers."""
    known = {
        "vars.MLFLOW_TRACKING_URI": registry_url,
        "inputs.model-type": "logistic_regression",
        "inputs.description": "the first; $(touch injected)",
        "github.event.head_commit.message": "",
    }
    person = {**environment(), "GITHUB_ACTOR": "dana-ds", "LOGNAME": "runner"}  # as on GitHub's machines
    return run_job(TRAIN, team.folder, person, known, tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def world(registry_url: str, team: Training, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The example's deploy repository, and a training repository with the same commits as the team's."""
    files = {path: (DEPLOY / path).read_text() for path in FILES}
    files["promotion.yaml"] = files["promotion.yaml"].replace("24h", "0s").partition("    freeze:")[0] + (
        "    registry: {stage: Production, alias: champion}\n"
    )
    with (
        embedded_redis(tmp_path_factory.mktemp("redis")) as redis_url,
        house(registry_url, redis_url, files, model=MODEL, others={"acme/breast-cancer": "nothing-*"}) as built,
    ):
        push(team, built.others[0])
        settings = built.gateways.settings
        built.gateways.settings = replace(settings, dvc_roots=(team.folder.parent / "dvc-storage",))
        yield built


def push(team: Training, repository: SandboxRepository) -> None:
    """Push the team's branch and tags."""
    remote = repository.repo.git.repo.remotes.create_anonymous(str(team.folder / ".git"))
    remote.fetch(["+refs/heads/main:refs/heads/main", "+refs/tags/*:refs/tags/*"])


def workflow_environment(world: House) -> dict[str, str]:
    return {
        **environment(),
        "GITHUB_API_URL": world.github.api_url,
        "GITHUB_REPOSITORY": world.repository.repo.full_name,
    }


def contexts(world: House, **inputs: str) -> dict[str, str]:
    return {
        "vars.MLFLOW_TRACKING_URI": str(world.gateways.settings.mlflow_tracking_uri),
        "github.repository": world.repository.repo.full_name,
        "github.token": world.workflow_token(),
        **{f"inputs.{name}": value for name, value in inputs.items()},
    }


def with_gh(world: House, folder: Path) -> str:
    """A PATH with a `gh` that knows the stand-in's pull requests and writes down what it is asked to start."""
    script = f"""#!{BIN / "python"}
import json, sys, urllib.request, os
if sys.argv[1:3] == ["pr", "view"]:
    address = f"{world.github.api_url}/repos/{world.repository.repo.full_name}/pulls/{{sys.argv[3]}}"
    request = urllib.request.Request(address, headers={{"Authorization": "token " + os.environ["GH_TOKEN"]}})
    print(json.load(urllib.request.urlopen(request))["head"]["ref"])
else:
    open({str(folder / "asked")!r}, "a").write(" ".join(sys.argv[1:]) + "\\n")
"""
    (folder / "bin").mkdir()
    (folder / "bin/gh").write_text(script)
    (folder / "bin/gh").chmod(0o755)
    return f"{folder / 'bin'}:{environment()['PATH']}"


def test_the_training_workflow_registers_what_is_in_git_and_dvc(
    trained: Ran, team: Training, registry_url: str
) -> None:
    assert not trained.failed, trained.said
    assert trained.summary.splitlines()[-1] == "    1"
    version = MlflowClient(registry_url).get_model_version(MODEL, "1")
    assert version.description == "the first; $(touch injected)"
    assert not (team.folder / "injected").exists()
    assert version.tags["git_commit"] == team.git("rev-parse", "HEAD")
    assert version.tags["git_dirty"] == "false"
    assert version.tags["data_version"] == "data-v1.0"
    assert MlflowClient(registry_url).get_run(version.run_id).data.tags["trained_by"] == "dana-ds"


@pytest.mark.parametrize(
    ("chosen", "options"),
    [
        ({}, "--register --description fewer trees"),
        ({"inputs.model-type": "as in params.yaml"}, "--register --description fewer trees"),
        (
            {"inputs.model-type": "gradient_boosting", "inputs.description": "a trial"},
            "--register --description a trial --model-type gradient_boosting",
        ),
    ],
)
def test_what_a_push_trains_is_what_params_yaml_says(tmp_path: Path, chosen: dict[str, str], options: str) -> None:
    for name in ("bin/dvc", "scripts/train-and-log.sh"):
        file = tmp_path / name
        file.parent.mkdir()
        file.write_text('#!/bin/sh\necho "$@"\n')
        file.chmod(0o755)
    usual = environment()
    known = {"github.event.head_commit.message": "fewer trees", **chosen}
    ran = run_job(TRAIN, tmp_path, {**usual, "PATH": f"{tmp_path / 'bin'}:{usual['PATH']}"}, known, tmp_path)
    assert (ran.failed, ran.summary) == ("", f"    {options}\n")


def test_what_was_trained_is_promoted_by_a_workflow(trained: Ran, team: Training, world: House, tmp_path: Path) -> None:
    """Every check of the example's policies holds on what the example trains."""
    assert not trained.failed, trained.said
    world.event(MODEL)
    assert world.stage(1) == "Staging"
    asked = tmp_path / "asked"
    trials: list[Ran] = []

    def trial() -> None:
        if not asked.is_file() or trials:
            return
        branch = asked.read_text().split()[-1]
        git(tmp_path, "clone", "--quiet", "--branch", branch, world.repository.repo.git.repo.path, "clone")
        registry_url = str(world.gateways.settings.mlflow_tracking_uri)
        trials.append(tried(registry_url, tmp_path / "clone", folder_in(tmp_path, "trial"), environment()))
        # How long a prediction takes is the machine's matter.
        assert trials[0].failed in ("", "Predict and measure, without any secret"), trials[0].said
        actions = next(app for app in world.github.world.apps.values() if app.slug == "github-actions")
        world.repository.check_run(actions, world.repository.head(branch), "try-the-model", "success")

    person = {**workflow_environment(world), "PATH": with_gh(world, tmp_path)}
    known = contexts(world, model=MODEL, version="1", environment="production")
    with world.at_work(trial):
        ran = run_job(DEPLOY / ".github/workflows/promote.yml", tmp_path, person, known, folder_in(tmp_path, "run"))
    assert not ran.failed, ran.said
    assert asked.read_text().startswith("workflow run try-the-model.yml --repo acme/models --ref promote/production/")
    assert "p95" in trials[0].said["Predict and measure, without any secret"]
    assert "    promotion/policy: success" in ran.summary
    (pull,) = [p for p in world.repository.pulls() if p.author == "github-actions[bot]"]
    assert f"    #{pull.number} {pull.title}" in ran.summary.splitlines()
    for check in ("data-is-real", "from-main", "from-a-clean-tree", "reproducible", "answers-fast", "finds-cancers"):
        assert check in pull.body or check in str(world.repository.check_runs(pull.head_sha))
    world.approve_and_merge(pull)
    world.settle()
    assert not world.repository.issues(), [issue.body for issue in world.repository.issues()]
    assert world.stage(1) == "Production"


def test_a_promotion_that_cannot_be_opened_says_so_in_the_summary(trained: Ran, world: House, tmp_path: Path) -> None:
    known = contexts(world, model=MODEL, version="99", environment="production")
    ran = run_job(DEPLOY / ".github/workflows/promote.yml", tmp_path, workflow_environment(world), known, tmp_path)
    assert ran.failed == "Open the pull request"
    assert "has no version 99" in ran.said[ran.failed]
    assert "No pull request is being followed" in ran.summary


def test_a_commit_that_says_another_version_than_it_proposes_gets_that_one_tried(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    git(checkout, "init", "--quiet", "--initial-branch", "main")
    for version, said in ((1, "Live"), (2, f"Promote\n\nPromotion-Model: {MODEL}\nPromotion-Version: 1")):
        entry = {"version": version, "digest": f"sha256:{version}"}
        (checkout / "versions.yaml").write_text(yaml.safe_dump({"models": {MODEL: {"staging": entry}}}))
        git(checkout, "add", ".")
        git(checkout, "commit", "--quiet", "--message", said)
        if version == 1:
            git(checkout, "update-ref", "refs/remotes/origin/main", "HEAD")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/promotion-bot"
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    usual = environment()
    ran = tried("", checkout, tmp_path, {**usual, "PATH": f"{program.parent}:{usual['PATH']}"})
    assert ran.said["Download it"] == f"download {MODEL} --version 2 --to model\n"


def test_the_policies_workflow_refuses_what_the_bot_would_refuse(tmp_path: Path) -> None:
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    (tmp_path / "run").mkdir()
    workflow = DEPLOY / ".github/workflows/policies.yml"
    ran = run_job(workflow, tmp_path / "deploy", environment(), {}, tmp_path / "run")
    assert not ran.failed, ran.said
    staging = tmp_path / "deploy/policies/staging.yaml"
    text = staging.read_text()
    staging.write_text(text.replace("at_least: 0.8}", "at_least: 0.6}"))
    assert run_job(workflow, tmp_path / "deploy", environment(), {}, tmp_path / "run").failed == "Test"
    staging.write_text(text.replace("at_least", "at_leest"))
    ran = run_job(workflow, tmp_path / "deploy", environment(), {}, tmp_path / "run")
    assert ran.failed == "Check"
    assert "did you mean “at_least”" in ran.said["Check"]


def test_what_is_promoted_is_copied_to_a_second_store(
    trained: Ran, team: Training, world: House, tmp_path: Path
) -> None:
    world.event(MODEL)
    known = {**contexts(world), "vars.SECOND_STORE": str(tmp_path / "second")}
    workflow, run = DEPLOY / ".github/workflows/sync.yml", folder_in(tmp_path, "run")
    ran = run_job(workflow, tmp_path, workflow_environment(world), known, run)
    assert not ran.failed, ran.said
    assert f"{MODEL} v1" in ran.summary
    model = hashlib.sha256((team.folder / "models/model/model.skops").read_bytes()).hexdigest()
    assert (tmp_path / "second/sha256" / model[:2] / model[2:]).is_file()
    assert [path.name.partition("-")[0] for path in (tmp_path / "second/versions" / MODEL).iterdir()] == ["1"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_is_what_actionlint_accepts(workflow: Path) -> None:
    """It looks into the scripts too, with the shellcheck that is beside it."""
    command = [BIN / "actionlint", "-shellcheck", BIN / "shellcheck", workflow]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert checked.returncode == 0, checked.stdout


def tried(registry_url: str, checkout: Path, scratch: Path, person: Mapping[str, str]) -> Ran:
    """What the workflow that loads the model says of a checkout."""
    known = {"vars.MLFLOW_TRACKING_URI": registry_url, "github.event.repository.default_branch": "main"}
    for script in DEPLOY.glob("*.py"):
        shutil.copy(script, checkout)
    return run_job(DEPLOY / ".github/workflows/try-the-model.yml", checkout, person, known, scratch)


def folder_in(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name
