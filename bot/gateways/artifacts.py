"""The files of a model version, read where they lie and never loaded: listing, digest, single files.

The digest is the manifest's: the SHA-256 of the lines `<file sha256 hex>  <relative posix path>`, sorted by path bytes,
each ended by a newline; the lines are what `sha256sum` prints.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import stat
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import SplitResult, quote, urlsplit
from urllib.request import url2pathname

import yaml

from bot.domain.errors import Misconfigured, PromotionError, Refused, Service, Unreachable
from bot.domain.versions import ModelVersion, copied_version
from bot.gateways.mlflow_api import FORBIDDEN, MISSING, Missing, MlflowApi, redacted, summary

if TYPE_CHECKING:
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

_CHUNK: Final = 1024 * 1024
_DEEPEST: Final = 32

# A version may be a copy of a version that is a copy of another.
LONGEST_COPY_CHAIN: Final = 5

# MLflow adds this file when it downloads a registered version, with these keys
# (`ModelsArtifactRepository._add_registered_model_meta_file`).
_DOWNLOAD_MARK: Final = "registered_model_meta"
_DOWNLOAD_MARK_KEYS: Final = frozenset({"model_name", "model_version"})
_DOWNLOAD_MARK_LIMIT: Final = 4096

# Schemes whose client connects, with the bot's credentials, to the host that the URI names. Whoever may register a
# version chooses that host, so other hosts than the tracking server's need the operator's word, in the variable with
# which MLflow's own server guards itself (mlflow/store/artifact/host_policy.py, GHSA-mr9f-g8qf-4w4j).
_HOST_ADDRESSED: Final = frozenset(
    {"http", "https", "mlflow-artifacts", "ftp", "sftp", "hdfs", "viewfs", "r2", "b2", "abfss"}
)
_ALLOWED_SCHEMES: Final = "MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES"


@dataclass(frozen=True, slots=True)
class ArtifactDigest:
    """What a version's files are: `digest` as in the manifest, `size` in bytes, `files` sorted by path bytes."""

    digest: str
    size: int
    files: tuple[str, ...]


def logged_model_id(source: str) -> str | None:
    """The id in a `models:/m-…` source; None for every other source."""
    match = re.fullmatch(r"models:/(m-[^/@]+)", source)
    return match[1] if match else None


