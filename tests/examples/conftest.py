from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import mlflow
import pytest

from tests.examples.tracked import track
from tests.examples.training import EXAMPLE, GIT_USER, Training, copied, git


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where runs are logged: a database without a server."""
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory, store: str) -> Training:
    """A training repository that was set up, with its first data prepared."""
    training = copied(tmp_path_factory.mktemp("team") / "breast-cancer", store)
    training.ok("./setup-dvc.sh")
    training.ok("python", "prepare.py")
    return training


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
