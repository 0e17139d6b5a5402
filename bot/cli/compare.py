"""`promotion-bot compare`: two versions of a model side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bot.cli import options, output
from bot.domain.errors import Refused
from bot.settings import Needs

if TYPE_CHECKING:
    from bot.domain.comparison import Comparison


@click.command("compare", help="Two versions of a model side by side.")
@click.argument("model")
@click.argument("before", type=options.version)
@click.argument("after", type=options.version)
@click.option("--markdown", is_flag=True, help="Print Markdown.")
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="Draw the metrics to a PNG file as well.")
@output.as_json
def command(model: str, before: int, after: int, markdown: bool, plot: Path | None, as_json: bool) -> None:
    """Print metrics, params, data, size and signature of two versions."""
    if markdown and as_json:
        raise click.UsageError("say one of --markdown and --json")
    if plot is not None and plot.suffix.lower() != ".png":
        raise click.UsageError(f"--plot draws a PNG; name the file {plot.with_suffix('.png')}")
    settings = options.prepared(Needs.REGISTRY)
    from bot.wiring import without_queue
    from workers.comparison import compared, sized
    from workers.reading import registered

    gateways = without_queue(settings)
    known = registered(gateways, model)
    found = sized(compared(gateways.registry, known, (before, after)), gateways.artifacts, known)
    if plot is not None:
        _draw(found, plot)
    if as_json:
        output.print_json(found.to_dict())
    elif markdown:
        from bot.comments.replies import compared as as_markdown

        output.say(*as_markdown(found).splitlines())
    else:
        _print(found)


def _print(found: Comparison) -> None:
    parts = (("metric", found.metrics), ("param", found.params), ("data", found.data), ("size", found.size))
    rows = [(what, row.name, _shown(row.before), _shown(row.after)) for what, part in parts for row in part]
    header = ("", "Name", f"v{found.before}", f"v{found.after}")
    output.print_table(header, rows, "Neither has metrics or params.", found.model)
    same = "the same" if found.has_signature else "neither has one"
    output.say(*(f"signature: {text}" for text in found.signature or (same,)))


def _draw(found: Comparison, plot: Path) -> None:
    """A bar for each version beside the other, metric by metric."""
    from bot.cli.plot import draw

    try:
        draw(found, plot)
    except OSError as error:
        raise Refused(f"{plot} cannot be written: {error.strerror or error}") from error


def _shown(value: float | str | None) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) else "–" if value is None else value