class Artifacts:
    """The files of model versions in whatever store MLflow keeps them.

    Files of a local store and of one that the tracking server proxies are read as a stream; of any other store, such as
    S3, one file at a time is in a private temporary directory. `max_files` and `max_bytes` bound what a version may
    hold; above them it is Refused.

    Raises Refused for a version that is gone, has no files or is not acceptable, Unreachable where a store does not
    answer, Misconfigured where a library or permission is missing.
    """

    def __init__(self, api: MlflowApi, *, max_files: int = 10_000, max_bytes: int = 200 * 2**30) -> None:
        self._api = api
        self._max_files = max_files
        self._max_bytes = max_bytes

    def listing(self, version: ModelVersion) -> tuple[tuple[str, int], ...]:
        """Path and size in bytes of every file, sorted by path bytes, without reading any."""
        return tuple((path, file.size) for path, file in self._files(version))

    def digest(self, version: ModelVersion) -> ArtifactDigest:
        """Read every file once and digest them; memory stays at one chunk however large they are."""
        return _digest(self._files(version), lambda _, chunks: chunks)

    @contextmanager
    def downloaded(self, version: ModelVersion) -> Iterator[tuple[Path, ArtifactDigest]]:
        """Every file below a directory that only this user can read and that is removed; digested on the way there."""
        with tempfile.TemporaryDirectory(prefix="promotion-bot-") as directory:
            yield Path(directory), self.download(version, Path(directory))

    def download(self, version: ModelVersion, directory: Path) -> ArtifactDigest:
        """Write every file below an empty directory, digested on the way there."""
        return _digest(self._files(version), partial(_kept, directory))

    def fetch_of_run(self, version: ModelVersion, path: str, max_bytes: int) -> bytes:
        """One artifact of the version's run; Missing where there is none, Refused where it is too large."""
        _check_path(path)
        with self._api.asked_to(f"find the artifacts of the run of {_named(version)}") as client:
            run = client.get_run(version.run_id or "")
        store = self._store(f"{run.info.artifact_uri.rstrip('/')}/{posixpath.dirname(path)}".rstrip("/"), version, _any)
        for entry in store.entries(""):
            if entry.path == posixpath.basename(path) and not entry.is_directory:
                return _read(_File(store, entry.path, entry.size), max_bytes)
        raise Missing(f"The run of {_named(version)} has no artifact {path!r}.")

    def fetch(self, version: ModelVersion, path: str, max_bytes: int) -> bytes:
        """One file's content; Refused where there is none of that path or it is larger than `max_bytes`."""
        return _read(self._file(version, path), max_bytes)

    def stream(self, version: ModelVersion, path: str) -> Iterator[bytes]:
        """One file's content in chunks; Refused where there is none of that path."""
        return self._file(version, path).chunks()

    def _file(self, version: ModelVersion, path: str) -> _File:
        _check_path(path)
        parent = posixpath.dirname(path)
        for store in reversed(self._stores(version)):
            for entry in store.entries(parent):
                if entry.path == path and not entry.is_directory:
                    return _File(store, path, entry.size)
        raise Refused(f"{_named(version)} has no file {path!r}.")

    def _files(self, version: ModelVersion) -> list[tuple[str, _File]]:
        found: dict[str, _File] = {}
        seen = size = 0
        for store in self._stores(version):
            for entry in _walk(store):
                seen += 1
                size += entry.size
                if seen > self._max_files or size > self._max_bytes:
                    raise Refused(
                        f"{_named(version)} has more than {self._max_files} files and directories or more than "
                        f"{self._max_bytes} bytes, which is the limit."
                    )
                if not entry.is_directory:
                    found[entry.path] = _File(store, entry.path, entry.size)
        if _DOWNLOAD_MARK in found and _is_download_mark(found[_DOWNLOAD_MARK]):
            del found[_DOWNLOAD_MARK]
        if not found:
            raise Refused(
                f"{_named(version)} has no files at {redacted(version.source)!r}. Log the model again and register "
                "it as a new version."
            )
        return sorted(found.items(), key=lambda item: item[0].encode())

    def _stores(self, version: ModelVersion) -> list[_Store]:
        """The places that hold the version's files; where two hold one path, the later one's counts, as for MLflow."""
        uris = self._locations(version)
        return [self._store(uri, version) for uri in uris]

    def _locations(self, version: ModelVersion) -> list[str]:
        name, number = version.name, version.version
        for _ in range(LONGEST_COPY_CHAIN):
            with self._api.asked_to(f"find the files of {_named(version)}") as client:
                uri: str = client.get_model_version_download_uri(name, str(number))
                if model_id := logged_model_id(uri):
                    return [client.get_logged_model(model_id).artifact_location]
            scheme = _parts(uri, version).scheme
            if scheme == "runs":
                return self._run_locations(uri, version)
            if scheme != "models":
                return [uri]
            copied = copied_version(uri)
            if copied is None:
                break
            name, number = copied
        raise Refused(f"{_named(version)} has a source that leads nowhere: {redacted(version.source)!r}.")

    def _run_locations(self, uri: str, version: ModelVersion) -> list[str]:
        """Where MLflow finds `runs:/RUN/PATH`: the run's own directory, then a model of that name that it logged."""
        run_id, _, path = urlsplit(uri).path.lstrip("/").partition("/")
        model_name, _, below = path.partition("/")
        with self._api.asked_to(f"find the files of {_named(version)} in its run {run_id}") as client:
            run = client.get_run(run_id)
        locations = [f"{run.info.artifact_uri.rstrip('/')}/{path}".rstrip("/")]
        for output in run.outputs.model_outputs if run.outputs else ():
            try:
                with self._api.asked_to(f"read the logged model {output.model_id} of {_named(version)}") as client:
                    model = client.get_logged_model(output.model_id)
            except Missing:
                continue
            if model.name == model_name:
                locations.append(f"{model.artifact_location.rstrip('/')}/{below}".rstrip("/"))
        return locations

    def _store(self, uri: str, version: ModelVersion, check_local: _CheckLocal | None = None) -> _Store:
        parts = _parts(uri, version)
        if ".." in parts.path.split("/"):
            raise Refused(f"{_named(version)} has a source with '..' in it: {redacted(uri)!r}.")
        if parts.scheme in {"", "file"}:
            return _LocalStore((check_local or _local_root)(uri, version))
        self._check_host(uri, version)
        with self._api.asked_to(f"open the artifact store of {_named(version)}"):
            from mlflow.store.artifact.artifact_repository_registry import (
                get_artifact_repository,
            )

            repository = get_artifact_repository(
                uri, tracking_uri=self._api.tracking_uri, registry_uri=self._api.registry_uri
            )
        if parts.scheme in {"http", "https", "mlflow-artifacts"}:
            return _ProxiedStore(repository)
        return _DownloadStore(repository)

    def _check_host(self, uri: str, version: ModelVersion) -> None:
        parts, own = urlsplit(uri), urlsplit(self._api.tracking_uri)
        allowed = {scheme.strip().lower() for scheme in os.environ.get(_ALLOWED_SCHEMES, "").split(",")}
        if parts.scheme not in _HOST_ADDRESSED or parts.scheme in allowed:
            return
        if not parts.netloc and parts.scheme == "mlflow-artifacts":
            return
        same_transport = parts.scheme in {own.scheme, "mlflow-artifacts"}
        host = parts.netloc.rpartition("@")[2].lower()
        if same_transport and host == own.netloc.rpartition("@")[2].lower():
            return
        raise Refused(
            f"{_named(version)} has its files on {host or 'an unnamed host'} ({parts.scheme}), which is not the "
            "tracking server: the bot would send its credentials there. If that host is yours, add "
            f"{parts.scheme!r} to {_ALLOWED_SCHEMES} in the bot's environment."
        )


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file or directory; `path` is relative to the version's root, `size` is 0 for a directory."""

    path: str
    is_directory: bool
    size: int


