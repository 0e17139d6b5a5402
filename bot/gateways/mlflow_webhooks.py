"""The webhook through which MLflow says that something happened to a model version.

Documentation: https://mlflow.org/docs/latest/ml/webhooks/. A stage transition fires none of the events.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bot.domain.errors import Misconfigured, Refused, Unreachable
from bot.gateways.mlflow_api import MlflowApi, redacted, summary

if TYPE_CHECKING:
    from mlflow.entities.webhook import Webhook, WebhookEvent, WebhookEventStr

WEBHOOK_EVENTS: Final = (
    "registered_model.created",
    "model_version.created",
    "model_version_tag.set",
    "model_version_tag.deleted",
    "model_version_alias.created",
    "model_version_alias.deleted",
)


@dataclass(frozen=True, slots=True)
class WebhookState:
    """A webhook as it is now, and in words what had to be changed for that; nothing where it was right already.

    MLflow never shows a secret again, so the secret is written each time and does not count as a change.
    """

    webhook_id: str
    changes: tuple[str, ...]


def ensure_webhook(
    api: MlflowApi, name: str, url: str, secret: str, events: Collection[str] = WEBHOOK_EVENTS
) -> WebhookState:
    """Create the webhook called `name`, or repair its address, events, status and secret; remove its doubles.

    Raises Misconfigured where the MLflow server has no webhooks, cannot read those it has, or refuses the address.
    """
    with_name = [webhook for webhook in _webhooks(api) if webhook.name == name]
    if not with_name:
        return WebhookState(_create(api, name, url, secret, events), ("created",))
    first, *doubles = sorted(with_name, key=lambda webhook: (webhook.creation_timestamp, webhook.webhook_id))
    changes = tuple(_differences(first, url, events))
    try:
        with api.asked_to(f"repair the webhook {name!r}") as client:
            client.update_webhook(first.webhook_id, url=url, events=_parsed(events), secret=secret, status="ACTIVE")
            for double in doubles:
                client.delete_webhook(double.webhook_id)
    except Refused as refusal:
        raise _address_refused(url, refusal) from None
    return WebhookState(first.webhook_id, (*changes, *(f"double {double.webhook_id} deleted" for double in doubles)))


def inspect_webhook(api: MlflowApi, name: str, url: str, events: Collection[str] = WEBHOOK_EVENTS) -> tuple[str, ...]:
    """What `ensure_webhook` would change, in words; nothing is changed."""
    with_name = [webhook for webhook in _webhooks(api) if webhook.name == name]
    if not with_name:
        return ("there is none",)
    first, *doubles = sorted(with_name, key=lambda webhook: (webhook.creation_timestamp, webhook.webhook_id))
    has = {str(event) for event in first.events}
    found = [] if first.url == url else [f"it delivers to {redacted(first.url)} instead of {redacted(url)}"]
    found += [] if has == set(events) else ["its events are not those that the bot needs"]
    found += [] if first.status.is_active() else ["it is switched off"]
    return (*found, *(f"there is a double of it, {double.webhook_id}" for double in doubles))


@dataclass(frozen=True, slots=True)
class Tried:
    """How a delivery that MLflow was asked to make was answered: a status, or why there is none."""

    status: int | None
    error: str = ""


def try_webhook(api: MlflowApi, name: str) -> Tried:
    """Have MLflow deliver an example by the webhook called `name`, which must be there; it names a made-up model."""
    with api.asked_to(f"try the webhook {name!r}") as client:
        first = min(
            (webhook for webhook in _webhooks(api) if webhook.name == name),
            key=lambda webhook: (webhook.creation_timestamp, webhook.webhook_id),
        )
        result = client.test_webhook(first.webhook_id)
    return Tried(result.response_status, summary(Exception(result.error_message or "no reason given")))


def _webhooks(api: MlflowApi) -> list[Webhook]:
    found: list[Webhook] = []
    token: str | None = None
    try:
        while True:
            with api.asked_to("list its webhooks") as client:
                page: Any = client.list_webhooks(max_results=100, page_token=token)
            found += page
            token = page.token
            if not token:
                return found
    except Unreachable:
        with api.asked_to("list one registered model") as client:
            client.search_registered_models(max_results=1)
        raise Misconfigured(
            f"MLflow at {redacted(api.registry_uri)} answers, but not when asked for its webhooks. One was stored "
            "with a secret under a key that the server no longer has (mlflow #19896): set "
            "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY on the server to a key that stays (docs/registry.md), restart it, "
            "and delete the rows of the table webhooks that were written before."
        ) from None


def _create(api: MlflowApi, name: str, url: str, secret: str, events: Collection[str]) -> str:
    try:
        with api.asked_to(f"create the webhook {name!r}") as client:
            created = client.create_webhook(
                name, url, _parsed(events), description="Tells promotion-bot which model to look at.", secret=secret
            )
    except Refused as refusal:
        raise _address_refused(url, refusal) from None
    webhook_id: str = created.webhook_id
    return webhook_id


def _parsed(events: Collection[str]) -> list[WebhookEventStr | WebhookEvent]:
    from mlflow.entities.webhook import WebhookEvent

    return [WebhookEvent.from_str(event) for event in events]  # type: ignore[arg-type]


def _differences(webhook: Webhook, url: str, events: Collection[str]) -> list[str]:
    has = {str(event) for event in webhook.events}
    changes = []
    if webhook.url != url:
        changes.append(f"address {redacted(webhook.url)} became {redacted(url)}")
    if missing := sorted(set(events) - has):
        changes.append(f"events added: {', '.join(missing)}")
    if extra := sorted(has - set(events)):
        changes.append(f"events removed: {', '.join(extra)}")
    if not webhook.status.is_active():
        changes.append("switched on again")
    return changes


def _address_refused(url: str, refusal: Refused) -> Misconfigured:
    return Misconfigured(
        f"{refusal} The server delivers only to https and public addresses: for {redacted(url)} its environment may "
        "need MLFLOW_WEBHOOK_ALLOWED_SCHEMES=http,https and MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS=true (docs/registry.md)."
    )
