"""A tool that no wheel brings: its absence is a failure where it was brought, elsewhere a skip that says what to do."""

from __future__ import annotations

import pytest

from tests.tools import BROUGHT, is_missing


def test_a_tool_that_was_brought_and_is_missing_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BROUGHT, "browser emulators")
    with pytest.raises(pytest.fail.Exception, match=r"no Azurite \(`make emulators` brings it\)"):
        is_missing("emulators", "no Azurite")


def test_a_tool_that_nobody_brought_is_a_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BROUGHT, "browser")
    with pytest.raises(pytest.skip.Exception, match=r"no Azurite \(`make emulators` brings it\)"):
        is_missing("emulators", "no Azurite")
