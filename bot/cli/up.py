"""`promotion-bot up`: everything in one."""

from __future__ import annotations

import os
import sys

import click

from bot.cli import options


@click.command(
    "up", help="Web service, worker and scheduler in one, with an embedded queue where REDIS_URL is not set."
)
@options.address
def command(host: str, port: int) -> None:
    """Run web, scheduler and workers until told to stop."""
    settings = options.prepared()
    options.expect_free(host, port)
    options.expect_free_for_metrics(host, settings)
    from workers.process import Supervisor, add_workers, export

    with options.queue_of_its_own(settings) as shared, Supervisor() as supervisor:
        export(shared)
        supervisor.add("web", lambda: _become_web(host, port))
        add_workers(supervisor, shared, workers=2)
        supervisor.wait()


def _become_web(host: str, port: int) -> None:
    """Replace the process, so that the web service is as small as it is alone."""
    arguments = ["-m", "bot.cli", "web", "--host", host, "--port", str(port)]
    os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606 - no shell is wanted
