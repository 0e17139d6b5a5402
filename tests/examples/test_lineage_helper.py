"""What the vendorable helper records of a training, and that it never ends one."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import mlflow
import pytest

from bot.gateways.registration import LINEAGE_TAGS
from tests.examples.training import EXAMPLE, GIT_USER, git

CSV = b"a,b\n1,2\n"
MD5 = hashlib.md5(CSV).hexdigest()
OTHER = "0" * 32


@pytest.fixture(scope="module")
def lineage() -> Iterator[ModuleType]:
    sys.path.insert(0, str(EXAMPLE))
    import promotion_bot_lineage

    yield promotion_bot_lineage
    sys.path.remove(str(EXAMPLE))
    del sys.modules["promotion_bot_lineage"]


@pytest.fixture
def place(tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty directory in which a run is active."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GITHUB_ACTOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in GIT_USER.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(store)
    with mlflow.start_run():
        yield tmp_path
    mlflow.set_tracking_uri(before)


@pytest.fixture
def repository(place: Path) -> Path:
    """A git repository with one commit, a remote, and data that DVC tracks."""
    git(place, "init", "--quiet", "--initial-branch", "main")
    git(place, "remote", "add", "origin", "https://dana:s3cret@github.com/acme/breast-cancer.git")
    (place / "train.py").write_text("pass\n")
    (place / ".gitignore").write_text("/data/*.csv\n")
    track(place)
    git(place, "add", ".")
    git(place, "commit", "--quiet", "--message", "Data")
    return place


def track(place: Path, content: bytes = CSV, md5: str = "") -> None:
    """What `dvc add data/dataset.csv` leaves behind."""
    (place / "data").mkdir(exist_ok=True)
    (place / "data/dataset.csv").write_bytes(content)
    md5 = md5 or hashlib.md5(content).hexdigest()
    pointer = f"outs:\n- md5: {md5}\n  size: {len(content)}\n  hash: md5\n  path: dataset.csv\n"
    (place / "data/dataset.csv.dvc").write_text(pointer)


def lock(place: Path, path: str, md5: str) -> None:
    """What `dvc repro` leaves behind."""
    stage = f"    cmd: python prepare.py\n    outs:\n    - path: {path}\n      hash: md5\n      md5: {md5}\n"
    (place / "dvc.lock").write_text(f"schema: '2.0'\nstages:\n  prepare:\n{stage}")


def tags() -> dict[str, str]:
    """The tags of the active run, as MLflow has them."""
    run = mlflow.active_run()
    assert run is not None
    return dict(mlflow.get_run(run.info.run_id).data.tags)


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
    with lineage.training_time():
        pass
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
    assert 0 <= float(found["training_duration_seconds"]) < 10
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


@pytest.mark.parametrize("url", ["https://dana:s3cret@[bad/acme/x.git", "https://dana:s3cret@example.com:port/a/b/c"])
def test_a_url_that_is_none_is_not_even_shown(
    repository: Path, lineage: ModuleType, caplog: pytest.LogCaptureFixture, url: str
) -> None:
    git(repository, "remote", "set-url", "origin", url)
    assert "git_repository" not in lineage.record_lineage()
    assert "the remote's URL is none" in caplog.text
    assert "s3cret" not in caplog.text + str(tags())


def test_another_remote_serves_where_there_is_no_origin(repository: Path, lineage: ModuleType) -> None:
    git(repository, "remote", "rename", "origin", "upstream")
    assert lineage.record_lineage()["git_repository"] == "acme/breast-cancer"


def test_the_data_has_the_name_of_the_newest_tag_at_which_it_was_the_same(
    repository: Path, lineage: ModuleType
) -> None:
    def tag(name: str, year: int) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(GIT_USER, "GIT_COMMITTER_DATE", f"{year}-01-01T00:00:00Z")
            git(repository, "tag", "--annotate", name, "--message", name)

    tag("data-v1.0", 2020)
    tag("release-9", 2024)
    (repository / "train.py").write_text("print()\n")
    git(repository, "commit", "--quiet", "--all", "--message", "Code")
    tag("data-v1.0.1", 2021)
    track(repository, b"a,b\n3,4\n")
    git(repository, "commit", "--quiet", "--all", "--message", "More data")
    tag("data-v2.0", 2022)
    assert lineage.record_lineage(data="data/dataset.csv")["data_version"] == "data-v2.0"
    assert lineage.record_lineage(data="data/dataset.csv", data_tags="set/*")["data_version"] != "data-v2.0"
    track(repository)
    assert lineage.record_lineage(data="data/dataset.csv")["data_version"] == "data-v1.0.1"
    track(repository, b"a,b\n5,6\n")
    said = lineage.record_lineage(data="data/dataset.csv")
    assert said["data_hash"] == f"md5:{said['data_version']}{said['data_hash'][16:]}"


def test_without_dvc_the_training_goes_on(
    repository: Path, lineage: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    said = lineage.record_lineage(data="train.py")
    assert not {"data_version", "data_hash", "data_path"} & said.keys()
    assert "DVC does not track train.py: `dvc add` it" in caplog.text
    lineage.record_lineage(data="/etc/hostname")
    assert "is outside of the repository" in caplog.text


def test_data_that_differs_from_its_dvc_file_is_recorded_as_it_is(
    repository: Path, lineage: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    git(repository, "tag", "data-v1.0")
    changed = CSV + b"9,9\n"
    (repository / "data/dataset.csv").write_bytes(changed)
    said = lineage.record_lineage(data="data/dataset.csv")
    assert said["data_hash"] == f"md5:{hashlib.md5(changed).hexdigest()}"
    assert said["data_version"] == hashlib.md5(changed).hexdigest()[:12]
    assert "data/dataset.csv is not what dataset.csv.dvc says it is" in caplog.text


def test_a_file_that_dvc_linked_to_its_cache(repository: Path, lineage: ModuleType) -> None:
    cache = repository / ".dvc/cache/files/md5" / MD5[:2]
    cache.mkdir(parents=True)
    (repository / "data/dataset.csv").rename(cache / MD5[2:])
    (repository / "data/dataset.csv").symlink_to(cache / MD5[2:])
    assert lineage.record_lineage(data="data/dataset.csv")["data_path"] == "data/dataset.csv"


def test_the_md5_of_dvc_2_is_taken_as_it_is_written(repository: Path, lineage: ModuleType) -> None:
    (repository / "data/dataset.csv").write_bytes(b"a\r\n")
    (repository / "data/dataset.csv.dvc").write_text(f"outs:\n- md5: {OTHER}\n  path: dataset.csv\n")
    assert lineage.record_lineage(data="data/dataset.csv")["data_hash"] == f"md5:{OTHER}"


def test_the_output_of_a_stage_and_a_file_in_it(repository: Path, lineage: ModuleType) -> None:
    prepared = repository / "data/prepared"
    (prepared / "deep").mkdir(parents=True)
    (prepared / "train.csv").write_bytes(CSV)
    (prepared / "deep/test.csv").write_bytes(b"x\n")
    (prepared / ".DS_Store").write_bytes(b"noise")
    (repository / ".dvcignore").write_text("# noise\n.DS_Store\n")
    # As DVC 3.67 wrote it for these files.
    listed = (
        '[{"md5": "401b30e3b8b5d629635a5c613cdb7919", "relpath": "deep/test.csv"}, '
        f'{{"md5": "{MD5}", "relpath": "train.csv"}}]'
    )
    md5 = hashlib.md5(listed.encode()).hexdigest() + ".dir"
    lock(repository, "data/prepared", md5)
    for path in ("data/prepared", "data/prepared/train.csv", "data/prepared/deep/test.csv"):
        said = lineage.record_lineage(data=path)
        assert (said["data_path"], said["data_hash"]) == ("data/prepared", f"md5:{md5}")
        assert said["data_version"] == md5[:12]


def test_a_directory_has_the_files_that_dvcignore_leaves_in(repository: Path, lineage: ModuleType) -> None:
    """By patterns of one place, of a directory, and by one that takes a file back."""
    kept = ("a.csv", "keep.log", "\u00fcn\u00ef.csv", "deep/tmp/kept.csv")
    for name in (*kept, "b.log", "tmp/part.csv", "deep/x.log", "old/x.csv", "\u00fc.log"):
        file = repository / "data/raw" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(CSV)
    (repository / ".dvcignore").write_text("*.log\n!keep.log\ndata/raw/tmp/*\n")
    (repository / "data/.dvcignore").write_text("/raw/old\n")
    listing = json.dumps([{"md5": MD5, "relpath": name} for name in sorted(kept)])
    assert lineage.record_model("data/raw")["model_hash"] == f"md5:{hashlib.md5(listing.encode()).hexdigest()}.dir"


def test_without_git_nobody_knows_what_dvcignore_leaves_out(
    place: Path, lineage: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    (place / "model").mkdir()
    (place / "model/weights").write_bytes(CSV)
    assert lineage.record_model("model")["model_hash"].endswith(".dir")
    (place / ".dvcignore").write_text("*.tmp\n")
    assert lineage.record_model("model") == {}
    assert "fatal: not a git repository" in caplog.text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<<<<<<< HEAD\nouts:\n- md5: a\n", "is no YAML; does it hold a merge conflict?"),
        ("outs:\n- md5: yes\n  path: dataset.csv\n", "holds no md5 of dataset.csv: run `dvc commit`"),
        ("outs:\n- path: dataset.csv\n", "holds no md5 of dataset.csv"),
        ("outs:\n- path: another.csv\n", "DVC does not track"),
        ("outs: nothing\n", "DVC does not track"),
        ("- a list\n", "DVC does not track"),
        ("", "DVC does not track"),
    ],
)
def test_a_dvc_file_that_cannot_be_read_is_said(
    repository: Path, lineage: ModuleType, caplog: pytest.LogCaptureFixture, text: str, says: str
) -> None:
    (repository / "data/dataset.csv.dvc").write_text(text)
    said = lineage.record_lineage(data="data/dataset.csv")
    assert "data_hash" not in said
    assert "git_commit" in said
    assert says in caplog.text


def test_a_model_is_recorded_by_its_bytes(
    repository: Path, lineage: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    (repository / "model.bin").write_bytes(CSV)
    assert lineage.record_model("model.bin") == {"model_path": "model.bin", "model_hash": f"md5:{MD5}"}
    assert tags()["model_hash"] == f"md5:{MD5}"
    assert lineage.record_model("nothing.bin") == {}
    assert "nothing.bin is not there" in caplog.text


def test_a_model_outside_of_the_repository_has_its_whole_path(
    repository: Path, lineage: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "model"
    elsewhere.mkdir()
    (elsewhere / "weights").write_bytes(CSV)
    assert lineage.record_model(elsewhere)["model_path"] == str(elsewhere)


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
