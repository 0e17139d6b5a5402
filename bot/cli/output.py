"""How commands print what they found: a table for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
repository = click.option("--repository", help="The deploy repository.  [default: the one that owns the model]")


def print_json(value: Any) -> None:  # noqa: ANN401 - JSON values
    """JSON as programs read it and people can."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def print_tree(title: str, branches: Mapping[str, Any]) -> None:
    """Nested values as a tree; nothing in it is read as markup."""
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    tree = Tree(Text(title))

    def grow(at: Tree, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            if isinstance(value, Mapping):
                grow(at.add(Text(name)), value)
            else:
                shown = ", ".join(map(str, value)) if isinstance(value, list) else value
                at.add(Text(f"{name}: {shown if shown not in (None, '') else '–'}"))

    grow(tree, branches)
    Console().print(tree)


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]], empty: str, title: str = "") -> None:
    """A table on the terminal; `empty` where there is no row. Nothing in a cell is read as markup."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        click.echo(empty)
        return
    table = Table(*header, title=title or None, title_justify="left")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    console = Console()
    # Plain lines elsewhere than on a terminal, which would otherwise be cut at 80 columns.
    if not console.is_terminal:
        console = Console(width=max(console.width, 200))
    console.print(table)
