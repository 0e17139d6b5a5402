"""What the vendorable helper records of a training, and that it never ends one."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from types import ModuleType

import mlflow
import pytest

from bot.gateways.registration import LINEAGE_TAGS
from tests.examples.tracked import MD5, OTHER, lock, tags, track
from tests.examples.training import EXAMPLE, git


def test_the_helper_and_the_command_copy_the_same_tags_to_a_version(lineage: ModuleType) -> None:
    """But for the model's commit, which a training cannot know yet."""
    assert set(LINEAGE_TAGS) - set(lineage.COPIED_TO_THE_VERSION) == {"model_commit"}
    assert set(lineage.COPIED_TO_THE_VERSION) <= set(LINEAGE_TAGS)


def test_everything_is_recorded(repository: Path, lineage: ModuleType) -> None:
    with mlflow.start_run(nested=True) as parent:
        pass
    said = lineage.record_lineage(
        data="data/dataset.csv",
        model_type="random_forest",
        framework="scikit-learn",
        random_seed=7,
        parent_run_id=parent.info.run_id,
    )
    begun = time.monotonic()
    with lineage.training_time():
        pass
    at_most = time.monotonic() - begun
    import sklearn

    found = tags()
    assert said.items() <= found.items()
    assert found["git_commit"] == git(repository, "rev-parse", "HEAD")
    assert (found["git_branch"], found["git_dirty"]) == ("main", "false")
    assert found["git_repository"] == "acme/breast-cancer"
    assert (found["data_path"], found["data_hash"]) == ("data/dataset.csv", f"md5:{MD5}")
    assert found["data_version"] == MD5[:12]
    assert (found["model_type"], found["random_seed"]) == ("random_forest", "7")
    assert (found["framework"], found["framework_version"]) == ("scikit-learn", sklearn.__version__)
    assert found["mlflow.parentRunId"] == parent.info.run_id
    assert 0 <= float(found["training_duration_seconds"]) <= at_most + 0.001, "rounded"
    assert found["training_date"].endswith("+00:00")
    assert found["python_version"] == ".".join(map(str, sys.version_info[:3]))
    assert found["trained_by"]


