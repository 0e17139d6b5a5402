"""What the errors of stores' clients mean, by what they have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from bot.domain.errors import Misconfigured, PromotionError, Refused, Service, Unreachable
from bot.gateways.mlflow_api import FORBIDDEN, MISSING, Missing, summary


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to do about a store that says no: `library` to install, `credentials` to set, `permission` to give.

    `request` is what to look at where the store sends a request elsewhere or does not understand it; empty where that
    is the fault of whoever named the place. `settings` is what to look at where the client makes nothing of what it is
    told, before it asks anybody.
    """

    library: str = "Install the library that this kind of store needs."
    credentials: str = "Give the bot credentials that may read there."
    permission: str = "Give the bot credentials that may read there."
    request: str = ""
    settings: str = ""


_ANY_STORE: Final = Remedy()
# Names of the clients' classes for "nobody said who is asking", which have no HTTP status.
_NO_CREDENTIALS: Final = frozenset(
    {
        "NoCredentialsError",
        "PartialCredentialsError",
        "CredentialRetrievalError",
        "ProfileNotFound",
        "SSOError",
        "TokenRetrievalError",
        "NoAuthTokenError",
        "DefaultCredentialsError",
        "RefreshError",
        "MalformedError",
        "ClientAuthenticationError",
        "CredentialUnavailableError",
    }
)
# Codes of S3 and Azure that come with 403 and mean that the credentials are wrong, not what they may do.
_WRONG_CREDENTIALS: Final = frozenset(
    {
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
        "InvalidToken",
        "TokenRefreshRequired",
        "AuthenticationFailed",
        "InvalidAuthenticationInfo",
        "NoAuthenticationInformation",
        "PublicAccessNotPermitted",
    }
)
# What clients say of a name that no bucket, region or container can have, before they ask anybody.
_IMPOSSIBLE: Final = frozenset({"ParamValidationError", "InvalidRegionError"})
# What clients say of settings that they make nothing of: their own classes, those of requests, Python's.
_UNUSABLE: Final = frozenset(
    {
        *("ConfigParseError", "InvalidS3AddressingStyleError", "UnknownSignatureVersionError", "ValueError"),
        *("MissingSchema", "InvalidSchema", "InvalidURL", "IsADirectoryError", "PermissionError"),
    }
)
_UNSENDABLE: Final = "Invalid header value"
_TRIED: Final = " Attempted credentials:"  # Azure then tells of each that is not there
_MISDIRECTED: Final = frozenset({301, 307, 308, 400})


def translated(error: Exception, store: str, task: str, remedy: Remedy = _ANY_STORE) -> PromotionError:
    """The product's error for one of whichever library the store's client is made of; `store` begins the message."""
    if isinstance(error, PromotionError):
        return error
    said = f"{store} was asked to {task}: {summary(error).partition(_TRIED)[0].rstrip('.')}"
    status, meaning = _status(error), _meaning(error)
    if isinstance(error, ImportError):
        return Misconfigured(f"{said}. {remedy.library}")
    if status == 401 or meaning in _WRONG_CREDENTIALS or _NO_CREDENTIALS & {c.__name__ for c in type(error).__mro__}:
        return Misconfigured(f"{said}. {remedy.credentials}")
    if status == 403 or meaning in FORBIDDEN:
        return Misconfigured(f"{said}. {remedy.permission}")
    if status == 404 or meaning in MISSING:
        return Missing(f"{said}. It is not there.")
    if status in _MISDIRECTED and remedy.request:
        return Misconfigured(f"{said}. {remedy.request}")
    if status == 400 or meaning == "INVALID_PARAMETER_VALUE" or type(error).__name__ in _IMPOSSIBLE:
        return Refused(said)
    if remedy.settings and (type(error).__name__ in _UNUSABLE or _UNSENDABLE in str(error)):
        return Misconfigured(f"{said}. {remedy.settings}")
    if status == 412:
        return Unreachable(f"{said}. It changed while it was read.", service=Service.ARTIFACTS)
    return Unreachable(said, service=Service.ARTIFACTS)


def _status(error: Exception) -> int | None:
    """The HTTP status: of a requests response, of botocore's dictionary, or as Google's and Azure's errors carry it."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):
        response = response.get("ResponseMetadata", {})
        code = response.get("HTTPStatusCode") if isinstance(response, dict) else None
    else:
        code = getattr(response, "status_code", None)
    for found in (code, getattr(error, "status_code", None), getattr(error, "code", None)):
        if isinstance(found, int):
            return int(found)
    return None


def _meaning(error: Exception) -> str:
    """MLflow's, S3's or Azure's name for what went wrong."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict) and isinstance(response.get("Error"), dict):
        return str(response["Error"].get("Code", ""))
    return str(getattr(error, "error_code", None) or "")
