"""Data and models of the example have versions: DVC and git tags, as its README tells."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient

from tests.documentation.pages import run_by
from tests.examples.training import EXAMPLE, Training, copied, git


def of_the_readme(name: str) -> list[tuple[str, ...]]:
    """The commands of which the README says that they are run here, a block each."""
    found = run_by("examples/breast-cancer/README.md", f"tests/examples/test_dvc.py::{name}")
    return [("bash", "-euo", "pipefail", "-c", block.code) for block in found]


SET_UP_AND_TRAIN, NEW_DATA = of_the_readme("history")
(SEE_WHAT_CHANGES,) = of_the_readme("test_a_repro_with_other_data_and_parameters_shows_what_changed")

pytestmark = pytest.mark.timeout(900)  # several programs that import MLflow


@pytest.fixture(scope="module")
def history(team: Training) -> Training:
    """Two versions of the data, and a model of the first that is committed; the second is not trained yet."""
    params = yaml.safe_load((team.folder / "params.yaml").read_text())
    params["train"]["model_type"] = "logistic_regression"
    (team.folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    team.commit("Quicker")
    team.ok(*SET_UP_AND_TRAIN)
    team.git("tag", "model-v1")
    team.ok("dvc", "push")
    team.ok(*NEW_DATA)
    return team


def outputs(training: Training) -> dict[str, str]:
    """The hash of each output, as dvc.lock has it."""
    lock = yaml.safe_load((training.folder / "dvc.lock").read_text())
    return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]}


def test_a_repro_with_other_data_and_parameters_shows_what_changed(history: Training, store: str) -> None:
    params = yaml.safe_load((history.folder / "params.yaml").read_text())
    params["models"]["logistic_regression"]["C"] = 1.0
    (history.folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    changed = json.loads(history.ok("dvc", "params", "diff", "--json"))
    assert changed == {"params.yaml": {"models.logistic_regression.C": {"old": 0.1, "new": 1.0, "diff": 0.9}}}

    said = history.ok(*SEE_WHAT_CHANGES)
    assert "models.logistic_regression.C" in said
    assert "roc_auc" in said
    metrics = json.loads(history.ok("dvc", "metrics", "diff", "model-v1", "--json"))
    assert metrics.keys() == {"metrics/train.json", "metrics/evaluation.json"}
    assert "diff" in metrics["metrics/train.json"]["roc_auc"]
    assert "metrics/evaluation.json" in history.ok("dvc", "metrics", "diff", "model-v1")
    assert history.ok("dvc", "status") == "Data and pipelines are up to date."

    run = MlflowClient(store).get_run(history.run_id())
    assert run.data.tags["data_version"] == "data-v1.1"
    pointer = yaml.safe_load((history.folder / "data/dataset.csv.dvc").read_text())
    assert run.data.tags["data_hash"] == f"md5:{pointer['outs'][0]['md5']}"
    # The model that DVC keeps is the one whose hash the run has, and the one that MLflow has.
    assert run.data.tags["model_hash"] == f"md5:{outputs(history)['models/model']}"
    history.commit("A model of data 1.1")
    before = history.run_id()
    history.ok("dvc", "repro")
    assert history.run_id() == before, "nothing changed, and yet it was trained again"


def test_the_helper_takes_hashes_as_dvc_does(history: Training) -> None:
    """Of a file, of a directory, and without what .dvcignore names."""
    (history.folder / "data/prepared/.DS_Store").write_bytes(b"noise")
    script = (
        "import logging, mlflow; from promotion_bot_lineage import record_lineage\n"
        "with mlflow.start_run(): print(record_lineage(data='data/prepared/test.csv')['data_hash'])"
    )
    said = history.ok("python", "-c", script)
    assert said.splitlines()[-1] == f"md5:{outputs(history)['data/prepared']}"


def test_a_clone_gets_data_and_model_of_a_tag(history: Training, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--branch", "model-v1", str(history.folder), "clone")
    clone = Training(tmp_path / "clone", history.tracking_uri)
    storage = history.folder.parent / "dvc-storage"
    clone.ok("dvc", "remote", "modify", "--local", "storage", "url", str(storage))
    clone.ok("dvc", "pull")
    assert len((clone.folder / "data/dataset.csv").read_text().splitlines()) == 1 + 450
    assert (clone.folder / "models/model/MLmodel").is_file()
    assert clone.git("status", "--porcelain") == ""


def test_setting_up_twice_changes_nothing(history: Training) -> None:
    before = history.git("rev-parse", "HEAD", "refs/tags/data-v1.0")
    (history.folder / "notes.txt").write_text("not for everybody\n")
    said = history.ok("./setup-dvc.sh")
    assert history.git("rev-parse", "HEAD", "refs/tags/data-v1.0") == before
    assert said.startswith("ready: data-v1.0 is in git")


def test_setting_up_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    """Between the commit and its tag, or before the commit; as after a push that the remote refused."""
    training = copied(tmp_path / "copy", "")
    training.ok("./setup-dvc.sh", "../dvc-storage")
    commit = training.git("rev-parse", "data-v1.0^{commit}")
    training.git("tag", "--delete", "data-v1.0")
    training.ok("./setup-dvc.sh", "../dvc-storage")
    assert training.git("rev-parse", "data-v1.0^{commit}") == commit
    training.git("tag", "--delete", "data-v1.0")
    training.git("reset", "--soft", "HEAD~")
    training.ok("./setup-dvc.sh")
    assert training.git("show", "--format=", "--name-only", "data-v1.0^{commit}") == "data/dataset.csv.dvc"


def test_setting_up_a_clone_without_tags_keeps_its_data(history: Training, tmp_path: Path) -> None:
    storage = history.folder.parent / "dvc-storage"

    def cloned(*options: str) -> Training:
        folder = tmp_path / f"clone{len(options)}"
        git(tmp_path, "clone", "--quiet", "--no-tags", *options, f"file://{history.folder}", str(folder))
        clone = Training(folder, "")
        clone.ok("dvc", "remote", "modify", "--local", "storage", "url", str(storage))
        return clone

    clone = cloned()
    head = clone.git("rev-parse", "HEAD")
    clone.ok("dvc", "pull", "data/dataset.csv")
    clone.ok("./setup-dvc.sh")
    assert clone.git("rev-parse", "HEAD") == head
    assert clone.git("rev-parse", "data-v1.0^{commit}") == history.git("rev-parse", "data-v1.0^{commit}")
    assert len((clone.folder / "data/dataset.csv").read_text().splitlines()) == 1 + 569
    refused = cloned("--depth", "1").run("./setup-dvc.sh")
    assert (refused.returncode, "git fetch --unshallow --tags" in refused.stderr) == (1, True)


def test_another_remote_than_the_one_that_is_there_is_not_ignored(history: Training) -> None:
    done = history.run("./setup-dvc.sh", "s3://elsewhere/models")
    assert done.returncode == 1
    assert "DVC's remote is" in done.stderr
    assert "dvc remote modify storage url" in done.stderr


def test_it_is_not_set_up_inside_of_another_repository(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    training = copied(tmp_path / "copy", "")
    done = training.run("./setup-dvc.sh")
    assert done.returncode == 1
    assert "copy it to a place of its own first" in done.stderr
    assert not (training.folder / ".dvc").exists()


@pytest.mark.parametrize(
    ("remote", "says"),
    [("elsewhere://bucket/path", "Unsupported URL type elsewhere"), ("/dev/null/storage", "/dev/null/storage")],
)
def test_a_remote_that_cannot_be_used_is_said(tmp_path: Path, remote: str, says: str) -> None:
    """By DVC, where it is added or where the data is pushed."""
    done = copied(tmp_path / "copy", "").run("./setup-dvc.sh", remote)
    assert done.returncode != 0
    assert says in done.stderr


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    training = copied(tmp_path / "copy", "")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "dirname", "cat", "git"):
        (tools / name).symlink_to(shutil.which(name) or name)
    done = training.run("bash", "setup-dvc.sh", PATH=str(tools))
    assert done.returncode == 1
    assert "the program dvc is missing: pip install -r requirements.txt" in done.stderr


def test_every_file_that_a_stage_needs_is_there() -> None:
    stages = yaml.safe_load((EXAMPLE / "dvc.yaml").read_text())["stages"]
    made = {out for stage in stages.values() for out in stage["outs"]} | {"data/dataset.csv"}
    for stage in stages.values():
        for path in set(stage["deps"]) - made:
            assert (EXAMPLE / path).is_file(), path
