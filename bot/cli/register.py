"""`promotion-bot register`: a run's model as a version, with its lineage."""

from __future__ import annotations

import sys
import time

import click

from bot.cli import EXIT_UNREACHABLE, options, output
from bot.settings import Needs

POLL = 1.0  # seconds between two looks at a version that is not ready


def _pairs(_context: click.Context, _option: click.Parameter, said: tuple[str, ...]) -> dict[str, str]:
    """`KEY=VALUE`, each."""
    pairs = {}
    for text in said:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"“{text}” is not KEY=VALUE; for example: team=risk")
        pairs[key] = value
    return pairs


@click.command("register", help="Register a run's model as a version, with the run's lineage; the same run only once.")
@click.argument("run_id")
@click.argument("model")
@click.option("--path", help="Which model, by its name in the run or its id.  [default: the only one]")
@click.option("--description", help="What is new in it.")
@click.option(
    "--tag",
    "tags",
    multiple=True,
    callback=_pairs,
    metavar="KEY=VALUE",
    help="A tag of the version; may be given several times.",
)
@click.option("--wait", is_flag=True, help="Wait until MLflow has all of its files.")
@click.option("--timeout", default=300, show_default=True, type=click.IntRange(1), help="Seconds to wait.")
@output.as_json
def command(
    run_id: str,
    model: str,
    path: str | None,
    description: str | None,
    tags: dict[str, str],
    wait: bool,
    timeout: int,
    as_json: bool,
) -> None:
    """Say the version's number; where the run's model was registered before, that version's."""
    settings = options.prepared(Needs.REGISTRY)
    from bot.domain.versions import VersionStatus
    from bot.gateways.registration import Wish, register, wait_until_ready
    from bot.wiring import without_queue

    registry = without_queue(settings).registry
    registered = register(registry, Wish(run_id, model, path, description, tags))
    version = registered.version
    if wait:
        deadline = time.monotonic() + timeout

        def pause() -> bool:
            time.sleep(POLL)
            return time.monotonic() < deadline

        version = wait_until_ready(registry, registered, pause)
    if as_json:
        output.print_json(
            {
                "model": model,
                "version": version.version,
                "new": registered.is_new,
                "status": version.status.value,
                "source": version.source,
                "run_id": run_id,
                "tags": dict(registered.tags),
            }
        )
    else:
        said = "registered from" if registered.is_new else "there already, from"
        output.say(f"{model} v{version.version}: {said} run {run_id}")
        for key, value in registered.tags.items():
            output.say(f"  {key}: {value}")
    if wait and version.status is not VersionStatus.READY:
        output.say(f"promotion-bot: it is not ready after {timeout} s", err=True)
        sys.exit(EXIT_UNREACHABLE)
