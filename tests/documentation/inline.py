"""Commands that stand within sentences and tables: too short to be run, and wrong all the same if they name nothing."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator

import click

from bot.cli import cli
from tests.documentation.pages import ROOT

TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def wrong(code: str) -> Iterator[str]:
    """What a command of the product, of its Makefile or of its modules names that is not there."""
    try:
        words = shlex.split(code)
    except ValueError:  # no command: a piece of code or text
        return
    match words:
        case ["make", *targets]:
            yield from (word for word in targets if "=" not in word and word not in TARGETS)
        case ["promotion-bot", *arguments]:
            yield from _wrong_arguments(cli, arguments)
        case ["python", "-m", module, *_] if module.split(".")[0] in (
            "bot",
            "policies",
            "workers",
            "tests",
            "benchmarks",
        ):
            if importlib.util.find_spec(module) is None:
                yield module


def _wrong_arguments(command: click.Command, arguments: list[str]) -> Iterator[str]:
    if isinstance(command, click.Group):
        if not arguments:
            return
        below = command.get_command(click.Context(command), arguments[0])
        yield from [arguments[0]] if below is None else _wrong_arguments(below, arguments[1:])
        return
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    given = (word.partition("=")[0] for word in arguments if word.startswith("-"))
    yield from (option for option in given if option not in known | {"-h", "--help"})
