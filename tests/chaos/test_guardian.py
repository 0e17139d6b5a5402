"""A run that is killed leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil

from tests.conftest import wait_until
from tests.processes import ROOT

RUN = """
import subprocess, sys, threading
from pathlib import Path
from tests.chaos.guardian import guarded

with guarded(Path(sys.argv[1])):
    def start():
        child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import signal; signal.pause()'])"
        print(subprocess.Popen([sys.executable, "-c", child], start_new_session=True).pid, flush=True)
    thread = threading.Thread(target=start)  # it has ended before the run does
    thread.start()
    thread.join()
    input()
"""


def test_what_a_killed_run_started_is_ended(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RUN, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        child = psutil.Process(int(run.stdout.readline()))
        wait_until(child.children, "the child has a child of its own")
        family = [child, *child.children()]
        run.kill()
        assert psutil.wait_procs(family, 60)[1] == []
