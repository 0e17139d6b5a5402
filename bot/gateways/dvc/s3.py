"""A DVC remote in S3, or in a store that speaks its language."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from bot.domain.errors import Misconfigured, PromotionError, Refused, Unreachable
from bot.gateways.dvc.libraries import client_library, joined
from bot.gateways.mlflow_api import summary

_REGION = re.compile(r"[a-z0-9-]{1,40}", re.ASCII)
# Errors of botocore that no later try mends (botocore/exceptions.py).
_CREDENTIALS: Final = frozenset(
    {
        "NoCredentialsError",
        "PartialCredentialsError",
        "CredentialRetrievalError",
        "ProfileNotFound",
        "SSOError",
        "TokenRetrievalError",
        "UnauthorizedSSOTokenError",
        "NoAuthTokenError",
    }
)


@dataclass(frozen=True, slots=True)
class S3Remote:
    """Objects below a prefix of a bucket; credentials are those of boto3's own environment."""

    bucket: str
    prefix: str
    endpoint: str | None = None
    region: str | None = None

    @property
    def name(self) -> str:
        """The bucket and prefix, and the store where it is not Amazon's."""
        return f"s3://{joined(self.bucket, self.prefix)}" + (f" at {self.endpoint}" if self.endpoint else "")

    def has(self, place: str) -> bool:
        """Whether the bucket has the object; two requests where it has not, since the bucket may be what is gone."""
        client = self._client()
        try:
            client.head_object(Bucket=self.bucket, Key=joined(self.prefix, place))
        except Exception as error:
            if _status(error) != 404:
                raise self._translated(error) from None
        else:
            return True
        try:
            client.head_bucket(Bucket=self.bucket)
        except Exception as error:
            if _status(error) == 404:
                raise Misconfigured(f"there is no bucket {self.bucket} for the DVC remote {self.name}") from None
            raise self._translated(error) from None
        return False

    def _client(self) -> Any:  # noqa: ANN401 - boto3 has no types
        boto3 = client_library("boto3", "s3", f"the DVC remote {self.name}")
        config = client_library("botocore.config", "s3", f"the DVC remote {self.name}")
        if self.region is not None and not _REGION.fullmatch(self.region):
            raise Refused(f"the DVC remote {self.name} has no region that can be: {self.region[:60]!r}")
        patience = config.Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 2})
        try:
            return boto3.Session().client("s3", endpoint_url=self.endpoint, region_name=self.region, config=patience)
        except Exception as error:
            raise self._translated(error) from None

    def _translated(self, error: Exception) -> PromotionError:
        said = f"the DVC remote {self.name}"
        if type(error).__name__ in _CREDENTIALS:
            return Misconfigured(
                f"{said} needs credentials, and there are none: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or"
                f" give the bot's machine a role ({summary(error)})"
            )
        if type(error).__name__ in ("ParamValidationError", "InvalidRegionError"):
            return Refused(f"{said} cannot be asked: {summary(error)}")
        match _status(error):
            case 401 | 403:
                return Misconfigured(
                    f"{said} refuses the bot: it needs s3:GetObject on the objects and s3:ListBucket on the bucket"
                    f" {self.bucket} (without it S3 does not say whether an object is there)"
                )
            case 301 | 307 | 400:
                return Misconfigured(
                    f"{said} does not accept the request: check the remote's region, AWS_REGION and the credentials"
                    f" ({summary(error)})"
                )
        return Unreachable(f"{said} does not answer: {summary(error)}")


def _status(error: Exception) -> int | None:
    """The HTTP status in an error of botocore's; None where there was no answer."""
    response = getattr(error, "response", None)
    metadata = response.get("ResponseMetadata", {}) if isinstance(response, dict) else {}
    code = metadata.get("HTTPStatusCode")
    return code if isinstance(code, int) else None
