"""The board with 5,000 models × 3 environments: server time, page weight, time to interactive, and its rebuilding."""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser, sync_playwright
from werkzeug.serving import WSGIRequestHandler, make_server

from benchmarks import quiet_sweep
from bot.domain.board import Cell, Matter, MatterKind, Proposed
from bot.domain.manifest import Entry
from bot.domain.repository_seen import EnvironmentSeen, RepositorySeen
from bot.gateways.embedded_redis import embedded_redis
from bot.gateways.queue import WorkQueue
from bot.gateways.redis_connection import connect
from bot.settings import Needs, load_settings
from bot.web.app import create_app

MODELS: Final = 5_000
ENVIRONMENTS: Final = ("staging", "canary", "production")
REPOSITORY: Final = "acme/models"
REQUESTS: Final = 300
CHANGED: Final = 50  # rows that change between two requests of one of the measurements
LOADS: Final = 7
_WAITING: Final = 10  # one in so many models has a proposal open; one in three of so many something else
_SETTINGS: Final = {
    "MLFLOW_WEBHOOK_SECRET": "m",
    "GITHUB_WEBHOOK_SECRET": "g",
    "PROMOTION_REPOSITORIES": REPOSITORY,
}


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing is printed."""


def run() -> Iterator[tuple[str, str]]:
    """A line for each kind of page, the browser's figures, and what rebuilding takes."""
    with tempfile.TemporaryDirectory() as folder, embedded_redis(Path(folder)) as url, connect(url) as connection:
        queue = WorkQueue(connection)
        fill(queue)
        app = create_app(load_settings(_SETTINGS, Needs.WEBHOOKS), queue)
        web = app.test_client()
        started = time.perf_counter()
        web.get("/")
        yield "first page of a new process", f"{time.perf_counter() - started:.2f} s"
        yield "overview", _measured(web, ["/"])
        yield "overview, any page of it", _measured(web, [f"/?page={page}" for page in range(1, 101)])
        yield (
            "overview, searched and filtered",
            _measured(web, ["/?q=model-04", "/?state=waiting", "/?state=refused&q=9"]),
        )
        yield f"overview, {CHANGED} rows changed before each", _measured(web, ["/"], queue)
        yield "/api/v1/board", _measured(web, ["/api/v1/board"])
        yield from _in_chromium(app)
    rebuilt = quiet_sweep.rebuilt_in(MODELS, quiet_sweep.delays_of_mlflow())
    yield (
        "projection rebuilt from nothing, 20 versions a model",
        f"{rebuilt.board:.0f} s until every model is there, {rebuilt.sweep:.0f} s until GitHub was asked about each "
        "deployment; the delays of real servers waited for",
    )


def fill(queue: WorkQueue) -> None:
    """A board of that size, of which a tenth waits for something."""
    queue.boards.show_all(REPOSITORY, {f"model-{n:05d}": _row(n) for n in range(MODELS)})
    rules = tuple(EnvironmentSeen(name, f"policies/{name}.yaml", "24 h", "2 approvals") for name in ENVIRONMENTS)
    queue.details.show_repository(RepositorySeen(REPOSITORY, datetime.now(UTC), 9.5, MODELS, rules))


def _row(number: int) -> tuple[Cell, ...]:
    live = Entry(number % 40 + 1, f"sha256:{number:064x}", f"1.{number % 40}.0")
    since = datetime.now(UTC) - timedelta(hours=number)
    cells = [Cell(f"model-{number:05d}", name, live, since, "promotion-bot[bot]") for name in ENVIRONMENTS]
    if number % _WAITING == 0:
        what = f"v{live.version + 1} waits for 2 approvals of @acme/ml-platform"
        matter = Matter(MatterKind.WAITING, what, "Review it.", number + 1, live.version + 1, since)
        proposed = Proposed(live.version + 1, number + 1, since, "2 approvals of @acme/ml-platform")
        cells[2] = replace(cells[2], proposed=(proposed,), matters=(matter,))
    elif number % _WAITING == 3:
        kind = (MatterKind.REFUSED, MatterKind.DRIFTING, MatterKind.HELD)[number // _WAITING % 3]
        cells[0] = replace(
            cells[0], matters=(Matter(kind, "accuracy: measured 0.87, required at least 0.9", "Mend it."),)
        )
    return tuple(cells)


def _measured(web: FlaskClient, paths: Sequence[str], changing: WorkQueue | None = None) -> str:
    """Time in the server and bytes of so many answers, one after the other; CPU apart, for a machine that is busy."""
    seconds, cpu, largest = [], [], 0
    for number in range(REQUESTS):
        if changing is not None:
            rows = {f"model-{n:05d}": _row(n + number + 1) for n in range(number, number + CHANGED)}
            for model, cells in rows.items():
                changing.boards.show(REPOSITORY, model, tuple(replace(cell, model=model) for cell in cells))
        started, used = time.perf_counter(), time.process_time()
        answer = web.get(paths[number % len(paths)])
        cpu.append(time.process_time() - used)
        seconds.append(time.perf_counter() - started)
        largest = max(largest, len(answer.data))
    return f"{_spread(seconds)}; CPU {_spread(cpu)}; at most {largest / 1e3:.0f} KB"


def _spread(seconds: Sequence[float]) -> str:
    p95 = statistics.quantiles(seconds, n=20)[18]
    return f"p50 {statistics.median(seconds) * 1e3:.1f} ms, p95 {p95 * 1e3:.1f} ms"


def _in_chromium(app: Flask) -> Iterator[tuple[str, str]]:
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        yield "in Chromium", "there is none: apt-get install chromium"
        return
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        loads = [_load(browser, f"http://127.0.0.1:{server.port}/") for _ in range(LOADS)]
        browser.close()
    server.shutdown()
    thread.join()
    server.server_close()
    yield (
        "page weight in Chromium, nothing cached or compressed",
        f"{loads[0][1] / 1e3:.0f} KB, the page and its assets",
    )
    yield "time to interactive in Chromium", f"{statistics.median(load[0] for load in loads):.0f} ms, median of {LOADS}"


def _load(browser: Browser, url: str) -> tuple[float, int]:
    """Milliseconds until the page's scripts had run, and the bytes that came."""
    page = browser.new_context().new_page()
    page.goto(url, wait_until="load")
    interactive = page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
    carried = page.evaluate(
        "performance.getEntries().filter(e => e.encodedBodySize).reduce((sum, e) => sum + e.encodedBodySize, 0)"
    )
    page.context.close()
    return float(interactive), int(carried)