def test_a_workflow_trains_for_the_person_who_started_it(
    place: Path, lineage: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTOR", "dan-smith")
    assert lineage.record_lineage()["trained_by"] == "dan-smith"


def test_outside_of_git_the_training_goes_on(
    place: Path, lineage: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    track(place)
    said = lineage.record_lineage(data="data/dataset.csv", model_type="x")
    assert said["data_hash"] == f"md5:{MD5}"
    assert not {"git_commit", "git_branch", "git_dirty", "git_repository"} & said.keys()
    for name in ("git_commit, git_dirty", "git_branch", "git_repository"):
        assert f"{name}: fatal: not a git repository" in caplog.text


def test_a_repository_without_a_commit_claims_nothing(
    place: Path, lineage: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    git(place, "init", "--quiet")
    assert not {"git_commit", "git_dirty"} & lineage.record_lineage().keys()
    assert "there is no commit yet" in caplog.text
    assert "the repository has no remote" in caplog.text


def test_a_machine_without_git(
    repository: Path, lineage: ModuleType, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(repository))
    said = lineage.record_lineage(data="data/dataset.csv")
    assert said["data_hash"] == f"md5:{MD5}"
    assert "the program git is not installed" in caplog.text


def test_a_git_that_does_not_end(
    repository: Path, lineage: ModuleType, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a network drive that does not answer."""
    (repository / "git").write_text("#!/bin/sh\nexec sleep 60\n")
    (repository / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{repository}:{os.environ['PATH']}")
    monkeypatch.setattr(lineage, "_GIT_LIMIT", 0.1)
    assert lineage.record_lineage(model_type="x").keys().isdisjoint({"git_commit", "git_dirty", "git_branch"})
    assert "git_commit, git_dirty: `git rev-parse` did not end within 0.1 seconds" in caplog.text


@pytest.mark.parametrize("name", ["train.py", "new_module.py"])
def test_a_change_that_is_in_no_commit_makes_the_tree_dirty(repository: Path, lineage: ModuleType, name: str) -> None:
    (repository / name).write_text("changed\n")
    assert lineage.record_lineage()["git_dirty"] == "true"


def test_what_the_pipeline_writes_does_not(repository: Path, lineage: ModuleType) -> None:
    lock(repository, "data/prepared", OTHER)
    (repository / "metrics").mkdir()
    (repository / "metrics/train.json").write_text("{}")
    assert lineage.record_lineage()["git_dirty"] == "true"
    assert lineage.record_lineage(generated=["dvc.lock", "metrics"])["git_dirty"] == "false"


def test_from_a_folder_below_everything_is_told_from_the_top(
    repository: Path, lineage: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository / "data")
    lock(repository, "data/prepared", OTHER)
    said = lineage.record_lineage(data="dataset.csv", generated=["dvc.lock"])
    assert (said["data_path"], said["git_dirty"]) == ("data/dataset.csv", "false")


def test_a_detached_head_is_on_no_branch(
    repository: Path, lineage: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    git(repository, "checkout", "--quiet", "--detach")
    said = lineage.record_lineage()
    assert "git_commit" in said
    assert "git_branch" not in said
    assert "git_branch: HEAD is detached" in caplog.text


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://dana:s3cret@github.com/acme/breast-cancer.git", "acme/breast-cancer"),
        ("https://s3cret@github.com/acme/breast-cancer", "acme/breast-cancer"),
        ("https://github.com/acme/breast-cancer?access_token=s3cret#s3cret", "acme/breast-cancer"),
        ("git@github.com:acme/breast-cancer.git", "acme/breast-cancer"),
        ("ssh://git:s3cret@git.example.com:2222/acme/breast-cancer.git", "acme/breast-cancer"),
        (
            "https://x:s3cret@git.example.com:8443/group/team/code.git",
            "https://git.example.com:8443/group/team/code.git",
        ),
        ("s3cret@git.example.com:group/team/code.git", "git.example.com:group/team/code.git"),
        ("/srv/git/code.git", "/srv/git/code.git"),
        ("file:///srv/code.git", "file:///srv/code.git"),
    ],
)
def test_a_remote_is_recorded_without_credentials(repository: Path, lineage: ModuleType, url: str, shown: str) -> None:
    git(repository, "remote", "set-url", "origin", url)
    said = lineage.record_lineage()
    assert said["git_repository"] == shown
    assert "s3cret" not in str(tags())


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://dana:s3cret@[bad/acme/x.git", "is none"),
        ("https://dana:s3cret@example.com:port/a/b/c", "is none"),
        ("https://dana:p/s3cret@example.com/acme/x.git", "is none"),
        ("dana:s3cret@github.com/acme/x.git", "has an @ where none belongs"),
        ("dana:s3cret@git.example.com:acme/x.git", "has an @ where none belongs"),
        ("https:/dana:s3cret@github.com/acme/x.git", "has an @ where none belongs"),
        ("//dana:s3cret@github.com/acme/x.git", "has an @ where none belongs"),
    ],
)
def test_a_url_that_is_none_is_not_even_shown(
    repository: Path, lineage: ModuleType, caplog: pytest.LogCaptureFixture, url: str, says: str
) -> None:
    git(repository, "remote", "set-url", "origin", url)
    assert "git_repository" not in lineage.record_lineage()
    assert f"the remote's URL {says}" in caplog.text
    assert "s3cret" not in caplog.text + str(tags())


def test_another_remote_serves_where_there_is_no_origin(repository: Path, lineage: ModuleType) -> None:
    git(repository, "remote", "rename", "origin", "upstream")
    assert lineage.record_lineage()["git_repository"] == "acme/breast-cancer"


def test_a_framework_that_is_no_package_is_said(
    place: Path, lineage: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    said = lineage.record_lineage(framework="sk-learn")
    assert said["framework"] == "sk-learn"
    assert "framework_version: no package is called “sk-learn”" in caplog.text


def test_no_run_is_started_by_accident(repository: Path, lineage: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    mlflow.end_run()
    lineage.record_lineage()
    assert mlflow.active_run() is None
    assert "no MLflow run is active" in caplog.text


def test_a_training_that_fails_has_no_duration(repository: Path, lineage: ModuleType) -> None:
    with pytest.raises(ZeroDivisionError), lineage.training_time():
        _ = 1 / 0
    assert "training_duration_seconds" not in tags()


@pytest.mark.parametrize("broken", ["_git", "_about_now"])
def test_nothing_unforeseen_ends_a_training(
    repository: Path,
    lineage: ModuleType,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    broken: str,
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(lineage, broken, fails)
    said = lineage.record_lineage(data="data/dataset.csv", model_type="x")
    assert said["model_type"] == tags()["model_type"] == "x"
    assert "unforeseen" in caplog.text


def test_an_mlflow_that_takes_no_tags_ends_no_training(
    repository: Path, lineage: ModuleType, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address changes to a server that is away; MLflow's own calls would fail in the same way."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    try:
        assert lineage.record_lineage(model_type="x")["model_type"] == "x"
    finally:
        mlflow.set_tracking_uri(before)
    assert "MLflow did not take the tags" in caplog.text


def test_it_needs_nothing_but_mlflow(lineage: ModuleType) -> None:
    """And PyYAML, which MLflow brings."""
    lines = (EXAMPLE / "promotion_bot_lineage.py").read_text().splitlines()
    imported = {line.split()[1].partition(".")[0] for line in lines if line.startswith(("import ", "from "))}
    assert imported - set(sys.stdlib_module_names) == {"mlflow", "yaml"}
