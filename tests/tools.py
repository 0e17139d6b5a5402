"""Programs that some tests need and that no wheel brings."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

# `.ci/run` names those that it has brought; there a missing one is a failure.
BROUGHT = "PROMOTION_TEST_TOOLS"


def is_missing(tool: str, what_to_do: str) -> NoReturn:
    """End a test that needs a tool which is not there; `tool` is the make target that brings it."""
    message = f"{what_to_do} (`make {tool}` brings it)"
    if tool in os.environ.get(BROUGHT, "").split():
        pytest.fail(message)
    pytest.skip(message)