class _Store(Protocol):
    """Where files lie: one directory's entries, one file's content."""

    def entries(self, directory: str) -> list[_Entry]: ...

    def chunks(self, path: str) -> Generator[bytes, None, None]: ...


@dataclass(frozen=True, slots=True)
class _File:
    store: _Store
    path: str
    size: int

    def chunks(self) -> Generator[bytes, None, None]:
        """The content; Unreachable where it is not as long as the listing said, which a later look settles."""
        read = 0
        with closing(self.store.chunks(self.path)) as chunks:
            for chunk in chunks:
                read += len(chunk)
                if read > self.size:
                    break
                yield chunk
        if read != self.size:
            raise Unreachable(f"The file {self.path!r} was not read whole, or changed meanwhile.")


class _LocalStore:
    """A directory of this machine, read in place; nothing is followed out of it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def entries(self, directory: str) -> list[_Entry]:
        try:
            with os.scandir(self._root / directory) as found:
                return [self._entry(posixpath.join(directory, item.name), item) for item in found]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise Unreachable(
                f"The artifact store at {self._root} could not be read: {summary(error)}", service=Service.ARTIFACTS
            ) from None

    def _entry(self, path: str, item: os.DirEntry[str]) -> _Entry:
        status = item.stat(follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            return _Entry(path, is_directory=True, size=0)
        if not stat.S_ISREG(status.st_mode):
            raise Refused(f"{path!r} in {self._root} is a link or a device; a model holds plain files only.")
        return _Entry(path, is_directory=False, size=status.st_size)

    def chunks(self, path: str) -> Generator[bytes, None, None]:
        try:
            descriptor = os.open(self._root / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 -- an open descriptor
                while chunk := file.read(_CHUNK):
                    yield chunk
        except OSError as error:
            raise Unreachable(
                f"{path!r} in {self._root} could not be read: {summary(error)}", service=Service.ARTIFACTS
            ) from None


class _RepositoryStore:
    """What MLflow's own client for a store lists."""

    def __init__(self, repository: ArtifactRepository) -> None:
        self._repository = repository
        self._name = redacted(repository.artifact_uri)

    def entries(self, directory: str) -> list[_Entry]:
        try:
            found = self._repository.list_artifacts(directory or None)
            return [_Entry(item.path, item.is_dir, 0 if item.is_dir else int(item.file_size or 0)) for item in found]
        except Exception as error:
            raise self._translated(error, f"list {directory or 'the files'}") from None

    def _translated(self, error: Exception, task: str) -> PromotionError:
        """An error of whichever library the store's client is made of, by what they have in common."""
        if isinstance(error, PromotionError):
            return error
        said = f"The artifact store at {self._name} was asked to {task}: {summary(error)}"
        response: Any = getattr(error, "response", None)
        code = _status_code(response) or getattr(error, "status_code", None) or getattr(error, "code", None)
        meaning = getattr(error, "error_code", "")
        if isinstance(error, ImportError):
            return Misconfigured(f"{said}. Install the library that this kind of store needs.")
        if code in {401, 403} or meaning in FORBIDDEN or type(error).__name__ == "NoCredentialsError":
            return Misconfigured(f"{said}. Give the bot credentials that may read there.")
        if code == 404 or meaning in MISSING:
            return Missing(f"{said}. It is not there.")
        if code == 400 or meaning == "INVALID_PARAMETER_VALUE":
            return Refused(said)
        return Unreachable(said, service=Service.ARTIFACTS)


