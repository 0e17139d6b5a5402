"""`python -m workers.alive`: exit code 0 if a worker of this host lives, for an orchestrator's health check.

RQ's workers say in Redis that they live, at the latest every 7 minutes, and their word is forgotten a minute later.
"""

from __future__ import annotations

import os
import socket
import sys
import uuid
from typing import Final

from bot.domain.errors import Misconfigured, PromotionError
from bot.gateways.redis_connection import asked_of_redis, connect
from bot.settings import Needs, Settings, load_settings

_KEY: Final = "rq:worker:"  # RQ's own


def worker_name() -> str:
    """A name for an RQ worker of this host, which no other has."""
    return f"{socket.gethostname()}.{uuid.uuid4().hex}"


def is_alive(settings: Settings) -> bool:
    """Whether Redis has heard of a worker of this host; Unreachable where it does not answer."""
    if settings.redis_url is None:
        raise Misconfigured("REDIS_URL is missing: it is where workers say that they live")
    with asked_of_redis(), connect(settings.redis_url) as connection:
        return any(connection.scan_iter(f"{_KEY}{socket.gethostname()}.*", count=1000))


def main() -> None:
    """Exit code 1, with a line that says why, where no worker lives."""
    try:
        living = is_alive(load_settings(os.environ, Needs(0)))
    except PromotionError as error:
        sys.exit(str(error))
    sys.exit(0 if living else f"no worker of {socket.gethostname()} has been heard of")


if __name__ == "__main__":
    main()
