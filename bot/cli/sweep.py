"""`promotion-bot sweep`: look at everything once, now."""

from __future__ import annotations

import click

from bot.cli import options, output
from bot.domain.keys import RepositoryKey


@click.command("sweep", help="Look at everything once, now.")
@output.as_json
def command(as_json: bool) -> None:
    """Queue every served repository; a running worker does the rest."""
    settings = options.with_shared_queue(options.prepared(), "sweep")
    from workers.execution import open_queue

    open_queue(settings).request(*(RepositoryKey(repository) for repository in settings.repositories))
    if as_json:
        output.print_json({"queued": list(settings.repositories)})
    else:
        output.say(f"queued: {', '.join(settings.repositories)}")
