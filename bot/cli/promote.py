"""`promotion-bot promote`: opens the manifest's pull request under the caller's own token."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from bot.cli import EXIT_REFUSED, EXIT_UNREACHABLE, options, output
from bot.settings import Needs

if TYPE_CHECKING:
    from bot.domain.pull_requests import Check, PullRequest
    from workers.repository_view import RepositoryView

POLL = 2.0  # seconds between two looks at the checks

wait = click.option("--wait", is_flag=True, help="Follow the checks until the policy has spoken.")
timeout = click.option(
    "--timeout", default=1800, show_default=True, type=click.IntRange(1), help="Seconds to follow them."
)


@click.command("promote", help="Open the pull request for a version under your own GITHUB_TOKEN.")
@click.argument("subject", metavar="MODEL[@VERSION]")
@click.option("--environment", "--to", help="Where to.  [default: the first environment that lacks the version]")
@output.repository
@wait
@timeout
@output.as_json
def command(
    subject: str, environment: str | None, repository: str | None, wait: bool, timeout: int, as_json: bool
) -> None:
    """Propose a version as the person whose token GITHUB_TOKEN is."""
    model, at, said = subject.rpartition("@")
    model, number = (model, options.version(said)) if at else (subject, None)
    settings = options.prepared(Needs.OWN_TOKEN | Needs.REGISTRY)
    from bot.wiring import without_queue
    from workers.own_token import promote
    from workers.reading import registered, view_of

    gateways = without_queue(settings)
    view = view_of(gateways, repository, model)
    pull = promote(view, registered(gateways, model), number, environment)
    tell(view, pull, wait=wait, timeout=timeout, as_json=as_json)


def tell(view: RepositoryView, pull: PullRequest, *, wait: bool, timeout: int, as_json: bool) -> None:
    """Say which pull request was opened, follow its checks where asked, and end with what the policy said."""
    from bot.domain.pull_requests import CheckState
    from workers.own_token import follow

    checks: dict[str, str] = {}
    if not as_json:
        output.say(f"#{pull.number} {pull.title}", pull.url)
    state = CheckState.SUCCESS
    if wait:
        deadline = time.monotonic() + timeout

        def changed(check: Check) -> None:
            checks[check.name] = check.state.value
            if not as_json:
                output.say(f"{check.name}: {check.state.replace('_', ' ')}: {check.title}")

        def pause() -> bool:
            time.sleep(POLL)
            return time.monotonic() < deadline

        followed = follow(view, pull, changed, pause)
        pull, state = followed.pull, followed.policy
    if as_json:
        output.print_json({"pull_request": pull.number, "url": pull.url, "checks": checks})
    if state is CheckState.IN_PROGRESS and not pull.is_open:
        became = "merged" if pull.merged_at else "closed"
        output.say(f"promotion-bot: #{pull.number} was {became} before the policy had spoken", err=True)
        sys.exit(EXIT_REFUSED)
    if state is CheckState.IN_PROGRESS:
        output.say("promotion-bot: the policy has not spoken yet; the pull request stays open", err=True)
        sys.exit(EXIT_UNREACHABLE)
    sys.exit(0 if state is CheckState.SUCCESS else EXIT_REFUSED)
