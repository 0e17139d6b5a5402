from __future__ import annotations

import io

import pytest
from rich.console import Console

from bot.sandbox.demo import run


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
