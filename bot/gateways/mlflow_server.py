"""What the MLflow server says of itself and of the user that the bot is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bot.domain.errors import Misconfigured
from bot.gateways.mlflow_api import MlflowApi

_TIMEOUT: Final = 20  # seconds


@dataclass(frozen=True, slots=True)
class Account:
    """The bot's user with MLflow's `basic-auth` plugin; `models` are its permissions by name, `*` for all."""

    name: str
    is_admin: bool
    models: Mapping[str, str]


def server_version(api: MlflowApi) -> str | None:
    """The server's version; None where it does not tell, as managed services do not."""
    answer = _asked(api, "/version", "tell its version")
    text = str(answer.text).strip() if answer is not None else ""
    return text if text and len(text) < 40 and text[0].isdigit() else None


def account(api: MlflowApi) -> Account | None:
    """Who the bot is and what it may do; None where MLflow has no accounts, or is too old to tell."""
    user = _json(_asked(api, "/api/2.0/mlflow/users/current", "say who the bot is"))
    if not isinstance(user, dict) or "user" not in user:
        return None
    rows = _json(_asked(api, "/api/3.0/mlflow/users/current/permissions", "say what the bot may do")) or {}
    models = {
        str(row["resource_pattern"]): str(row["permission"])
        for row in rows.get("permissions", ())
        if row.get("resource_type") == "registered_model"
    }
    return Account(str(user["user"]["username"]), bool(user["user"]["is_admin"]), models)


def _asked(api: MlflowApi, path: str, task: str) -> Any:  # noqa: ANN401 - requests' answer
    """The answer of one GET; None where the server has no such path."""
    if not api.tracking_uri.startswith(("http://", "https://")):
        return None
    with api.asked_to(task):
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.rest_utils import http_request

        credentials = get_default_host_creds(api.tracking_uri)  # type: ignore[no-untyped-call]
        answer = http_request(credentials, path, "GET", timeout=_TIMEOUT, max_retries=0)  # type: ignore[no-untyped-call]
    if answer.status_code in (401, 403):
        raise Misconfigured(f"MLflow does not let the bot in ({answer.status_code})")
    return answer if answer.status_code == 200 else None


def _json(answer: Any) -> Any:  # noqa: ANN401 - JSON
    try:
        return answer.json() if answer is not None else None
    except ValueError:
        return None
