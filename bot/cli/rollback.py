"""`promotion-bot rollback`: opens the pull request that goes back, under the caller's own token."""

from __future__ import annotations

import click

from bot.cli import options, output
from bot.cli.promote import tell, timeout, wait
from bot.settings import Needs


@click.command("rollback", help="Open the pull request that goes back, under your own GITHUB_TOKEN.")
@click.argument("model")
@click.option("--environment", "--in", required=True, help="The environment.")
@click.option("--to", "version", type=options.version, help="The version.  [default: the one before]")
@output.repository
@wait
@timeout
@output.as_json
def command(
    model: str,
    environment: str,
    version: int | None,
    repository: str | None,
    wait: bool,
    timeout: int,
    as_json: bool,
) -> None:
    """Propose what was there before as the person whose token GITHUB_TOKEN is."""
    settings = options.prepared(Needs.OWN_TOKEN | Needs.REGISTRY)
    from bot.wiring import without_queue
    from workers.own_token import roll_back
    from workers.reading import registered, view_of

    gateways = without_queue(settings)
    view = view_of(gateways, repository, model)
    pull = roll_back(view, registered(gateways, model), version, environment)
    tell(view, pull, wait=wait, timeout=timeout, as_json=as_json)
