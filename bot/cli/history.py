"""`promotion-bot history`: who promoted what, when, why, on what evidence."""

from __future__ import annotations

import click

from bot.cli import options, output
from bot.settings import Needs


@click.command("history", help="Who promoted what, when, why, on what evidence.")
@click.argument("model")
@click.option("--environment", help="One environment.  [default: each]")
@output.repository
@output.as_json
def command(model: str, environment: str | None, repository: str | None, as_json: bool) -> None:
    """Print every change of a model's entries, newest first, from git and MLflow alone."""
    settings = options.prepared(Needs.GITHUB | Needs.REGISTRY)
    from bot.wiring import without_queue
    from workers.history import history
    from workers.reading import expect_environment, view_of

    gateways = without_queue(settings)
    view = view_of(gateways, repository, model)
    name = expect_environment(view, environment) if environment else None
    found = history(view, gateways.registry.model(model), model, name)
    if as_json:
        output.print_json([each.to_dict() for each in found])
        return
    rows = [
        (
            f"{each.at:%Y-%m-%d %H:%M} UTC",
            each.environment,
            f"{_version(each.before)} → {_version(each.after)}",
            each.by or "–",
            each.commit[:10],
            each.message,
            "; ".join([*(f"overridden {override}" for override in each.overrides), each.evidence]) or "–",
        )
        for each in found
    ]
    header = ("When", "Environment", "Change", "By", "Commit", "Why", "Evidence")
    output.print_table(header, rows, f"{model} was never promoted.")


def _version(entry: object) -> str:
    return f"v{entry.version}" if entry is not None and hasattr(entry, "version") else "nothing"
