"""`promotion-bot sync`: the files of promoted versions in a second store too."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from bot.cli import EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_USAGE, interrupts, options, output
from bot.settings import Needs

if TYPE_CHECKING:
    from workers.copying import Result


@click.command("sync", help="Copy the files of promoted versions to a second store; nothing is removed there.")
@click.option("--to", "target", required=True, metavar="URI", help="A directory, s3://, gs:// or wasbs://.")
@click.option("--environment", "environments", multiple=True, help="Only what is in it; may be given several times.")
@click.option("--history", is_flag=True, help="Whatever the manifest named before as well.")
@click.option(
    "--check",
    type=click.Choice(["content", "presence"]),
    default="content",
    show_default=True,
    help="Whether what is there already is read and digested, or only looked for.",
)
@output.repository
@output.as_json
def command(
    target: str, environments: tuple[str, ...], history: bool, check: str, repository: str | None, as_json: bool
) -> None:
    """Say a line for each version as it is done; the exit code is that of the worst outcome."""
    if not target:
        raise click.UsageError("--to is empty")
    settings = options.prepared(Needs.REGISTRY | Needs.GITHUB)
    from bot.gateways.artifacts.copies import Check, Copies
    from bot.gateways.artifacts.opening import open_place
    from bot.wiring import without_queue
    from workers.copying import Outcome, Span, copy_each, promoted
    from workers.reading import expect_environment, view_of

    gateways = without_queue(settings)
    span = Span.EVER if history else Span.NOW
    results: list[Result] = []
    try:
        with interrupts.in_order():
            copies = Copies(open_place(target), Check(check))
            for name in [repository] if repository else settings.repositories:
                view = view_of(gateways, name)
                for environment in environments:
                    expect_environment(view, environment)
                for result in copy_each(gateways, promoted(view, environments, span), copies):
                    results.append(result)
                    if not as_json:
                        output.say(_line(result))
    except (KeyboardInterrupt, SystemExit):
        output.say("interrupted; what is whole at the second store stays, and the same command goes on", err=True)
        raise
    outcomes = [result.outcome for result in results]
    if as_json:
        output.print_json({"to": target, "versions": [result.to_dict() for result in results]})
    else:
        counted = (f"{outcomes.count(each)} {each.value}" for each in Outcome if each in outcomes)
        plural = "" if len(results) == 1 else "s"
        output.say(f"{len(results)} version{plural}: {', '.join(counted) or 'nothing is promoted'}")
    codes = {
        Outcome.REFUSED: EXIT_REFUSED,
        Outcome.MISCONFIGURED: EXIT_USAGE,
        Outcome.UNREACHABLE: EXIT_UNREACHABLE,
    }
    sys.exit(max((codes.get(outcome, 0) for outcome in outcomes), default=0))


def _line(result: Result) -> str:
    entry, copied = result.promoted.entry, result.copied
    where = ", ".join(result.promoted.environments)
    line = f"{result.promoted.model} v{entry.version} ({where}, {entry.digest[:19]}…): {result.outcome.value}"
    if result.problem:
        return f"{line}: {result.problem}"
    if copied.mended:
        line += f", {copied.mended} damaged"
    plural = "" if copied.files == 1 else "s"
    return f"{line}, {copied.files} file{plural}, {copied.bytes:,} bytes written" if copied.files else line
