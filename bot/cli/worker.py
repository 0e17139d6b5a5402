"""`promotion-bot worker`: the worker and its scheduler alone."""

from __future__ import annotations

import click

from bot.cli import options


@click.command("worker", help="The worker and its scheduler. Needs REDIS_URL, MLflow and GitHub.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 64), help="How many looks run at once.")
def command(workers: int) -> None:
    """Take jobs until told to stop."""
    from workers.execution import NEEDS
    from workers.process import Supervisor, add_workers

    settings = options.with_shared_queue(options.prepared(NEEDS), "worker")
    with Supervisor() as supervisor:
        add_workers(supervisor, settings, workers)
        supervisor.wait()
