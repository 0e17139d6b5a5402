"""Remotes in the clouds' object stores, asked as the artifact store is, with the bot's own credentials."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult

from bot.domain.errors import Misconfigured, Refused
from bot.gateways.artifacts import azure, google, s3
from bot.gateways.artifacts.objects import ObjectStore
from bot.gateways.artifacts.store import Entry, StoredFile
from bot.gateways.dvc.access import Access
from bot.gateways.dvc.documents import RemoteConfig
from bot.gateways.mlflow_api import Missing

_REGION: Final = re.compile(r"[a-z0-9-]{1,40}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ObjectRemote:
    """Objects below a prefix of a bucket or container; `name` is the place without anything secret."""

    name: str
    bucket: str
    store: ObjectStore

    def has(self, place: str) -> bool:
        """Whether the bucket has the object; a bucket that is gone is no deleted object."""
        return self._found(place) is not None

    def read(self, place: str, most: int) -> bytes | None:
        """The object, None where there is none; Refused where it is larger than `most` bytes."""
        found = self._found(place)
        return None if found is None else StoredFile(self.store, found).read(most)

    def _found(self, place: str) -> Entry | None:
        try:
            return self.store.find_in_bucket(place)
        except Missing:
            raise Misconfigured(
                f"there is no bucket or container {self.bucket} for the DVC remote {self.name}: check its address in"
                " .dvc/config"
            ) from None


def open_s3(config: RemoteConfig, parts: SplitResult, access: Access) -> ObjectRemote:
    """A bucket at Amazon, or at an endpoint to which the bot may show its credentials."""
    endpoint = access.s3_endpoint(config)
    region = config.options.get("region") or None
    name = f"{_joined('s3', parts)} at {endpoint}" if endpoint else _joined("s3", parts)
    if region is not None and not _REGION.fullmatch(region):
        raise Refused(f"the DVC remote {name} has no region that can be: {region[:60]!r}")
    # MLflow's variables, but for its endpoint, are about MLflow's own buckets.
    store = s3.open_bucket(parts.netloc, parts.path, s3.S3Service(endpoint, region), _called(name))
    return ObjectRemote(name, parts.netloc, store)


def open_google(config: RemoteConfig, parts: SplitResult, access: Access) -> ObjectRemote:
    """A bucket at Google, or at an endpoint to which the bot may show its credentials."""
    endpoint = access.google_endpoint(config)
    name = f"{_joined('gs', parts)} at {endpoint}" if endpoint else _joined("gs", parts)
    return ObjectRemote(name, parts.netloc, google.open_bucket(parts.netloc, parts.path, endpoint, _called(name)))


def open_azure(config: RemoteConfig, parts: SplitResult, _access: Access) -> ObjectRemote:
    """A container of the account that the repository names, or of the environment's own."""
    name = _joined("azure", parts)
    account = config.options.get("account_name", "")
    return ObjectRemote(name, parts.netloc, azure.open_container(parts.netloc, parts.path, account, _called(name)))


def _joined(scheme: str, parts: SplitResult) -> str:
    return f"{scheme}://{parts.netloc}/{parts.path.strip('/')}".rstrip("/")


def _called(name: str) -> str:
    return f"the DVC remote {name}"
