"""A headless Chromium, for the tests that look at pages as people do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.tools import is_missing

INSTALL = "apt-get install --no-install-recommends chromium, or set CHROMIUM to the path of one"
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        is_missing("browser", f"there is no Chromium: {INSTALL}")
    expect.set_options(timeout=60_000)  # a machine that others share
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=arguments, timeout=180_000)
        yield browser
        browser.close()
