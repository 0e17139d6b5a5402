"""A DVC remote in Azure's Blob Storage."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any, Final

from bot.domain.errors import Misconfigured, PromotionError, Refused, Unreachable
from bot.gateways.dvc.libraries import client_library, joined
from bot.gateways.mlflow_api import summary

_TIMEOUT: Final = 20  # seconds
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}", re.ASCII)  # it becomes part of a host's name
_NAMED_IN = re.compile(r"(?:^|;)\s*AccountName=([^;]*)", re.IGNORECASE)
_CONNECTION: Final = "AZURE_STORAGE_CONNECTION_STRING"


@dataclass(frozen=True, slots=True)
class AzureRemote:
    """Blobs below a prefix of a container. `account` is what the repository says, empty for the environment's own.

    Credentials are those of MLflow: AZURE_STORAGE_CONNECTION_STRING where it is of the same account, else
    AZURE_STORAGE_ACCESS_KEY or the machine's identity, at Azure's own address.
    """

    container: str
    prefix: str
    account: str = ""

    @property
    def name(self) -> str:
        """The container and prefix."""
        return f"azure://{joined(self.container, self.prefix)}"

    def has(self, place: str) -> bool:
        """Whether the container has the blob; a container that is gone is no deleted blob."""
        try:
            blob = self._service().get_blob_client(self.container, joined(self.prefix, place))
            blob.get_blob_properties(timeout=_TIMEOUT)
        except PromotionError:
            raise
        except Exception as error:
            if getattr(error, "status_code", None) == 404 and getattr(error, "error_code", "") != "ContainerNotFound":
                return False
            raise self._translated(error) from None
        return True

    def _service(self) -> Any:  # noqa: ANN401 - a client of a library that is imported late
        blobs = client_library("azure.storage.blob", "azure", f"the DVC remote {self.name}")
        patience = {"retry_total": 1, "connection_timeout": 5, "read_timeout": _TIMEOUT}
        connection = os.environ.get(_CONNECTION, "")
        own = next(iter(_NAMED_IN.findall(connection)), "")
        if connection and self.account in ("", own):
            return blobs.BlobServiceClient.from_connection_string(connection, **patience)
        account = self.account or os.environ.get("AZURE_STORAGE_ACCOUNT", "")
        if not account:
            raise Misconfigured(
                f"the DVC remote {self.name} needs an account: set {_CONNECTION}, or AZURE_STORAGE_ACCOUNT"
            )
        if not _ACCOUNT.fullmatch(account):
            raise Refused(f"the DVC remote {self.name} has no account that can be: {account[:60]!r}")
        credential = os.environ.get("AZURE_STORAGE_ACCESS_KEY") or self._identity()
        return blobs.BlobServiceClient(f"https://{account}.blob.core.windows.net", credential, **patience)

    def _identity(self) -> Any:  # noqa: ANN401 - a credential of a library that is imported late
        identity = client_library("azure.identity", "azure", f"the DVC remote {self.name}")
        return identity.DefaultAzureCredential()

    def _translated(self, error: Exception) -> PromotionError:
        said, code = f"the DVC remote {self.name}", getattr(error, "status_code", None)
        if code == 404:
            return Misconfigured(f"there is no container {self.container} for {said}")
        if type(error).__name__ in ("ClientAuthenticationError", "CredentialUnavailableError") or code in (401, 403):
            return Misconfigured(
                f"{said} refuses the bot: it needs the role Storage Blob Data Reader on the container {self.container},"
                f" or a key in {_CONNECTION} or AZURE_STORAGE_ACCESS_KEY"
            )
        if code == 400 or isinstance(error, ValueError):
            return Refused(f"{said} cannot be asked: {summary(error)}")
        return Unreachable(f"{said} does not answer: {summary(error)}")
