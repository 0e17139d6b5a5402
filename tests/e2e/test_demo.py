from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
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
    demo = subprocess.Popen(
        [sys.executable, "-c", AT_A_TERMINAL],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    seen = psutil.Process(demo.pid)
    try:
        wait_until(lambda: [c for c in seen.children() if "mlflow" in " ".join(c.cmdline())], "MLflow starts", 60)
        started = seen.children(recursive=True)
        demo.send_signal(sent)
        assert demo.wait(60) == code
        _, alive = psutil.wait_procs(started, timeout=10)
        assert alive == []
        assert list(tmp_path.glob("promotion-bot-demo-*")) == []
    finally:
        demo.kill()
