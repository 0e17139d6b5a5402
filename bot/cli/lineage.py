"""`promotion-bot lineage`: where a version comes from and where it went."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import click

from bot.cli import options, output
from bot.settings import Needs

_WORDS: Final = frozenset({"pull_requests", "same_parent_run", "same_data", "copied_from"})
_MOST_SHOWN: Final = 20  # of a long family; `--json` has them all
_LONGEST_SHOWN: Final = 300  # characters of a value, such as a parameter that is a whole prompt


@click.command("lineage", help="Where a version comes from: data, code, run; where it went; its parents and siblings.")
@click.argument("model")
@click.argument("version", type=options.version)
@output.as_json
def command(model: str, version: int, as_json: bool) -> None:
    """Print a version's lineage as a tree."""
    settings = options.prepared(Needs.REGISTRY)
    from bot.wiring import without_queue
    from workers.lineage import read_lineage
    from workers.reading import registered, version_of

    gateways = without_queue(settings)
    known = registered(gateways, model)
    found = read_lineage(gateways.registry, known, version_of(known, version)).to_dict()
    if as_json:
        output.print_json(found)
        return
    title = f"{found.pop('model')} v{found.pop('version_number')}"
    output.print_tree(title, _shown(found))


def _shown(branches: Mapping[str, Any]) -> dict[str, Any]:
    """The branches as a terminal has room for them: words instead of names, and a part of what is long."""
    return {name.replace("_", " ") if name in _WORDS else name: _value(value) for name, value in branches.items()}


def _value(value: Any) -> Any:  # noqa: ANN401 - JSON values
    if isinstance(value, Mapping):
        return _shown(value) if value else "not recorded"
    if isinstance(value, list) and len(value) > _MOST_SHOWN:
        return [*value[-_MOST_SHOWN:], f"and {len(value) - _MOST_SHOWN} older ones"]
    if isinstance(value, str) and len(value) > _LONGEST_SHOWN:
        return f"{value[: _LONGEST_SHOWN - 1]}…"
    return value
