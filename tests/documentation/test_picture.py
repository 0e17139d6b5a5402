"""The picture of a pull request in the README: made of what the bot writes, and no older than that."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from bot.sandbox.github import SandboxPull
from bot.settings import Secret
from docs.hooks.diagrams import MERMAID
from tests.documentation.picture import page
from tests.e2e.house import house
from tests.tools import is_missing

# What the picture shows, to notice that it is out of date.
SHOWN = Path(__file__).parent / "golden" / "pull_request.md"
MAKE_ANEW = "the picture is out of date: PICTURES=docs/images make test ARGS=tests/documentation/test_picture.py"
MODEL = "fraud-detector"


@pytest.fixture(scope="module")
def pull(registry_url: str, cache_url: Secret) -> Iterator[SandboxPull]:
    """A second version is proposed for production, and one of two people has approved it."""
    with house(registry_url, cache_url, model=MODEL) as built:
        first = {"git_commit": "5d41c02a9be7416cb0d9", "data_version": "2026-10"}
        built.to_production(built.register(0.934, tags=first, f1_score=0.912, latency_p95_ms=41.0))
        second = {"git_commit": "9f3b6e1c84a25d70f1e2", "data_version": "2026-11"}
        version = built.register(0.947, tags=second, f1_score=0.921, latency_p95_ms=38.5)
        built.event()
        proposed = built.proposed("production", version)
        proposed.approve("alice")
        built.settle()
        yield proposed


def test_the_picture_shows_what_the_bot_writes(pull: SandboxPull) -> None:
    wrote = re.sub(r"\b[0-9a-f]{12,}\b|\d{4}-\d\d-\d\d \d\d:\d\d", "…", f"# {pull.title}\n\n{pull.body}")
    if os.environ.get("PICTURES"):
        SHOWN.write_text(wrote)
    assert wrote == SHOWN.read_text(), MAKE_ANEW


def test_the_pull_request_is_seen_as_on_github(pull: SandboxPull, chromium: Browser, tmp_path: Path) -> None:
    """In a real browser, with its diagrams drawn; kept where `PICTURES` names a folder."""
    if not MERMAID.is_file():
        is_missing("mermaid", "there is no Mermaid that draws the diagrams")
    seen = chromium.new_page(viewport={"width": 1000, "height": 900}, device_scale_factor=1.25)
    seen.set_content(page(pull))
    seen.add_script_tag(path=str(MERMAID))
    seen.evaluate("mermaid.initialize({startOnLoad: false, theme: 'neutral'}); mermaid.run()")
    expect(seen.locator("pre.mermaid svg")).to_have_count(2)
    for said in ("passed every required check", "beats-champion", "What merging does", "promotion/approvals", "+"):
        expect(seen.locator("#page").get_by_text(said).first).to_be_visible()
    folder = Path(os.environ.get("PICTURES") or tmp_path)
    seen.locator("#page").screenshot(path=str(folder / "pull-request-whole.png"))
    lineage = seen.get_by_role("heading", name="Lineage").bounding_box()
    assert lineage is not None
    upper = {"x": 0, "y": 0, "width": 1000, "height": lineage["y"] - 4}
    seen.screenshot(path=str(folder / "pull-request.png"), clip=upper, full_page=True)
    seen.close()
