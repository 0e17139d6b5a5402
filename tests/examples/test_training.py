"""The example team trains, evaluates and registers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient

from bot.gateways.scan.files import scan_directory
from tests.examples.training import EXAMPLE, Training, copied

TYPES = ("random_forest", "logistic_regression", "gradient_boosting")

pytestmark = pytest.mark.timeout(900)  # several programs that import MLflow


@pytest.fixture(scope="module")
def client(store: str) -> Iterator[MlflowClient]:
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(store)
    yield MlflowClient(store)
    mlflow.set_tracking_uri(before)


@pytest.fixture(scope="module")
def trained(team: Training) -> dict[str, str]:
    """A run of each type of model; the last one's model is in models/model."""
    runs = {}
    for model_type in TYPES:
        said = team.ok(
            *("python", "train.py", "--experiment-name", f"tried-{model_type}"),
            *("--data-path", "data/prepared", "--model-type", model_type),
        )
        assert said.endswith(f"run {team.run_id()}")
        runs[model_type] = team.run_id()
    return runs


@pytest.mark.parametrize("model_type", TYPES)
def test_a_model_of_each_type_is_trained_and_tracked(
    team: Training, trained: dict[str, str], client: MlflowClient, tmp_path: Path, model_type: str
) -> None:
    run = client.get_run(trained[model_type])
    assert client.get_experiment(run.info.experiment_id).name == f"tried-{model_type}"
    assert run.data.params["model_type"] == run.data.tags["model_type"] == model_type
    assert run.data.params["seed"] == run.data.tags["random_seed"] == "7"
    assert run.data.metrics.keys() == json.loads((team.folder / "metrics/train.json").read_text()).keys()
    assert run.data.metrics["accuracy"] > 0.85
    assert run.data.tags["git_dirty"] == "false"
    assert run.data.tags["data_version"] == "data-v1.0"
    assert float(run.data.tags["training_duration_seconds"]) > 0
    assert [given.tags[0].value for given in run.inputs.dataset_inputs] == ["training", "testing"]

    files = Path(client.download_artifacts(run.info.run_id, "", str(tmp_path)))
    for plot in ("confusion_matrix", "feature_importance", "roc_curve"):
        assert (files / f"plots/{plot}.png").read_bytes().startswith(b"\x89PNG")
    statistics, system, importance = (
        json.loads((files / f"{name}.json").read_text()) for name in ("data_statistics", "system", "feature_importance")
    )
    assert statistics["rows"] == {"train": 337, "test": 113}
    assert statistics["columns"]["mean radius"]["max"] > 20
    assert len(importance) == 30
    assert {"platform", "processors", "python", "packages"} <= system.keys()

    model = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
    assert model.metadata.signature is not None
    assert set(model.predict(model.input_example)) <= {0, 1}


def test_its_files_are_under_dvc_too_and_hold_no_code(team: Training, trained: dict[str, str]) -> None:
    """What the policies' `scan` looks for."""
    model = team.folder / "models/model"
    files = {path.name for path in model.iterdir()}
    assert {"MLmodel", "model.skops", "requirements.txt"} <= files
    assert "registered_model_meta" not in files
    assert scan_directory(model, sorted(files)) == ()
    assert all("==" in line for line in (model / "requirements.txt").read_text().splitlines())


