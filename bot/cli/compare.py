"""`promotion-bot compare`: two versions of a model side by side."""

from __future__ import annotations

import click

from bot.cli import options, output
from bot.settings import Needs


@click.command("compare", help="Two versions of a model side by side.")
@click.argument("model")
@click.argument("before", type=click.IntRange(1))
@click.argument("after", type=click.IntRange(1))
@output.as_json
def command(model: str, before: int, after: int, as_json: bool) -> None:
    """Print metrics, params and signature of two versions."""
    settings = options.prepared(Needs.REGISTRY)
    from bot.wiring import without_queue
    from workers.comparison import compared
    from workers.reading import registered

    gateways = without_queue(settings)
    found = compared(gateways.registry, registered(gateways, model), (before, after))
    if as_json:
        output.print_json(found.to_dict())
        return
    header = ("Name", f"v{before}", f"v{after}")
    rows = [(row.name, _shown(row.before), _shown(row.after)) for row in found.metrics]
    rows += [(row.name, _shown(row.before), _shown(row.after)) for row in found.params]
    output.print_table(header, rows, "Neither has metrics or params.", model)
    click.echo("\n".join(f"signature: {text}" for text in found.signature) or "signature: the same")


def _shown(value: float | str | None) -> str:
    return "–" if value is None else f"{value:.6g}" if isinstance(value, float) else value
