"""The board served on this machine, and a headless Chromium to look at it with."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis
from playwright.sync_api import Browser, BrowserContext, Page, expect
from werkzeug.serving import WSGIRequestHandler, make_server

from bot.gateways.queue import WorkQueue
from bot.gateways.redis_connection import connect
from bot.settings import Needs, Secret, load_settings
from bot.web.app import create_app
from tests.board import company


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing is printed."""


@dataclass
class Site:
    """The board as it is served, with the queue that it shows."""

    url: str
    queue: WorkQueue


@pytest.fixture
def queue(valkey: redis.Redis) -> WorkQueue:
    """A queue whose board is a company's."""
    queue = WorkQueue(valkey)
    company.fill(queue)
    company.at_work(queue)
    return queue


@pytest.fixture(scope="module")
def address(valkey_url: Secret) -> Iterator[str]:
    """Where the board is served."""
    environ = {
        "MLFLOW_TRACKING_URI": "https://mlflow.acme.example",
        "MLFLOW_WEBHOOK_SECRET": "m",
        "GITHUB_WEBHOOK_SECRET": "g",
        "PROMOTION_REPOSITORIES": company.REPOSITORY,
    }
    with connect(valkey_url) as connection:
        app = create_app(load_settings(environ, Needs.WEBHOOKS), WorkQueue(connection))
        server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.port}"
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def site(address: str, queue: WorkQueue) -> Site:
    return Site(address, queue)


# --- the browser ------------------------------------------------------------------------------------------------------


@dataclass
class Visit:
    """A page that is looked at, and what it should not do: ask elsewhere, or complain."""

    page: Page
    site: Site
    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def open(self, path: str = "/") -> Page:
        """Open a page of the board, and wait until its script has run."""
        self.page.goto(self.site.url + path)
        expect(self.page.get_by_role("status")).not_to_be_empty()
        return self.page

    def asked(self, url: str) -> None:
        """Take down a request that goes elsewhere."""
        if not url.startswith(self.site.url):
            self.foreign.append(url)

    def picture(self, name: str, *, full: bool = True) -> None:
        """Keep what is seen, where BOARD_PICTURES names a folder."""
        folder = os.environ.get("BOARD_PICTURES")
        if folder:
            self.page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=full)


@pytest.fixture
def visits(chromium: Browser, site: Site) -> Iterator[Visits]:
    """Makes visits, each with a screen of its own, and holds them to the promises of every page."""
    made = Visits(chromium, site)
    yield made
    for visit in made.all:
        visit.page.context.close()
        assert visit.complaints == [], "a page has errors in its console"
        assert visit.foreign == [], "a page asks another host"


@dataclass
class Visits:
    """Visits with different screens."""

    chromium: Browser
    site: Site
    all: list[Visit] = field(default_factory=list)

    def on(self, width: int = 1280, height: int = 860, scheme: str = "light", *, script: bool = True) -> Visit:
        """A visit with a screen so wide, in a light or a dark scheme."""
        context: BrowserContext = self.chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,  # type: ignore[arg-type]
            java_script_enabled=script,
            reduced_motion="reduce",
        )
        visit = Visit(context.new_page(), self.site)
        page = visit.page
        page.on(
            "console", lambda said: visit.complaints.append(said.text) if said.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: visit.complaints.append(str(error)))
        page.on(
            "request", lambda asked: None if asked.url.startswith(self.site.url) else visit.foreign.append(asked.url)
        )
        self.all.append(visit)
        return visit