def test_it_is_evaluated_row_by_row_and_registered_once(team: Training, client: MlflowClient, tmp_path: Path) -> None:
    said = team.ok("python", "evaluate.py")  # the model that was trained last
    metrics = client.get_run(team.run_id()).data.metrics
    assert metrics["evaluation_accuracy_score"] == metrics["accuracy"]
    assert metrics["evaluation_roc_auc"] == pytest.approx(metrics["roc_auc"])
    assert json.loads((team.folder / "metrics/evaluation.json").read_text())["roc_auc"] == metrics["evaluation_roc_auc"]
    rows = pd.read_csv(client.download_artifacts(team.run_id(), "evaluation/predictions.csv", str(tmp_path)))
    assert len(rows) == 113
    assert rows["wrong"].mean() == pytest.approx(1 - metrics["accuracy"])
    assert f"{rows['wrong'].sum()} of 113 rows wrong" in said

    options = ("--name", "registered", "--description", "the first", "--tag", "ticket=ML-7", "--tag", "note=a=b")
    assert team.ok("python", "register.py", team.run_id(), *options) == "1"
    version = client.get_model_version("registered", "1")
    assert (version.description, version.run_id) == ("the first", team.run_id())
    run_tags = client.get_run(team.run_id()).data.tags
    copied_tags = (
        "git_commit",
        "git_branch",
        "git_dirty",
        "data_version",
        "data_hash",
        "data_path",
        "model_hash",
        "model_path",
    )
    assert version.tags == {**{name: run_tags[name] for name in copied_tags}, "ticket": "ML-7", "note": "a=b"}
    again = team.run("python", "register.py", team.run_id(), "--name", "registered")
    assert again.stdout == "1\n"
    assert "is registered version 1 already" in again.stderr
    assert len(client.search_model_versions("name = 'registered'")) == 1


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("train.py", "--model-type", "oracle"), "invalid choice: 'oracle'"),
        (("train.py", "--data-path", "nowhere"), "there is no nowhere/train.csv: run `python prepare.py` first"),
        (("dataset.py", "--rows", "0"), "“0” is no number of rows"),
        (("dataset.py", "--rows", "-3"), "“-3” is no number of rows"),
        (("evaluate.py", "--run-id", "RUNNING"), "is RUNNING: only a finished run is evaluated"),
        (("evaluate.py", "--run-id", "nope"), "run nope cannot be evaluated: Run with id=nope not found"),
        (("register.py", "nope"), "MLflow refuses to register nope: Run with id=nope not found"),
        (("register.py", "RUNNING"), "is RUNNING: only a finished run is registered"),
        (("register.py", "EMPTY"), "has logged no model"),
        (("register.py", "DELETED"), "is deleted: `mlflow runs restore --run-id "),
        (("register.py", "EMPTY", "--tag", "ticket"), "“ticket” is not KEY=VALUE"),
    ],
)
def test_what_cannot_be_done_is_said(team: Training, client: MlflowClient, command: tuple[str, ...], says: str) -> None:
    running = client.create_run("0").info.run_id
    empty = client.create_run("0").info.run_id
    client.set_terminated(empty)
    deleted = client.create_run("0").info.run_id
    client.set_terminated(deleted)
    client.delete_run(deleted)
    names = {"RUNNING": running, "EMPTY": empty, "DELETED": deleted}
    done = team.run("python", *(names.get(word, word) for word in command))
    assert done.returncode != 0
    assert says in done.stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("size\n1\n2\n", "has no column “malignant”"),
        ("size,malignant\n1,0\n,1\n", "has missing values in: size"),
        ("size,malignant\n1,0\nbig,1\n", "has values that are no numbers in: size"),
        ("size,malignant\n1,0\n2,3\n", "“malignant” must be 0 or 1"),
        ("size,malignant\n1,0\n2,1\n", "data/dataset.csv cannot be split as params.yaml says: "),
        ("", "data/dataset.csv is no table of comma-separated values"),
        ('\0\n"', "data/dataset.csv is no table of comma-separated values"),
    ],
)
def test_data_that_cannot_be_used_is_said(tmp_path: Path, text: str, says: str) -> None:
    training = copied(tmp_path / "copy", "")
    (training.folder / "data").mkdir()
    (training.folder / "data/dataset.csv").write_text(text)
    done = training.run("python", "prepare.py")
    assert done.returncode == 1
    assert says in done.stderr


