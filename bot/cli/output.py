"""How commands print what they found: a table for people, JSON for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from bot.printable import printable

if TYPE_CHECKING:
    from rich.text import Text

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
repository = click.option("--repository", help="The deploy repository.  [default: the one that owns the model]")


_LONGEST_LINE: Final = 100_000  # characters


def say(*lines: str, err: bool = False) -> None:
    """Lines for people, each of which stays one, whatever foreign text is in it."""
    click.echo("\n".join(map(printable, lines)), err=err)


def words(value: object, style: str = "") -> Text:
    """Foreign text in a table or tree: no markup, and nothing that a terminal would obey."""
    from rich.text import Text

    return Text(printable(str(value)), style=style)


def print_json(value: Any) -> None:  # noqa: ANN401 - JSON values
    """JSON as programs read it and people can; numbers that JSON does not know are texts, as in MLflow's API."""
    text = json.dumps(_known_to_json(value), ensure_ascii=False, indent=2, allow_nan=False)
    click.echo("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text))


def _known_to_json(value: Any) -> Any:  # noqa: ANN401 - JSON values
    if isinstance(value, Mapping):
        return {name: _known_to_json(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_known_to_json(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def print_tree(title: str, branches: Mapping[str, Any]) -> None:
    """Nested values as a tree; nothing in it is read as markup."""
    from rich.console import Console
    from rich.tree import Tree

    tree = Tree(words(title))

    def grow(at: Tree, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            if isinstance(value, Mapping):
                grow(at.add(words(name)), value)
            else:
                shown = ", ".join(map(str, value)) if isinstance(value, list) else value
                at.add(words(f"{name}: {shown if shown not in (None, '') else '–'}"))

    grow(tree, branches)
    console = Console()
    # A line for each value elsewhere than on a terminal, whatever its length: programs look for them by line.
    if not console.is_terminal:
        console = Console(width=_LONGEST_LINE)
    console.print(tree)


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]], empty: str, title: str = "") -> None:
    """A table on the terminal; `empty` where there is no row. Nothing in a cell is read as markup."""
    from rich.console import Console
    from rich.table import Table

    if not rows:
        say(empty)
        return
    table = Table(title=words(title) if title else None, title_justify="left")
    for name in header:
        table.add_column(words(name))
    for row in rows:
        table.add_row(*map(words, row))
    console = Console()
    # Plain lines elsewhere than on a terminal, which would otherwise be cut at 80 columns.
    if not console.is_terminal:
        console = Console(width=max(console.width, 200))
    console.print(table)