class _ProxiedStore(_RepositoryStore):
    """Files behind the tracking server, as a stream."""

    def chunks(self, path: str) -> Generator[bytes, None, None]:
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.rest_utils import http_request

        try:
            credentials = get_default_host_creds(self._repository.artifact_uri)  # type: ignore[no-untyped-call]
            answer = http_request(credentials, f"/{quote(path)}", "GET", stream=True)  # type: ignore[no-untyped-call]
            with answer as response:
                response.raise_for_status()
                yield from response.iter_content(_CHUNK)
        except Exception as error:
            raise self._translated(error, f"read {path!r}") from None


class _DownloadStore(_RepositoryStore):
    """Files of any other store: one at a time, in a directory that only this user can read and that is removed."""

    def chunks(self, path: str) -> Generator[bytes, None, None]:
        with tempfile.TemporaryDirectory(prefix="promotion-bot-") as directory:
            try:
                local = Path(self._repository.download_artifacts(path, directory))  # type: ignore[no-untyped-call]
                with local.open("rb") as file:
                    while chunk := file.read(_CHUNK):
                        yield chunk
            except Exception as error:
                raise self._translated(error, f"read {path!r}") from None


_CheckLocal = Callable[[str, ModelVersion], Path]


def _digest(
    files: Iterable[tuple[str, _File]], through: Callable[[str, Iterator[bytes]], Iterator[bytes]]
) -> ArtifactDigest:
    """The digest of files whose chunks are read `through` something that sees them too."""
    whole = hashlib.sha256()
    size = 0
    counted = []
    for path, file in files:
        one = hashlib.sha256()
        for chunk in through(path, file.chunks()):
            one.update(chunk)
        whole.update(f"{one.hexdigest()}  {path}\n".encode())
        size += file.size
        counted.append(path)
    return ArtifactDigest(f"sha256:{whole.hexdigest()}", size, tuple(counted))


