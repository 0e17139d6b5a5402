"""Serving the application: Granian, a few processes of one thread each, which measured best for short requests."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bot import logs, tracing
from bot.domain.errors import Misconfigured
from bot.gateways.parent_process import end_with
from bot.gateways.queue import WorkQueue
from bot.gateways.redis_connection import connect
from bot.settings import Needs, Settings, load_settings
from bot.web.gateway import Gateway

PROCESSES: Final = 2
_MEASURE_AGAIN: Final = 1.0  # seconds
_LOOK_AGAIN: Final = 0.2  # seconds

log = logging.getLogger("promotion-bot.web")


def serve(settings: Settings, host: str, port: int, processes: int = PROCESSES) -> None:
    """Serve until told to stop."""
    from granian import Granian
    from granian.constants import Interfaces

    if settings.redis_url is not None:
        os.environ["REDIS_URL"] = settings.redis_url.reveal()
    with tempfile.TemporaryDirectory(prefix="promotion-bot-metrics-") as folder:
        Path(folder).chmod(0o700)
        # Read by prometheus_client when it is imported, which is why nothing here imports it earlier.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        server = Granian(
            "bot.web.server:application",
            address=host,
            port=port,
            interface=Interfaces.RSGI,
            workers=processes,
            factory=True,
            respawn_failed_workers=True,
            workers_kill_timeout=10,  # one that is told to stop while it starts may not hear it
            log_access=False,
            log_dictconfig={"loggers": {"_granian": {"propagate": True}}},  # to where everything is logged
            websockets=False,
        )
        with _measured(host, settings.metrics_port):
            server.serve()


def application() -> Gateway:
    """The application of one server process, from the environment."""
    from bot.web import github_webhook, mlflow_webhook
    from bot.web.app import create_app

    _end_with_server()
    settings = load_settings(os.environ, Needs.WEBHOOKS)
    logs.configure(settings.log_format)
    tracing.configure()
    if settings.redis_url is None:
        raise Misconfigured("REDIS_URL is missing; `promotion-bot up` starts a queue of its own")
    app = create_app(settings, WorkQueue(connect(settings.redis_url)))
    gc.freeze()  # what is imported by now stays for good; the collector need not look at it again and again
    return Gateway(app.wsgi_app, {"/webhooks/github": github_webhook.LIMIT, "/webhooks/mlflow": mlflow_webhook.LIMIT})


@contextmanager
def _measured(host: str, port: int | None) -> Iterator[None]:
    """Have Prometheus answered on a port of its own, if there is to be one."""
    if port is None:
        yield
        return
    stopped = threading.Event()
    keeper = threading.Thread(target=_keep_measuring, args=(host, port, stopped), daemon=True)
    keeper.start()
    try:
        yield
    finally:
        stopped.set()
        keeper.join()  # a thread that still logs while the interpreter ends would crash it


def _keep_measuring(host: str, port: int, stopped: threading.Event) -> None:
    """Run the process that answers Prometheus, and another one whenever it ends.

    Spawned, and not a thread of this process: Granian forks its workers.
    """
    measuring = multiprocessing.get_context("spawn")
    while not stopped.is_set():
        process = measuring.Process(target=_serve_metrics, args=(host, port), daemon=True)
        process.start()
        while process.is_alive() and not stopped.is_set():
            process.join(_LOOK_AGAIN)
        if not stopped.is_set():
            log.error("the process for metrics ended (exit code %s); starting it again", process.exitcode)
            stopped.wait(_MEASURE_AGAIN)
        process.kill()
        process.join()


def _serve_metrics(host: str, port: int) -> None:
    """Answer Prometheus on a port of its own, for all server processes together."""
    from prometheus_client import start_wsgi_server

    from bot.web.metrics import registry

    _end_with_server()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches the main process, which ends this one
    settings = load_settings(os.environ, Needs.WEBHOOKS)
    if settings.redis_url is None:
        raise Misconfigured("REDIS_URL is missing; `promotion-bot up` starts a queue of its own")
    queue = WorkQueue(connect(settings.redis_url))
    measured = registry(queue, settings.repositories, os.environ["PROMETHEUS_MULTIPROC_DIR"])
    _, thread = start_wsgi_server(port, host, measured)
    thread.join()


def _end_with_server() -> None:
    """End this process when the main process is killed: it would go on answering on the port."""
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        end_with(parent.pid, signal.SIGKILL)
