"""How long work shows how far it is: a bar on a terminal, a line now and then elsewhere; always on standard error."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from bot.cli import output

_LINES: Final = 4  # in all, where nobody sees a bar

Told = Callable[[int], None]


@contextmanager
def of_bytes(what: str, total: int) -> Iterator[Told]:
    """Call what it yields with each number of bytes that is done; any thread may."""
    if sys.stderr.isatty():
        yield from _bar(what, total)
    else:
        yield _Lines(what, total).tell


def _bar(what: str, total: int) -> Iterator[Told]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(escape(what), total=total)
        yield lambda count: progress.advance(task, count)


class _Lines:
    """A line at each quarter of the way."""

    def __init__(self, what: str, total: int) -> None:
        self._what = what
        self._total = total
        self._done = 0
        self._told = 0
        self._counting = threading.Lock()

    def tell(self, count: int) -> None:
        with self._counting:
            self._done += count
            step = _LINES * self._done // self._total if self._total else _LINES
            if step > self._told:
                self._told = step
                output.say(f"{self._what}: {self._done:,} of {self._total:,} bytes", err=True)
