"""What a data scientist does: a run with metrics and files, registered as a model version."""

from __future__ import annotations

import contextlib
import posixpath
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException


def register(
    mlflow: MlflowClient, model: str, metrics: Mapping[str, float], files: Mapping[str, bytes], tags: Mapping[str, str]
) -> int:
    """Train and register a version, of which only its files, metrics and tags matter; its number."""
    with contextlib.suppress(MlflowException):  # it is there already
        mlflow.create_registered_model(model)
    run = mlflow.create_run("0", tags={"git_commit": "0f1e2d3c4b", "data_version": "v1", "mlflow.user": "dana", **tags})
    run_id = run.info.run_id
    for name, value in metrics.items():
        mlflow.log_metric(run_id, name, value)
    for path, content in {"MLmodel": f"model of {run_id}\n".encode(), **files}.items():
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / posixpath.basename(path)
            local.write_bytes(content)
            mlflow.log_artifact(run_id, str(local), f"model/{posixpath.dirname(path)}".rstrip("/"))
    mlflow.set_terminated(run_id, "FINISHED")
    source = f"{run.info.artifact_uri}/model"
    return int(mlflow.create_model_version(model, source, run_id).version)
