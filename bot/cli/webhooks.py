"""`promotion-bot webhooks sync`: the MLflow webhook as it should be."""

from __future__ import annotations

import click

from bot.cli import options, output
from bot.domain.errors import Misconfigured
from bot.settings import Needs


@click.group("webhooks", help="The MLflow webhook.")
def command() -> None:
    """Commands about webhooks."""


@command.command("sync")
@output.as_json
def sync(as_json: bool) -> None:
    """Create the MLflow webhook, or repair it."""
    settings = options.prepared(Needs.WEBHOOKS | Needs.REGISTRY)
    url = settings.mlflow_delivers_to
    if url is None:
        raise Misconfigured("PROMOTION_PUBLIC_URL is missing: it is the address that MLflow delivers to")
    from bot.gateways.mlflow_api import MlflowApi
    from bot.gateways.mlflow_webhooks import ensure_webhook

    api = MlflowApi(settings.mlflow_tracking_uri, settings.mlflow_registry_uri)
    state = ensure_webhook(api, "promotion-bot", url, settings.mlflow_webhook_secrets[0].reveal())
    if as_json:
        output.print_json({"url": url, "webhook_id": state.webhook_id, "changes": list(state.changes)})
    else:
        output.say(f"{url}: {', '.join(state.changes) or 'as it should be'}")
