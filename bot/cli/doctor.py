"""`promotion-bot doctor`: what is wrong with the set-up, and what to mend."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from bot.cli import EXIT_REFUSED, EXIT_UNREACHABLE, options, output

_SIGNS = {"good": "✓", "bad": "✗", "away": "…", "unknown": "?"}


@click.command("doctor", help="Check every credential, permission, webhook and file; say what to mend.")
@output.as_json
def command(as_json: bool) -> None:
    """Look at everything once; exit code 1 where something is wrong, 3 where something does not answer."""
    settings = options.prepared()
    from bot.wiring import without_queue
    from workers.diagnosis import State, diagnose

    found = list(diagnose(without_queue(settings)))
    if as_json:
        output.print_json([asdict(each) for each in found])
    else:
        for each in found:
            output.say(f"{_SIGNS[each.state]} {each.what}: {each.says}")
            if each.mend:
                output.say(f"    → {each.mend}")
    states = {each.state for each in found}
    if State.BAD in states:
        sys.exit(EXIT_REFUSED)
    sys.exit(EXIT_UNREACHABLE if State.AWAY in states else 0)
