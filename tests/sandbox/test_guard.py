"""What the demo and the tests start ends with them, whatever they are ended by."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil

from bot.sandbox.guard import Guard
from tests.conftest import wait_until

ROOT = Path(__file__).parents[2]
SERVER = "sleep 600 & sleep 600"  # that starts a process of its own
PROGRAM = f"""
import subprocess, time
from bot.sandbox.guard import Guard
server = subprocess.Popen(["/bin/sh", "-c", "{SERVER}"], start_new_session=True)
guard = Guard(server.pid)
print(server.pid, flush=True)
time.sleep(600)
"""


def test_a_server_and_what_it_started_end_with_the_program_that_started_it() -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=ROOT, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        server = psutil.Process(int(program.stdout.readline()))
        wait_until(lambda: len(server.children()) == 2, "it starts its own")
        family = [server, *server.children()]
        program.kill()
    _, alive = psutil.wait_procs(family, timeout=60)
    assert alive == []


def test_a_server_that_was_released_goes_on() -> None:
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as server:
        Guard(server.pid).release()  # returns when nobody watches any more
        assert server.poll() is None
        server.kill()
