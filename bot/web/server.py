"""Serving the application: Granian, one blocking thread a process, which measured best for short requests."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

from flask import Flask

from bot.domain.errors import Misconfigured
from bot.gateways.queue import WorkQueue
from bot.gateways.redis_connection import connect
from bot.settings import Needs, Settings, load_settings

PROCESSES: Final = 2


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
        Granian(
            "bot.web.server:application",
            address=host,
            port=port,
            interface=Interfaces.WSGI,
            workers=processes,
            blocking_threads=1,
            factory=True,
            respawn_failed_workers=True,
            log_access=False,
            websockets=False,
        ).serve()


def application() -> Flask:
    """The application of one server process, from the environment."""
    from bot.web.app import create_app

    settings = load_settings(os.environ, Needs.WEBHOOKS)
    if settings.redis_url is None:
        raise Misconfigured("REDIS_URL is missing; `promotion-bot up` starts a queue of its own")
    return create_app(settings, WorkQueue(connect(settings.redis_url)))
