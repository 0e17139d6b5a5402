"""`python -m benchmarks [NAME…]`: every module here that has a `run`, as one table."""

from __future__ import annotations

import pkgutil
import sys
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.table import Table


def main() -> None:
    wanted = sys.argv[1:]
    table = Table("benchmark", "what", "measured")
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if module.name == "__main__" or (wanted and module.name not in wanted):
            continue
        run = getattr(import_module(f"benchmarks.{module.name}"), "run", None)
        for what, measured in run() if run else ():
            table.add_row(module.name, what, measured)
    Console().print(table)


main()
