"""What stands in the examples' workflows and no step shows: rights, secrets, triggers, how much of git is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

EXAMPLES = Path(__file__).parents[2] / "examples"
READ = {"contents": "read"}
PERMISSIONS = {
    "breast-cancer/train": READ,
    "deploy/policies": READ,
    "deploy/promote": {
        "actions": "write",
        "checks": "read",
        "contents": "write",
        "deployments": "read",
        "pull-requests": "write",
        "statuses": "read",
    },
    "deploy/sync": READ,
    "deploy/try-the-model": READ,
}


def workflow(name: str) -> dict[Any, Any]:
    """A workflow; YAML makes `True` of its key `on`."""
    example, _, file = name.partition("/")
    return dict(yaml.safe_load((EXAMPLES / example / ".github/workflows" / f"{file}.yml").read_text()))


def steps(name: str) -> list[dict[str, Any]]:
    (job,) = workflow(name)["jobs"].values()
    return list(job["steps"])


def test_they_are_all_here() -> None:
    found = {f"{path.parts[-4]}/{path.stem}" for path in EXAMPLES.glob("*/.github/workflows/*.yml")}
    assert found == set(PERMISSIONS)


@pytest.mark.parametrize("name", PERMISSIONS)
def test_a_workflow_may_do_what_its_steps_need_and_no_more(name: str) -> None:
    document = workflow(name)
    (job,) = document["jobs"].values()
    assert document["permissions"] == {}
    assert job["permissions"] == PERMISSIONS[name]
    assert job["timeout-minutes"] <= 120


@pytest.mark.parametrize("name", PERMISSIONS)
def test_no_checkout_leaves_its_token_behind(name: str) -> None:
    for step in steps(name):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("name", ["breast-cancer/train", "deploy/try-the-model"])
def test_where_steps_ask_git_for_tags_or_branches_all_of_it_is_there(name: str) -> None:
    (checkout,) = [step for step in steps(name) if step.get("uses", "").startswith("actions/checkout@")]
    assert checkout["with"]["fetch-depth"] == 0


def test_what_loads_the_model_holds_no_secret() -> None:
    """Its own code, its packages' and the pull request's: only the program that downloads has the token."""
    for step in steps("deploy/try-the-model"):
        run = step.get("run", "")
        assert "secrets." not in str(step) or run.splitlines()[-1].startswith("promotion-bot download "), run


def test_a_change_of_code_parameters_or_data_trains() -> None:
    push = workflow("breast-cancer/train")[True]["push"]
    assert push == {"branches": ["main"], "paths": ["*.py", "params.yaml", "requirements.txt", "data/*.dvc"]}


def test_the_button_knows_the_pipelines_environments() -> None:
    pipeline = yaml.safe_load((EXAMPLES / "deploy/promotion.yaml").read_text())
    inputs = workflow("deploy/promote")[True]["workflow_dispatch"]["inputs"]
    assert inputs["environment"]["options"] == [environment["name"] for environment in pipeline["environments"]]
    assert inputs["model"]["default"] in pipeline["models"]


def test_the_button_knows_the_kinds_of_model() -> None:
    inputs = workflow("breast-cancer/train")[True]["workflow_dispatch"]["inputs"]
    params = yaml.safe_load((EXAMPLES / "breast-cancer/params.yaml").read_text())
    assert inputs["model-type"]["options"] == ["as in params.yaml", *params["models"]]
