"""What the vendorable helper records of data and models that DVC tracks."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import ModuleType

import pytest

from tests.examples.tracked import CSV, MD5, OTHER, lock, tags, track
from tests.examples.training import GIT_USER, git


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
