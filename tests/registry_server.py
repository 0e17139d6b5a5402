"""One MLflow server and what talks to it: fixtures that the rooms which need them import into their conftest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from mlflow import MlflowClient

from bot.gateways.artifacts import Artifacts
from bot.gateways.registry import Registry
from bot.sandbox.mlflow_server import MlflowServer
from tests.services import mlflow_server


@pytest.fixture(scope="session")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@pytest.fixture(scope="session")
def client(mlflow: MlflowServer) -> MlflowClient:
    """MLflow's own client, for what data scientists do."""
    return MlflowClient(tracking_uri=mlflow.url)


@pytest.fixture
def registry(mlflow: MlflowServer) -> Registry:
    return Registry(mlflow.url)


@pytest.fixture
def artifacts(registry: Registry) -> Artifacts:
    return Artifacts(registry)
