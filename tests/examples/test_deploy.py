"""The example's files are what they say, and its script does what the workflow wants of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from sklearn.linear_model import LogisticRegression

from bot.cli.policy import command

EXAMPLE = Path(__file__).parents[2] / "examples" / "deploy"


def test_the_examples_files_are_right() -> None:
    files = [EXAMPLE / "promotion.yaml", EXAMPLE / "versions.yaml", *sorted((EXAMPLE / "policies").glob("*.yaml"))]
    result = CliRunner().invoke(command, ["check", *map(str, files), "--root", str(EXAMPLE)])
    assert result.exit_code == 0, result.output


def test_the_policies_do_what_their_cases_say_and_every_check_can_fail() -> None:
    result = CliRunner().invoke(command, ["test", str(EXAMPLE / "policies"), "--coverage", "--root", str(EXAMPLE)])
    assert result.exit_code == 0, result.output


def test_every_path_has_an_owner_who_is_there() -> None:
    lines = (EXAMPLE / ".github/CODEOWNERS").read_text().splitlines()
    owned = [line.split()[0] for line in lines if line.startswith("/")]
    assert all((EXAMPLE / path.strip("/")).exists() for path in owned)
    scripts = {f"/{path.name}" for path in EXAMPLE.glob("*.py")}  # whoever changes one changes what a check means
    assert {"/versions.yaml", "/promotion.yaml", "/policies/", "/.github/", *scripts} <= set(owned)


def test_the_pipeline_owns_what_the_training_registers() -> None:
    pipeline = yaml.safe_load((EXAMPLE / "promotion.yaml").read_text())
    assert 'MODEL_NAME = "breast-cancer"' in (EXAMPLE.parent / "breast-cancer/register.py").read_text()
    assert pipeline["models"] == ["breast-cancer"]


def test_the_policy_waits_for_the_workflows_job() -> None:
    workflow = yaml.safe_load((EXAMPLE / ".github/workflows/try-the-model.yml").read_text())
    policy = yaml.safe_load((EXAMPLE / "policies/production.yaml").read_text())
    (check,) = [row["github_check"] for row in policy["checks"] if "github_check" in row]
    assert [job["name"] for job in workflow["jobs"].values()] == [check["name"]]


def manifest(path: Path, **versions: int) -> str:
    """A manifest of a model with these versions, by environment; one named `other_…` is another model's."""
    models: dict[str, dict[str, object]] = {}
    for name, version in versions.items():
        model, _, environment = name.rpartition("_")
        models.setdefault(model or "breast-cancer", {})[environment] = {
            "version": version,
            "digest": f"sha256:{version}",
        }
    path.write_text(yaml.safe_dump({"models": models}))
    return str(path)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ({}, {"staging": 1}, "1\nbreast-cancer\n"),
        ({"staging": 2, "production": 1}, {"staging": 2, "production": 2}, "2\nbreast-cancer\n"),
        ({"staging": 2, "other_staging": 4}, {"staging": 2, "other_staging": 3}, "3\nother\n"),
        ({"staging": 1}, {"staging": 1}, "versions.yaml proposes: none"),
        ({"staging": 1}, {}, "versions.yaml proposes: none"),
        ({}, {"staging": 1, "other_staging": 7}, "versions.yaml proposes: breast-cancer v1, other v7"),
    ],
)
def test_what_is_tried_is_the_one_version_that_the_manifest_proposes(
    tmp_path: Path, before: dict[str, int], after: dict[str, int], says: str
) -> None:
    files = manifest(tmp_path / "before.yaml", **before), manifest(tmp_path / "after.yaml", **after)
    done = subprocess.run(
        [sys.executable, EXAMPLE / "proposed.py", *files], capture_output=True, text=True, check=False
    )
    assert says in done.stdout + done.stderr
    assert bool(done.returncode) == ("proposes" in says)


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--limit", "10000"), 0, "p95"),  # how long it takes here is not what is tested
        (("--limit", "0"), 1, "limit 0 ms"),
        (("--calls", "1"), 2, "needs two or more"),
        (None, 1, "no input example"),
    ],
)
def test_a_model_is_tried_on_its_own_example(
    tmp_path: Path, options: tuple[str, ...] | None, code: int, says: str
) -> None:
    features = np.array([[0.0], [1.0]])
    model = LogisticRegression().fit(features, [0, 1])
    example = features if options is not None else None
    mlflow.sklearn.save_model(
        model, str(tmp_path / "model"), input_example=example, serialization_format="cloudpickle", pip_requirements=[]
    )
    script = [sys.executable, str(EXAMPLE / "try_model.py"), str(tmp_path / "model"), "--calls", "20", *(options or ())]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert says in done.stdout + done.stderr
