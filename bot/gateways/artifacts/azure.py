"""Azure Blob Storage, with the variables that MLflow's client reads.

AZURE_STORAGE_CONNECTION_STRING, else AZURE_STORAGE_ACCESS_KEY, else whatever `DefaultAzureCredential` finds:
AZURE_CLIENT_ID with AZURE_TENANT_ID and AZURE_CLIENT_SECRET or a federated token, a managed identity, `az login`
(https://learn.microsoft.com/python/api/overview/azure/identity-readme).
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from bot.domain.errors import Misconfigured, PromotionError, Refused
from bot.gateways.artifacts.objects import PART, Object, ObjectStore, Right
from bot.gateways.artifacts.refusals import Remedy, translated

_ADDRESS: Final = re.compile(r"([^@]+)@([^.@]+)\.(blob\.core\.(?:windows\.net|chinacloudapi\.cn|usgovcloudapi\.net))")
_EXAMPLE: Final = "wasbs://CONTAINER@ACCOUNT.blob.core.windows.net/PATH"
_CONNECT_SECONDS: Final = 10
_READ_SECONDS: Final = 60
_ROLES: Final[Mapping[Right, str]] = {
    Right.LIST: "Storage Blob Data Reader (or a signature with the permission to list)",
    Right.FIND: "Storage Blob Data Reader (or a signature with the permission to read)",
    Right.READ: "Storage Blob Data Reader (or a signature with the permission to read)",
    Right.WRITE: "Storage Blob Data Contributor (or a signature with the permissions to create and write)",
}
_SCOPE: Final = "https://storage.azure.com/.default"
_LIBRARY: Final = "Install it: pip install 'promotion-bot[azure]'."
_VARIABLES: Final = ("AZURE_",)
_CONNECTION: Final = "AZURE_STORAGE_CONNECTION_STRING"
_ACCOUNT: Final = "AZURE_STORAGE_ACCOUNT"
_NAMED_IN: Final = re.compile(r"(?:^|;)\s*AccountName=([^;]*)", re.IGNORECASE)
_ACCOUNT_NAME: Final = re.compile(r"[a-z0-9]{3,24}", re.ASCII)  # it becomes part of a host's name


def open_azure(uri: str) -> ObjectStore:
    """The blobs below `wasbs://CONTAINER@ACCOUNT.blob.core.windows.net/PREFIX`."""
    parts = urlsplit(uri)
    match = _ADDRESS.fullmatch(parts.netloc)
    if match is None:
        raise Refused(f"An address in Azure Blob Storage is {_EXAMPLE}.")
    container, account, host = match.groups()
    called = f"The artifact store at Azure's container {container}"
    return _opened(container, parts.path, f"https://{account}.{host}", os.environ.get(_CONNECTION, ""), called)


def open_container(container: str, prefix: str, account: str, called: str) -> ObjectStore:
    """The blobs of a container below a prefix, in an account, or the environment's own where it is empty.

    The connection string counts where it is of that account; any other is looked for at Azure's own address.
    `called` is how messages name the place.
    """
    connection = os.environ.get(_CONNECTION, "")
    own = next(iter(_NAMED_IN.findall(connection)), "")
    if connection and account in ("", own):
        return _opened(container, prefix, "", connection, called)
    account = account or os.environ.get(_ACCOUNT, "")
    if not account:
        raise Misconfigured(f"{called} needs an account: set {_CONNECTION}, or {_ACCOUNT}")
    if not _ACCOUNT_NAME.fullmatch(account):
        raise Refused(f"{called} has no account that can be: {account[:60]!r}")
    return _opened(container, prefix, f"https://{account}.blob.core.windows.net", "", called)


def _opened(container: str, prefix: str, account_url: str, connection: str, called: str) -> ObjectStore:
    try:
        client = _client(account_url, connection, _environment())
        bucket = _Container(client.get_container_client(container), container, called)
    except Exception as error:
        raise _translated(error, called, Right.READ, "open it", container) from None
    return ObjectStore(bucket, prefix)


class _Container:
    def __init__(self, client: Any, name: str, called: str) -> None:  # noqa: ANN401 -- imported when it is used
        self._client = client
        self._name = name
        self._called = called

    def list(self, prefix: str) -> Iterator[Object]:
        for found in self._client.list_blobs(name_starts_with=prefix or None, include=["metadata"]):
            # Accounts with a hierarchical namespace list directories among the blobs.
            if (found.metadata or {}).get("hdi_isfolder") != "true":
                yield Object(found.name, int(found.size), _mark(found.etag))

    def head(self, key: str) -> Object | None:
        found = self._client.get_blob_client(key).get_blob_properties()
        return Object(key, int(found.size), _mark(found.etag))

    def read(self, found: Object, start: int, stop: int) -> bytes:
        from azure.core import MatchConditions

        wanted = {"etag": f'"{found.mark}"', "match_condition": MatchConditions.IfNotModified} if found.mark else {}
        answer = self._client.download_blob(found.key, offset=start, length=stop - start, max_concurrency=1, **wanted)
        # What `readall` returns has been copied twice more.
        return b"".join(answer.chunks())

    def write(self, key: str, file: Path) -> None:
        with file.open("rb") as content:
            self._client.upload_blob(key, content, length=file.stat().st_size, overwrite=True, validate_content=True)

    def translated(self, error: Exception, right: Right, task: str) -> PromotionError:
        return _translated(error, self._called, right, task, self._name)


def _mark(etag: str | None) -> str:
    """The ETag without its quotes, which a list leaves out and a header has."""
    return (etag or "").strip('"')


def _translated(error: Exception, called: str, right: Right, task: str, container: str) -> PromotionError:
    # Azure has one answer for a key that it does not know, a network that it does not let in and a missing role.
    permission = f"It needs the role {_ROLES[right]} on the container {container}. {_credentials()}"
    remedy = Remedy(_LIBRARY, _credentials(), permission, settings=_credentials())
    return translated(error, called, task, remedy)


def _credentials() -> str:
    for name in (_CONNECTION, "AZURE_STORAGE_ACCESS_KEY"):
        if os.environ.get(name):
            return f"Check {name}."
    return (
        f"Set {_CONNECTION} or AZURE_STORAGE_ACCESS_KEY, or AZURE_CLIENT_ID, AZURE_TENANT_ID and "
        "AZURE_CLIENT_SECRET, or run with a managed identity."
    )


def _environment() -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith(_VARIABLES)))


@lru_cache(maxsize=4)
def _client(account_url: str, connection: str, environment: tuple[tuple[str, str], ...]) -> Any:  # noqa: ANN401
    """A client for a connection string, or for an account and the variables as they are, as MLflow's would be."""
    from azure.storage.blob import BlobServiceClient, ExponentialRetry

    options: dict[str, Any] = {
        "connection_timeout": _CONNECT_SECONDS,
        "read_timeout": _READ_SECONDS,
        # Seven seconds instead of a minute: the bot's own queue tries again later.
        "retry_policy": ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=2),
        # One request for one part: the parts are ours.
        "max_single_get_size": PART,
        "max_chunk_get_size": PART,
        # Read in one piece: what comes in several is copied once more, into memory that the process asks for anew.
        "connection_data_block_size": PART,
    }
    if connection:
        return BlobServiceClient.from_connection_string(connection, **options)
    if key := dict(environment).get("AZURE_STORAGE_ACCESS_KEY"):
        return BlobServiceClient(account_url, key, **options)
    from azure.identity import DefaultAzureCredential

    logging.getLogger("azure.identity").setLevel(logging.ERROR)  # as a warning it tells at length what it raises too
    credential = DefaultAzureCredential()
    credential.get_token(_SCOPE)  # once and now: the client would try three times
    return BlobServiceClient(account_url, credential, **options)
