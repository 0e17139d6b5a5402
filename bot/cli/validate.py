"""`promotion-bot validate`: what an environment's policy says of a version, now."""

from __future__ import annotations

import sys

import click

from bot.cli import EXIT_REFUSED, EXIT_UNREACHABLE, options, output
from bot.settings import Needs
from policies.verdict import Status


@click.command("validate", help="What an environment's policy says of a version; exit code 1 unless it passes.")
@click.argument("model")
@click.argument("version", type=options.version)
@click.option("--environment", required=True, help="The environment to judge for.")
@output.repository
@output.as_json
def command(model: str, version: int, environment: str, repository: str | None, as_json: bool) -> None:
    """Evaluate and print the verdict; nothing is changed."""
    settings = options.prepared(Needs.GITHUB | Needs.REGISTRY)
    from bot.wiring import without_queue
    from workers.explain import explained

    (found,) = explained(without_queue(settings), model, version, repository, environment)
    if as_json:
        output.print_json(found.to_dict())
    else:
        rows = [(o.check, o.status, o.measured, o.required, o.remedy or "–") for o in found.verdict.outcomes]
        title = f"{model} v{version} for {environment}: {found.verdict.status}"
        output.print_table(("Check", "Outcome", "Measured", "Required", "What to do"), rows, title, title)
    # What can only run on a pull request does not keep a version from being proposed.
    match found.verdict.status_before_proposal:
        case Status.PASS:
            sys.exit(0)
        case Status.ERROR:
            sys.exit(EXIT_UNREACHABLE)
        case _:
            sys.exit(EXIT_REFUSED)
