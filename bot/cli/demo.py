"""`promotion-bot demo`: the whole story on this machine."""

from __future__ import annotations

import click
from rich.console import Console

from bot.cli import interrupts
from bot.domain.errors import Misconfigured


@click.command("demo", help="The whole story on this machine: real models, a real registry, a local GitHub stand-in.")
@click.option("--keep", is_flag=True, help="Leave everything running at the end, and print the addresses.")
def command(keep: bool) -> None:
    """Tell the story; anything that does not happen within its time limit is an error."""
    try:
        from bot.sandbox.demo import run
    except ImportError as error:
        raise Misconfigured(
            f"the demo needs more packages ({error.name}): pip install 'promotion-bot[demo]'"
        ) from error
    with interrupts.in_order():
        run(Console(), keep=keep)
