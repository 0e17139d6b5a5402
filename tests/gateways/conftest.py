"""One MLflow server for all gateway tests; every test uses model names of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import LoggedModel

from bot.sandbox.mlflow_server import MlflowServer
from tests.registry_server import artifacts, client, mlflow, registry  # noqa: F401 - fixtures

MLMODEL = b"""flavors:
  python_function: {loader_module: nothing}
signature:
  inputs: '[{"type": "double", "name": "amount", "required": true}]'
  outputs: '[{"type": "long"}]'
  params: null
"""


@pytest.fixture(scope="session")
def log_model(mlflow: MlflowServer, client: MlflowClient) -> Callable[..., LoggedModel]:
    """Log a model of the given files, as `mlflow.<flavor>.log_model` does, without training one."""

    def log(files: dict[str, bytes] | None = None, run_id: str | None = None, **metrics: float) -> LoggedModel:
        model = client.create_logged_model("0", name="model", source_run_id=run_id)
        if run_id:
            from mlflow.entities import LoggedModelOutput

            client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
        for path, content in ({"MLmodel": MLMODEL, "model.bin": b"weights"} if files is None else files).items():
            place = stored(mlflow, model) / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        for name, value in metrics.items():
            client.log_metric(run_id, name, value, model_id=model.model_id)
        client.finalize_logged_model(model.model_id, "READY")
        return model

    return log


def stored(mlflow: MlflowServer, model: LoggedModel) -> Path:
    """Where the server keeps the files of a logged model."""
    return mlflow.artifacts / model.artifact_location.removeprefix("mlflow-artifacts:/")
