"""The documentation as a site: built without a warning, whole, and without another host."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt
from playwright.sync_api import Browser, expect

from docs.hooks.diagrams import MERMAID
from tests.documentation.pages import PAGES, ROOT
from tests.documentation.site import Site, read
from tests.tools import is_missing


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Built as `make docs` builds it, where every warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    built = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stderr
    return Site(folder)


def place(page: str) -> str:
    """Where the site has a page of the repository."""
    path = page.removeprefix("docs/").removesuffix(".md")
    return "index.html" if path == "index" else f"{path.removesuffix('/README')}/index.html"


def navigation() -> list[str]:
    def leaves(item: Any) -> Iterator[str]:
        match item:
            case str():
                yield item
            case dict():
                yield from leaves(list(item.values()))
            case list():
                for each in item:
                    yield from leaves(each)

    # The configuration names functions of the extensions, which a plain reader of YAML refuses.
    text = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2].partition("\ntheme:")[0]
    return list(leaves(yaml.safe_load(text)))


def test_every_page_is_in_the_navigation_once() -> None:
    assert sorted(navigation()) == sorted(set(PAGES) - {"README.md"})


def test_no_link_is_dead(site: Site) -> None:
    dead = {page.path: found for page in site.pages.values() if (found := site.dead(page))}
    assert dead == {}
    assert sum(len(page.links) for page in site.pages.values()) > 500


def test_nothing_is_loaded_from_another_host(site: Site) -> None:
    foreign = {page.path: found for page in site.pages.values() if (found := site.foreign(page))}
    assert foreign == {}
    for sheet in site.folder.rglob("*.css"):
        assert "url(http" not in sheet.read_text(encoding="utf-8").replace('"', ""), sheet


@pytest.mark.parametrize("page", sorted(set(PAGES) - {"README.md"}))
def test_a_page_looks_as_on_github(site: Site, page: str) -> None:
    """GitHub and MkDocs read Markdown by other rules: lists without an empty line above, indented ones, tables."""
    rendered = MarkdownIt().enable("table").render((ROOT / page).read_text())
    on_github = read(f"<article>{rendered}</article>").content
    assert on_github["h1"] == 1
    assert site.pages[place(page)].content == on_github


@pytest.mark.parametrize(
    ("html", "dead", "foreign"),
    [
        ('<a href="other/#there">', set(), set()),
        ('<a href="other/#gone">', {"other/#gone"}, set()),
        ('<a href="#gone">', {"#gone"}, set()),
        ('<a href="missing/">', {"missing/"}, set()),
        ('<a href="../outside">', {"../outside"}, set()),
        ('<a href="https://example.com/">', set(), set()),
        ('<img src="https://example.com/x.png">', set(), {"https://example.com/x.png"}),
        ('<link rel="preconnect" href="//example.com">', set(), {"//example.com"}),
        ('<script src="gone.js"></script>', {"gone.js"}, set()),
    ],
)
def test_what_is_dead_or_foreign_is_found(tmp_path: Path, html: str, dead: set[str], foreign: set[str]) -> None:
    (tmp_path / "index.html").write_text(html)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "index.html").write_text('<h2 id="there">')
    site = Site(tmp_path)
    page = site.pages["index.html"]
    assert (site.dead(page), site.foreign(page)) == (dead, foreign)


# --- in a browser ----------------------------------------------------------------------------------------------------


@pytest.fixture
def address(site: Site) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            """Nothing is printed."""

    handler = functools.partial(Quiet, directory=str(site.folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_a_reader_finds_pages_and_sees_diagrams(chromium: Browser, address: str) -> None:
    """The search and the diagrams work, and the browser asks no other host."""
    if not MERMAID.is_file():
        is_missing("mermaid", "there is no Mermaid that draws the diagrams")
    page = chromium.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.startswith("http") else None)
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    expect(page.locator("div.mermaid")).to_be_visible()
    assert page.locator("div.mermaid").evaluate("drawn => drawn.getBoundingClientRect().height") > 50
    page.get_by_role("textbox", name="Search").focus()
    expect(page.locator(".md-search-result__meta")).to_have_text("Type to start searching")
    page.get_by_role("textbox", name="Search").press_sequentially("rollback")
    expect(page.locator(".md-search-result__link").filter(has_text="Chat-ops").first).to_be_visible()
    page.close()
    assert [url for url in asked if not url.startswith(address)] == []
    assert complaints == []
