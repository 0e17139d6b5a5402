"""`promotion-bot web`: the web service alone."""

from __future__ import annotations

import click

from bot.cli import options
from bot.settings import Needs


@click.command("web", help="The web service: webhooks, health, metrics. Needs REDIS_URL and the webhook secrets.")
@options.address
def command(host: str, port: int) -> None:
    """Serve until told to stop."""
    settings = options.with_shared_queue(options.prepared(Needs.WEBHOOKS), "web")
    options.expect_free(host, port)
    options.expect_free_for_metrics(host, settings)
    from bot.web.server import serve

    serve(settings, host, port)
