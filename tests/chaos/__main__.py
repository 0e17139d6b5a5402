"""`python -m tests.chaos`: real processes, real trouble, then the promises."""

from __future__ import annotations

import argparse
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from tests.chaos.story import Result, Size, run

NOT_TRIED: Final = "[bold red]NOT TRIED[/]"


def main() -> int:
    """Run it once; 1 where a promise was not kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0, help="how long trouble is made (3)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="what happens when")
    parser.add_argument("--versions", type=int, default=200, help="how many are registered meanwhile (200)")
    parser.add_argument("--models", type=int, default=20, help="of how many models (20)")
    parser.add_argument("--rest", type=float, default=10.0, help="the most minutes to come to rest (10)")
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    folder = Path(tempfile.mkdtemp(prefix="promotion-bot-chaos-"))
    console = Console(width=100)
    console.print(f"seed {arguments.seed}, logs in {folder}", highlight=False)
    size = Size(arguments.minutes * 60, arguments.versions, arguments.models, arguments.rest * 60)
    result = run(arguments.seed, size, folder)
    _show(console, result)
    if result.broken:
        console.print(f"seed {arguments.seed} broke {len(result.broken)} promises; the logs stay in {folder}:")
        for what in result.broken:
            console.print(f"  {what}", highlight=False, markup=False)
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    console.print("every promise was kept" + (", as far as this machine lets it be tried" if result.impossible else ""))
    return 0


def _show(console: Console, result: Result) -> None:
    took = f"{result.rested_after:.0f} s" if result.rested_after is not None else "never"
    parts: tuple[tuple[str, Mapping[str, Any]], ...] = (
        ("done to it", dict(sorted(result.done.items())) | dict.fromkeys(result.impossible, NOT_TRIED)),
        ("people", dict(sorted(result.did.items()))),
        ("came out", result.came_out),
        ("time", {"of trouble": f"{result.seconds:.0f} s", "to come to rest": took}),
    )
    table = Table("", "what", "count")
    for name, rows in parts:
        for number, (what, count) in enumerate(rows.items()):
            table.add_row(name if number == 0 else "", what, str(count))
        table.add_section()
    console.print(table)
    for name in result.impossible:
        console.print(f"[bold red]NOT TRIED: {name}[/]: the rights for it are missing here; it needs root, or sudo")
    for twin in result.explained:
        console.print(f"the queue was lost: {twin}", highlight=False, markup=False)


if __name__ == "__main__":
    sys.exit(main())
