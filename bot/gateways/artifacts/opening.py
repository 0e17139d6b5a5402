"""Which kind of store a URI names."""

from __future__ import annotations

from bot.domain.versions import ModelVersion
from bot.gateways.artifacts import local
from bot.gateways.artifacts.location import check_host, named, split
from bot.gateways.artifacts.store import Store
from bot.gateways.artifacts.through_mlflow import DownloadStore, ProxiedStore
from bot.gateways.mlflow_api import MlflowApi


def open_version(uri: str, version: ModelVersion, api: MlflowApi) -> Store:
    """What reads a place that a version's registration names."""
    if split(uri, version).scheme in {"", "file"}:
        return local.LocalStore(local.expect_model(local.path_of(uri, named(version)), uri, named(version)))
    return _open_remote(uri, version, api)


def open_run(uri: str, version: ModelVersion, api: MlflowApi) -> Store:
    """What reads a run's own directory, which MLflow chose, not whoever registered the version."""
    if split(uri, version).scheme in {"", "file"}:
        return local.LocalStore(local.path_of(uri, f"the run of {named(version)}"))
    return _open_remote(uri, version, api)


def _open_remote(uri: str, version: ModelVersion, api: MlflowApi) -> Store:
    scheme = split(uri, version).scheme
    check_host(uri, version, api.tracking_uri)
    with api.asked_to(f"open the artifact store of {named(version)}"):
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        repository = get_artifact_repository(uri, tracking_uri=api.tracking_uri, registry_uri=api.registry_uri)
    if scheme in {"http", "https", "mlflow-artifacts"}:
        return ProxiedStore(repository)
    return DownloadStore(repository)
