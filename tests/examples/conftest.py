from __future__ import annotations

import pytest

from tests.examples.training import Training, copied


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
