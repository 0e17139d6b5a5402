"""Stores that MLflow's own clients read: what the tracking server proxies, and kinds that have no file here."""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from bot.gateways.artifacts.refusals import translated
from bot.gateways.artifacts.store import CHUNK, DirectoryStore, Entry
from bot.gateways.mlflow_api import redacted

if TYPE_CHECKING:
    from mlflow.store.artifact.artifact_repo import ArtifactRepository


class RepositoryStore(DirectoryStore):
    """What MLflow's own client for a store lists."""

    def __init__(self, repository: ArtifactRepository) -> None:
        self._repository = repository
        self._name = f"The artifact store at {redacted(repository.artifact_uri)}"

    def entries(self, directory: str) -> list[Entry]:
        """What MLflow lists right below a directory."""
        try:
            found = self._repository.list_artifacts(directory or None)
            return [Entry(item.path, 0 if item.is_dir else int(item.file_size or 0), item.is_dir) for item in found]
        except Exception as error:
            raise translated(error, self._name, f"list {directory or 'the files'}") from None


class ProxiedStore(RepositoryStore):
    """Files behind the tracking server, as a stream."""

    at_once = 8

    def chunks(self, entry: Entry) -> Generator[bytes, None, None]:
        """The content as it arrives."""
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.rest_utils import http_request

        try:
            credentials = get_default_host_creds(self._repository.artifact_uri)  # type: ignore[no-untyped-call]
            answer = http_request(credentials, f"/{quote(entry.path)}", "GET", stream=True)  # type: ignore[no-untyped-call]
            with answer as response:
                response.raise_for_status()
                yield from response.iter_content(CHUNK)
        except Exception as error:
            raise translated(error, self._name, f"read {entry.path!r}") from None


class DownloadStore(RepositoryStore):
    """Files of any other store: one at a time, in a directory that only this user can read and that is removed."""

    at_once = 1

    def chunks(self, entry: Entry) -> Generator[bytes, None, None]:
        """The content, after MLflow's client has put it on the disk."""
        with tempfile.TemporaryDirectory(prefix="promotion-bot-") as directory:
            try:
                local = Path(self._repository.download_artifacts(entry.path, directory))  # type: ignore[no-untyped-call]
                with local.open("rb") as file:
                    while chunk := file.read(CHUNK):
                        yield chunk
            except Exception as error:
                raise translated(error, self._name, f"read {entry.path!r}") from None
