"""What others ask of a version's files: their list, their digest, one of them, all of them."""

from __future__ import annotations

import posixpath
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import yaml

from bot.domain.errors import Refused, Service
from bot.domain.versions import ModelVersion
from bot.gateways.artifacts.digest import ArtifactDigest, digest
from bot.gateways.artifacts.location import locations, named
from bot.gateways.artifacts.opening import open_run, open_version
from bot.gateways.artifacts.store import Store, StoredFile, check_path
from bot.gateways.mlflow_api import Missing, MlflowApi, redacted

# MLflow adds this file when it downloads a registered version, with these keys
# (`ModelsArtifactRepository._add_registered_model_meta_file`).
_DOWNLOAD_MARK: Final = "registered_model_meta"
_DOWNLOAD_MARK_KEYS: Final = frozenset({"model_name", "model_version"})
_DOWNLOAD_MARK_LIMIT: Final = 4096


class Artifacts:
    """The files of model versions in whatever store MLflow keeps them.

    Files of a local store, of one that the tracking server proxies, of S3, Google Cloud Storage and Azure Blob are read
    as a stream, several at once; of any other store one file at a time is in a private temporary directory. `max_files`
    and `max_bytes` bound what a version may hold; above them it is Refused.

    Raises Refused for a version that is gone, has no files or is not acceptable, Unreachable where a store does not
    answer, Misconfigured where a library or permission is missing.
    """

    def __init__(self, api: MlflowApi, *, max_files: int = 10_000, max_bytes: int = 200 * 2**30) -> None:
        self._api = api
        self._max_files = max_files
        self._max_bytes = max_bytes

    def listing(self, version: ModelVersion) -> tuple[tuple[str, int], ...]:
        """Path and size in bytes of every file, sorted by path bytes, without reading any."""
        return tuple((file.path, file.size) for file in self.files(version))

    def digest(self, version: ModelVersion) -> ArtifactDigest:
        """Read every file once and digest them; memory stays at some chunks however large they are."""
        return digest(self.files(version))

    @contextmanager
    def downloaded(self, version: ModelVersion) -> Iterator[tuple[Path, ArtifactDigest]]:
        """Every file below a directory that only this user can read and that is removed; digested on the way there."""
        with tempfile.TemporaryDirectory(prefix="promotion-bot-") as directory:
            yield Path(directory), self.download(version, Path(directory))

    def download(self, version: ModelVersion, directory: Path) -> ArtifactDigest:
        """Write every file below an empty directory, digested on the way there."""
        return digest(self.files(version), partial(_kept, directory))

    def fetch_of_run(self, version: ModelVersion, path: str, max_bytes: int) -> bytes:
        """One artifact of the version's run; Missing where there is none, Refused where it is too large."""
        check_path(path)
        with self._api.asked_to(f"find the artifacts of the run of {named(version)}") as client:
            run = client.get_run(version.run_id or "")
        uri = f"{run.info.artifact_uri.rstrip('/')}/{posixpath.dirname(path)}".rstrip("/")
        store = open_run(uri, version, self._api)
        entry = store.find(posixpath.basename(path))
        if entry is None:
            raise Missing(f"The run of {named(version)} has no artifact {path!r}.")
        return StoredFile(store, entry).read(max_bytes)

    def fetch(self, version: ModelVersion, path: str, max_bytes: int) -> bytes:
        """One file's content; Refused where there is none of that path or it is larger than `max_bytes`."""
        return self._file(version, path).read(max_bytes)

    def stream(self, version: ModelVersion, path: str) -> Iterator[bytes]:
        """One file's content in chunks; Refused where there is none of that path."""
        return self._file(version, path).chunks()

    def files(self, version: ModelVersion) -> Sequence[StoredFile]:
        """Every file that counts, sorted by path bytes; none is read yet."""
        found: dict[str, StoredFile] = {}
        seen = size = 0
        for store in self._stores(version):
            for entry in store.walk():
                seen += 1
                size += entry.size
                if seen > self._max_files or size > self._max_bytes:
                    raise Refused(
                        f"{named(version)} has more than {self._max_files} files and directories or more than "
                        f"{self._max_bytes} bytes, which is the limit."
                    )
                if not entry.is_directory:
                    found[entry.path] = StoredFile(store, entry)
        self._api.answered.add(Service.ARTIFACTS)
        return _that_count(found, version)

    def _file(self, version: ModelVersion, path: str) -> StoredFile:
        check_path(path)
        for store in reversed(self._stores(version)):
            entry = store.find(path)
            self._api.answered.add(Service.ARTIFACTS)
            if entry is not None:
                return StoredFile(store, entry)
        raise Refused(f"{named(version)} has no file {path!r}.")

    def _stores(self, version: ModelVersion) -> list[Store]:
        """The places that hold the version's files; where two hold one path, the later one's counts, as for MLflow."""
        return [open_version(uri, version, self._api) for uri in self._locations(version)]

    def _locations(self, version: ModelVersion) -> list[str]:
        return locations(self._api, version)


def without_download_mark(found: dict[str, StoredFile]) -> dict[str, StoredFile]:
    """The files without the one that MLflow's client writes; any other of that name counts like all files."""
    mark = found.get(_DOWNLOAD_MARK)
    if mark is None or not _is_download_mark(mark):
        return found
    return {path: file for path, file in found.items() if path != _DOWNLOAD_MARK}


def _that_count(found: dict[str, StoredFile], version: ModelVersion) -> Sequence[StoredFile]:
    counted = without_download_mark(found)
    if not counted:
        raise Refused(
            f"{named(version)} has no files at {redacted(version.source)!r}. Log the model again and register "
            "it as a new version."
        )
    return sorted(counted.values(), key=lambda file: file.path.encode())


def _is_download_mark(file: StoredFile) -> bool:
    try:
        document = yaml.safe_load(file.read(_DOWNLOAD_MARK_LIMIT))
    except (Refused, yaml.YAMLError, ValueError):
        return False
    return isinstance(document, dict) and document.keys() <= _DOWNLOAD_MARK_KEYS


def _kept(directory: Path, file: StoredFile, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks, written below `directory` on the way."""
    local = directory / file.path
    local.parent.mkdir(parents=True, exist_ok=True)
    with local.open("xb") as written:
        for chunk in chunks:
            written.write(chunk)
            yield chunk
