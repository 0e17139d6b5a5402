"""The command line: one file a command, imported only when it is used, so that `--help` is quick."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Final

import click

from bot.cli.output import say
from bot.domain.errors import Misconfigured, PromotionError, Refused, Unreachable

_COMMANDS: Final[Mapping[str, str]] = {
    "app": "The GitHub App that the bot is, made by one click.",
    "compare": "Two versions of a model side by side.",
    "demo": "The whole story on this machine: real models, a real registry, a local GitHub stand-in.",
    "doctor": "Check every credential, permission, webhook and file; say what to mend.",
    "download": "A model's files, verified against the manifest's digest.",
    "drift": "Where the registry differs from what was merged.",
    "history": "Who promoted what, when, why, on what evidence.",
    "init": "The first pull request of a deploy repository: what is live today, and a pipeline to begin with.",
    "lineage": "Where a version comes from and where it went.",
    "policy": "Check, test, explain and backtest policies.",
    "promote": "Open the pull request for a version under your own GITHUB_TOKEN.",
    "register": "A run's model as a version, with its lineage.",
    "rollback": "Open the pull request that goes back, under your own GITHUB_TOKEN.",
    "status": "What is live, proposed, held, drifting.",
    "sweep": "Look at everything once, now.",
    "sync": "The files of promoted versions in a second store too.",
    "up": "Web service, worker and scheduler in one, with an embedded queue where REDIS_URL is not set.",
    "validate": "What an environment's policy says of a version.",
    "web": "The web service: webhooks, health, metrics.",
    "webhooks": "The MLflow webhook.",
    "worker": "The worker and its scheduler.",
}
EXIT_REFUSED: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNREACHABLE: Final = 3


class _Commands(click.Group):
    """Lists the commands without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"bot.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(sorted(_COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("promotion-bot"), prog_name="promotion-bot")
def cli() -> None:
    """Promotes machine-learning models by reviewed pull requests: from the MLflow registry to production."""


def main() -> None:
    """Run the command line; exit 0 done, 1 refused, 2 wrong usage or settings, 3 something was unreachable."""
    try:
        cli(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(EXIT_USAGE)
    except click.exceptions.Abort:
        sys.exit(130)
    except PromotionError as error:
        say(*f"promotion-bot: {error}".splitlines(), err=True)
        sys.exit(exit_code(error))


def exit_code(error: PromotionError) -> int:
    """The exit code that says what kind of failure it was."""
    match error:
        case Unreachable():
            return EXIT_UNREACHABLE
        case Misconfigured():
            return EXIT_USAGE
        case Refused() | _:
            return EXIT_REFUSED
