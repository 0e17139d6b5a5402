"""Google Cloud Storage, with application default credentials.

Variables: GOOGLE_APPLICATION_CREDENTIALS (a key or federation file), else what `gcloud auth application-default login`
left, else the machine's or pod's service account; STORAGE_EMULATOR_HOST for an emulator
(https://cloud.google.com/docs/authentication/application-default-credentials).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from bot.domain.errors import PromotionError
from bot.gateways.artifacts.objects import CONNECTIONS, Object, ObjectStore, Right, expect_parts
from bot.gateways.artifacts.refusals import Remedy, translated

EMULATOR: Final = "STORAGE_EMULATOR_HOST"
_TIMEOUT: Final = (10, 60)  # seconds to connect, seconds without a byte
_TRIED_FOR: Final = 20  # seconds; the bot's own queue tries again later
_PERMISSIONS: Final[Mapping[Right, str]] = {
    Right.LIST: "storage.objects.list",
    Right.FIND: "storage.objects.get",
    Right.READ: "storage.objects.get",
    Right.WRITE: "storage.objects.create and storage.objects.delete",
}
_ROLES: Final[Mapping[Right, str]] = {
    Right.LIST: "Storage Object Viewer",
    Right.FIND: "Storage Object Viewer",
    Right.READ: "Storage Object Viewer",
    Right.WRITE: "Storage Object User",
}
_LIBRARY: Final = "Install it: pip install 'promotion-bot[gcs]'."
_VARIABLES: Final = ("GOOGLE_", EMULATOR, "CLOUDSDK_CONFIG")


def open_gcs(uri: str) -> ObjectStore:
    """The objects below `gs://BUCKET/PREFIX`."""
    parts = urlsplit(uri)
    name = expect_parts("gs", parts.netloc, "gs://models/backup")
    return open_bucket(name, parts.path, None, f"The artifact store at gs://{name}")


def open_bucket(name: str, prefix: str, endpoint: str | None, called: str) -> ObjectStore:
    """The objects of a bucket below a prefix, at Google where no endpoint is said; `called` is how messages name it."""
    try:
        client = _client(endpoint, _environment())
    except Exception as error:
        raise _translated(error, called, Right.READ, "open it", name) from None
    return ObjectStore(_GoogleBucket(client, name, called), prefix)


class _GoogleBucket:
    def __init__(self, client: Any, name: str, called: str) -> None:  # noqa: ANN401 -- the library has no types
        self._client = client
        self._name = name
        self._called = called
        self._bucket = client.bucket(name)
        from google.cloud.storage.retry import DEFAULT_RETRY

        self._patience = {"timeout": _TIMEOUT, "retry": DEFAULT_RETRY.with_timeout(_TRIED_FOR)}

    def list(self, prefix: str) -> Iterator[Object]:
        fields = "items(name,size,generation),nextPageToken"
        for found in self._client.list_blobs(self._name, prefix=prefix, fields=fields, **self._patience):
            yield Object(found.name, int(found.size or 0), str(found.generation or ""))

    def head(self, key: str) -> Object | None:
        found = self._bucket.get_blob(key, **self._patience)
        return Object(key, int(found.size or 0), str(found.generation or "")) if found else None

    def read(self, found: Object, start: int, stop: int) -> bytes:
        whole = start == 0 and stop == found.size
        wanted = {} if whole else {"start": start, "end": stop - 1}
        if found.mark:
            wanted["if_generation_match"] = int(found.mark)
        # Raw: the bytes that are stored, also of an object that is stored compressed.
        content: bytes = self._bucket.blob(found.key).download_as_bytes(
            raw_download=True, single_shot_download=True, **self._patience, **wanted
        )
        return content

    def write(self, key: str, file: Path) -> None:
        self._bucket.blob(key).upload_from_filename(str(file), **self._patience)

    def translated(self, error: Exception, right: Right, task: str) -> PromotionError:
        return _translated(error, self._called, right, task, self._name)


def _translated(error: Exception, called: str, right: Right, task: str, bucket: str) -> PromotionError:
    permission = f"It needs {_PERMISSIONS[right]} on {bucket}, as the role {_ROLES[right]} has."
    remedy = Remedy(_LIBRARY, _credentials(), permission, settings=_settings())
    return translated(error, called, task, remedy)


def _credentials() -> str:
    if os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
        return "Check the file that GOOGLE_APPLICATION_CREDENTIALS names."
    return (
        "Set GOOGLE_APPLICATION_CREDENTIALS to a credentials file, or run `gcloud auth application-default login`, or "
        "run with a service account that the machine or pod gives."
    )


def _settings() -> str:
    if os.environ.get(EMULATOR):
        return f"Check {EMULATOR}, which is a URL such as http://localhost:4443."
    return _credentials()


def _environment() -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith(_VARIABLES)))


@lru_cache(maxsize=4)
def _client(endpoint: str | None, _environment: tuple[tuple[str, str], ...]) -> Any:  # noqa: ANN401
    """A client for the variables as they are; without credentials one that sees what anybody may see."""
    from google.auth.credentials import AnonymousCredentials
    from google.auth.exceptions import DefaultCredentialsError
    from google.cloud import storage
    from requests.adapters import HTTPAdapter

    # An emulator's address is taken by the library itself.
    elsewhere = endpoint is not None and EMULATOR not in os.environ
    options = {"api_endpoint": endpoint} if elsewhere else None
    try:
        # Nothing that is done here belongs to a project.
        client = storage.Client(project=None, client_options=options)
    except DefaultCredentialsError:
        if os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
            raise
        client = storage.Client(project="<none>", credentials=AnonymousCredentials(), client_options=options)  # type: ignore[no-untyped-call]
    adapter = HTTPAdapter(pool_connections=CONNECTIONS, pool_maxsize=CONNECTIONS)
    for scheme in ("https://", "http://"):
        client._http.mount(scheme, adapter)  # noqa: SLF001 -- as its documentation of pool sizes does
    return client
