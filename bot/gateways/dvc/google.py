"""A DVC remote in Google Cloud Storage."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Final

from bot.domain.errors import Misconfigured, PromotionError, Unreachable
from bot.gateways.dvc.libraries import client_library, joined
from bot.gateways.mlflow_api import summary

EMULATOR: Final = "STORAGE_EMULATOR_HOST"
_TIMEOUT: Final = 20  # seconds
_CREDENTIALS: Final = frozenset({"DefaultCredentialsError", "RefreshError", "MalformedError", "InvalidValue"})


@dataclass(frozen=True, slots=True)
class GoogleRemote:
    """Objects below a prefix of a bucket; credentials are Google's application default ones."""

    bucket: str
    prefix: str
    endpoint: str | None = None

    @property
    def name(self) -> str:
        """The bucket and prefix, and the store where it is not Google's."""
        return f"gs://{joined(self.bucket, self.prefix)}" + (f" at {self.endpoint}" if self.endpoint else "")

    def has(self, place: str) -> bool:
        """Whether the bucket has the object; two requests where it has not, since the bucket may be what is gone."""
        try:
            bucket = self._client().bucket(self.bucket)
            if bucket.blob(joined(self.prefix, place)).exists(timeout=_TIMEOUT, retry=None):
                return True
        except PromotionError:
            raise
        except Exception as error:
            raise self._translated(error) from None
        try:
            there = bool(bucket.exists(timeout=_TIMEOUT, retry=None))
        except Exception as error:
            # Whoever may read objects need not be allowed to see the bucket, which is there if it refuses.
            if getattr(error, "code", None) != 403:
                raise self._translated(error) from None
            there = True
        if not there:
            raise Misconfigured(f"there is no bucket {self.bucket} for the DVC remote {self.name}")
        return False

    def _client(self) -> Any:  # noqa: ANN401 - a client without types
        storage = client_library("google.cloud.storage", "gcs", f"the DVC remote {self.name}")
        if self.endpoint is None or EMULATOR in os.environ:  # which the library takes by itself
            return storage.Client()
        return storage.Client(client_options={"api_endpoint": self.endpoint})

    def _translated(self, error: Exception) -> PromotionError:
        said = f"the DVC remote {self.name}"
        if type(error).__name__ in _CREDENTIALS:
            return Misconfigured(
                f"{said} needs credentials: set GOOGLE_APPLICATION_CREDENTIALS to a service account's file, or give the"
                f" bot's machine one ({summary(error)})"
            )
        if getattr(error, "code", None) in (401, 403):
            return Misconfigured(
                f"{said} refuses the bot: it needs storage.objects.get on the bucket {self.bucket}, as the role Storage"
                " Object Viewer has it"
            )
        return Unreachable(f"{said} does not answer: {summary(error)}")
