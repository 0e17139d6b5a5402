"""Which kind of store a URI names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

from bot.domain.errors import Refused
from bot.domain.versions import ModelVersion
from bot.gateways.artifacts import local
from bot.gateways.artifacts.azure import open_azure
from bot.gateways.artifacts.google import open_gcs
from bot.gateways.artifacts.location import check_host, named, split
from bot.gateways.artifacts.objects import ObjectStore
from bot.gateways.artifacts.s3 import open_s3
from bot.gateways.artifacts.store import Store, WritableStore
from bot.gateways.artifacts.through_mlflow import DownloadStore, ProxiedStore
from bot.gateways.mlflow_api import MlflowApi, redacted

# Scheme by scheme as MLflow names them.
_OBJECT_STORES: Final[Mapping[str, Callable[[str], ObjectStore]]] = {
    "s3": open_s3,
    "gs": open_gcs,
    "wasbs": open_azure,
}


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


def open_place(uri: str) -> WritableStore:
    """What reads and writes a place that the operator named: a directory, or a prefix in an object store."""
    try:
        scheme = urlsplit(uri).scheme
    except ValueError as error:
        raise Refused(f"{redacted(uri)!r} is no address: {error}") from None
    if scheme in {"", "file"}:
        return local.LocalStore(local.path_of(uri, "the second store"))
    if scheme not in _OBJECT_STORES:
        raise Refused(f"{scheme}: is no store that can be written here; use a directory, s3://, gs:// or wasbs://")
    return _OBJECT_STORES[scheme](uri)


def _open_remote(uri: str, version: ModelVersion, api: MlflowApi) -> Store:
    scheme = split(uri, version).scheme
    if scheme in _OBJECT_STORES:
        return _OBJECT_STORES[scheme](uri)
    check_host(uri, version, api.tracking_uri)
    with api.asked_to(f"open the artifact store of {named(version)}"):
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        repository = get_artifact_repository(uri, tracking_uri=api.tracking_uri, registry_uri=api.registry_uri)
    if scheme in {"http", "https", "mlflow-artifacts"}:
        return ProxiedStore(repository)
    return DownloadStore(repository)
