"""`promotion-bot status`: what is live, proposed, held, drifting."""

from __future__ import annotations

import click

from bot.cli import options, output
from bot.domain.plain import to_plain
from bot.settings import Needs


@click.command("status", help="What is live, proposed, held, drifting.")
@click.argument("model", default="")
@output.repository
@output.as_json
def command(model: str, repository: str | None, as_json: bool) -> None:
    """Print the board of a repository, or of one model."""
    settings = options.prepared(Needs.GITHUB | Needs.REGISTRY)
    from bot.wiring import without_queue
    from workers.board import board
    from workers.reading import view_of

    cells = board(view_of(without_queue(settings), repository, model), model)
    if as_json:
        output.print_json([to_plain(cell) for cell in cells])
        return
    rows = [
        (
            cell.model,
            cell.environment,
            f"v{cell.live.version} ({cell.live.release})" if cell.live else "–",
            f"{cell.since:%Y-%m-%d %H:%M} UTC" if cell.since else "–",
            ", ".join(f"v{p.version} in #{p.pull_request}" for p in cell.proposed) or "–",
            "; ".join([*([f"held: {cell.hold}"] if cell.hold else []), *cell.notes]) or "–",
        )
        for cell in cells
    ]
    output.print_table(("Model", "Environment", "Live", "Since", "Proposed", "Notes"), rows, "No models.")
