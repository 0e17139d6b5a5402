"""`promotion-bot drift`: where the registry differs from what was merged."""

from __future__ import annotations

import sys

import click

from bot.cli import EXIT_REFUSED, options, output
from bot.settings import Needs


@click.command("drift", help="Where the registry differs from what was merged; exit code 1 where it does.")
@click.argument("model", default="")
@output.repository
@output.as_json
def command(model: str, repository: str | None, as_json: bool) -> None:
    """Print what drifted; nothing is changed."""
    settings = options.prepared(Needs.GITHUB | Needs.REGISTRY)
    from bot.wiring import without_queue
    from workers.board import drifted
    from workers.reading import view_of

    found = drifted(view_of(without_queue(settings), repository, model), model)
    if as_json:
        output.print_json([{"model": m, "environment": e, "what": what} for m, e, what in found])
    else:
        output.print_table(("Model", "Environment", "What"), found, "The registry is as the manifest says.")
    sys.exit(EXIT_REFUSED if found else 0)