def _kept(directory: Path, path: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks, written below `directory` on the way."""
    local = directory / path
    local.parent.mkdir(parents=True, exist_ok=True)
    with local.open("xb") as file:
        for chunk in chunks:
            file.write(chunk)
            yield chunk


def _walk(store: _Store) -> Iterator[_Entry]:
    waiting = [""]
    while waiting:
        directory = waiting.pop()
        for entry in store.entries(directory):
            _check_path(entry.path)
            if posixpath.dirname(entry.path) != directory:
                raise Refused(f"The artifact store lists {entry.path!r} in the directory {directory!r}.")
            if entry.is_directory:
                waiting.append(entry.path)
            yield entry


def _check_path(path: str) -> None:
    """Refuse what leads out of a directory, and what `sha256sum` would have to escape."""
    parts = path.split("/")
    if not all(parts) or len(parts) > _DEEPEST or {".", ".."} & set(parts):
        raise Refused(f"The path {path!r} of an artifact leads elsewhere or too deep; such a version is not read.")
    try:
        path.encode()
    except UnicodeEncodeError:
        raise Refused(f"The path {path!r} of an artifact is not Unicode; such a version is not read.") from None
    if "\\" in path or any(ord(character) < 32 or ord(character) == 127 for character in path):
        raise Refused(f"The path {path!r} of an artifact has control characters or backslashes.")


def _local_root(uri: str, version: ModelVersion) -> Path:
    parts = urlsplit(uri)
    if parts.scheme == "file" and parts.netloc not in {"", "localhost"}:
        raise Refused(f"{_named(version)} has its files on another machine's disk: {redacted(uri)!r}.")
    root = Path(url2pathname(parts.path) if parts.scheme == "file" else uri)
    # Whoever registers a version names any directory of this machine: only a model's own is read.
    if not (root / "MLmodel").is_file():
        raise Refused(
            f"{_named(version)} has no MLmodel file at {redacted(uri)!r} on the bot's disk. If the tracking server "
            "does not serve its artifacts, the bot needs the same directory at the same place."
        )
    return root


def _any(uri: str, version: ModelVersion) -> Path:
    """A run's own directory, which MLflow chose, not whoever registered the version."""
    parts = urlsplit(uri)
    if parts.scheme == "file" and parts.netloc not in {"", "localhost"}:
        raise Refused(f"The run of {_named(version)} has its artifacts on another machine's disk: {redacted(uri)!r}.")
    return Path(url2pathname(parts.path) if parts.scheme == "file" else uri)


def _is_download_mark(file: _File) -> bool:
    """Whether the file is the one that MLflow's client writes; any other of that name counts like all files."""
    try:
        document = yaml.safe_load(_read(file, _DOWNLOAD_MARK_LIMIT))
    except (Refused, yaml.YAMLError, ValueError):
        return False
    return isinstance(document, dict) and document.keys() <= _DOWNLOAD_MARK_KEYS


def _read(file: _File, max_bytes: int) -> bytes:
    if file.size > max_bytes:
        raise Refused(f"The file {file.path!r} has {file.size} bytes, more than the {max_bytes} that are read of it.")
    return b"".join(file.chunks())


def _status_code(response: object) -> int | None:
    """The HTTP status in a requests response, or in the dictionary that botocore's errors carry."""
    if isinstance(response, dict):
        response = response.get("ResponseMetadata", {})
        code = response.get("HTTPStatusCode") if isinstance(response, dict) else None
    else:
        code = getattr(response, "status_code", None)
    return code if isinstance(code, int) else None


def _parts(uri: str, version: ModelVersion) -> SplitResult:
    try:
        return urlsplit(uri)
    except ValueError as error:
        raise Refused(f"{_named(version)} has its files at {redacted(uri)!r}, which is no address: {error}.") from None


def _named(version: ModelVersion) -> str:
    return f"version {version.version} of {version.name!r}"
