"""What the demo and the tests start ends with them, whatever they are ended by."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import requests

from bot.sandbox.mlflow_server import MlflowServer
from tests.conftest import wait_until

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys, time
from pathlib import Path
from bot.sandbox.mlflow_server import MlflowServer
with MlflowServer(Path(sys.argv[1])) as server:
    print(server.url, flush=True)
    time.sleep(600)
"""


def test_a_server_ends_with_the_program_that_started_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        url = program.stdout.readline().strip()
        assert answers(url)
        program.kill()
    wait_until(lambda: not answers(url), "nothing answers any more", 30)


def test_a_server_that_was_stopped_is_guarded_no_more(tmp_path: Path) -> None:
    with MlflowServer(tmp_path) as server:
        server.restart()
        assert answers(server.url)
    assert not answers(server.url)


def answers(url: str) -> bool:
    with contextlib.suppress(requests.ConnectionError):
        return requests.get(f"{url}/health", timeout=5).ok
    return False
