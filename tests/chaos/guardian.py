"""Ends everything that a run started, however the run ended: SIGKILL leaves it no time to do so itself.

A process beside the run waits until the run's end of a pipe is closed, which the system does for the dead too.
PR_SET_PDEATHSIG would not do: it follows the thread that started a process, and here threads restart servers.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil

from tests.chaos.valkey import unmount
from tests.processes import ROOT

MARK: Final = "PROMOTION_CHAOS"  # the environment variable by which a run's processes are known


@contextmanager
def guarded(disk: Path) -> Iterator[None]:
    """What is started within the context is ended with it, or with this process; `disk` is unmounted then."""
    mark = uuid.uuid4().hex
    command = [sys.executable, "-m", "tests.chaos.guardian", mark, str(disk)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, start_new_session=True):
        os.environ[MARK] = mark
        try:
            yield
        finally:
            del os.environ[MARK]


def _end(mark: str) -> None:
    """SIGKILL for all that are marked."""
    marked = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == mark:
                process.kill()
                marked.append(process)
    psutil.wait_procs(marked, 60)


if __name__ == "__main__":
    sys.stdin.read()
    _end(sys.argv[1])
    unmount(Path(sys.argv[2]))
