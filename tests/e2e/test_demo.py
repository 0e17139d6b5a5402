from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from bot.sandbox.demo import run
from tests.conftest import wait_until

# Ctrl+C ends what was started there; where tests run in the background, it is ignored by whatever they start.
AT_A_TERMINAL = """
import signal, sys
from bot.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv[1:] = ["demo"]
main()
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_story_with_real_processes_and_webhooks() -> None:
    """What `make demo` tells: it raises at the first step that is not seen in MLflow and on GitHub."""
    told = io.StringIO()
    run(Console(file=told, width=120), keep=False)
    text = told.getvalue()
    for step in (
        "merges #1 into staging by itself",
        "version 1 has the alias champion",
        "version 2 is refused",
        "accuracy-floor: measured 0.76",
        "version 1 is archived",
        "version 3, still live in staging, is in the stage Staging",
        "Every step was seen in MLflow and on GitHub.",
    ):
        assert step in text


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_demo_that_is_stopped_leaves_nothing_behind(tmp_path: Path, sent: signal.Signals, code: int) -> None:
    with demo(tmp_path) as (process, seen):
        made = "promotion-bot-demo-*/mlflow/mlflow.db"
        wait_until(lambda: list(tmp_path.glob(made)), "MLflow starts", 240)
        started = seen.children(recursive=True)
        process.send_signal(sent)
        assert process.wait(60) == code
        _, alive = psutil.wait_procs(started, timeout=60)
        assert alive == []
        assert list(tmp_path.glob("promotion-bot-demo-*")) == []


def test_a_demo_that_is_killed_leaves_nothing_running(tmp_path: Path) -> None:
    with demo(tmp_path) as (process, seen):
        wait_until(lambda: running(seen, "bot.cli up"), "the bot starts", 240)
        (bot,) = running(seen, "bot.cli up")
        wait_until(bot.children, "it starts its own", 240)
        started = seen.children(recursive=True)
        process.kill()
        _, alive = psutil.wait_procs(started, timeout=60)
        assert alive == []


@contextlib.contextmanager
def demo(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], psutil.Process]]:
    """The demo as a process, which keeps what it makes below `folder`."""
    process = subprocess.Popen(
        [sys.executable, "-c", AT_A_TERMINAL],
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process, psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait()


def running(parent: psutil.Process, what: str) -> list[psutil.Process]:
    """What the parent has started of this name."""
    found = []
    for child in parent.children():
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            if what in " ".join(child.cmdline()):
                found.append(child)
    return found