def test_a_model_is_not_trained_on_other_data_than_it_is_said_to_come_from(team: Training) -> None:
    """A version of the data that nobody has split yet, and a split whose data is not here."""
    dataset = team.folder / "data/dataset.csv"
    first = dataset.read_bytes()
    team.ok("python", "dataset.py")
    try:
        newer = team.run("python", "train.py")
        dataset.unlink()
        gone = team.run("python", "train.py"), team.run("python", "prepare.py")
    finally:
        dataset.unlink(missing_ok=True)
        dataset.write_bytes(first)
    assert "data/prepared is not made of data/dataset.csv as it is now: run `python prepare.py`" in newer.stderr
    assert all("run `dvc pull data/dataset.csv`" in done.stderr for done in gone)


@pytest.mark.parametrize(
    ("variables", "options", "says"),
    [
        ({"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}, (), "“breast-cancer”: API request to http://127.0.0.1:9"),
        ({}, ("--experiment-name", "abandoned"), "“abandoned”: "),
    ],
)
def test_an_mlflow_that_cannot_log_is_said_before_anything_is_trained(
    team: Training, client: MlflowClient, variables: dict[str, str], options: tuple[str, ...], says: str
) -> None:
    if options:
        client.delete_experiment(client.create_experiment("abandoned"))
    done = team.run("python", "train.py", *options, **variables, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    assert done.returncode == 1
    assert f"MLflow cannot log to the experiment {says}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"train": {"experiment_name": "e", "model_type": "oracle"}}, "train.model_type “oracle” is none of"),
        ({"models": {"random_forest": {"tres": 5}}}, "models.random_forest: "),
    ],
)
def test_parameters_that_cannot_be_used_are_said(team: Training, params: dict[str, Any], says: str) -> None:
    file = team.folder / "params.yaml"
    usual = file.read_text()
    file.write_text(yaml.safe_dump({**yaml.safe_load(usual), **params}))
    try:
        done = team.run("python", "train.py")
    finally:
        file.write_text(usual)
    assert done.returncode != 0
    assert f"params.yaml: {says}" in done.stderr


def test_an_evaluation_that_fails_leaves_the_training_finished(
    team: Training, trained: dict[str, str], client: MlflowClient, tmp_path: Path
) -> None:
    (tmp_path / "test.csv").write_text("size,malignant\n1,0\n2,1\n")  # not what the model takes
    run_id = trained["random_forest"]
    done = team.run("python", "evaluate.py", "--run-id", run_id, "--data-path", str(tmp_path))
    assert done.returncode == 1
    assert f"run {run_id} cannot be evaluated: " in done.stderr
    assert client.get_run(run_id).info.status == "FINISHED"


def test_it_runs_as_an_mlflow_project(team: Training, client: MlflowClient) -> None:
    project = yaml.safe_load((EXAMPLE / "MLproject").read_text())
    assert (EXAMPLE / project["python_env"]).is_file()
    options = ("-P", "model_type=logistic_regression", "--experiment-name", "as-a-project")
    team.ok("mlflow", "run", ".", "--env-manager", "local", *options)
    run = client.get_run(team.run_id())
    assert client.get_experiment(run.info.experiment_id).name == "as-a-project"
    assert run.info.status == "FINISHED"
    assert run.data.params["model_type"] == "logistic_regression"


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("evaluate", "run nope cannot be evaluated"),
        ("register", "MLflow refuses to register nope"),
    ],
)
def test_the_projects_other_programs_take_what_it_gives_them(team: Training, entry: str, says: str) -> None:
    command = yaml.safe_load((EXAMPLE / "MLproject").read_text())["entry_points"][entry]["command"]
    done = team.run(*command.format(run_id="nope", name="another").split())
    assert says in done.stderr


def test_every_kind_of_model_starts_from_the_seed(team: Training) -> None:
    script = (
        "from models import MODEL_TYPES, build\nprint([build(each, {}, 7)[-1].random_state for each in MODEL_TYPES])"
    )
    assert team.ok("python", "-c", script) == "[7, 7, 7]"
