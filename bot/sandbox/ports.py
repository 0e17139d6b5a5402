"""Ports for the servers of the demo and the tests."""

from __future__ import annotations

import secrets
import socket
from contextlib import suppress
from typing import Final

_PORTS: Final = range(20_000, 32_000)  # below those that systems give to outgoing connections, which come and go


def free_port() -> int:
    """A TCP port of this machine that nothing listened on a moment ago, and that nobody else is likely to choose."""
    while True:
        port = secrets.choice(_PORTS)
        with suppress(OSError), socket.socket() as listener:
            listener.bind(("127.0.0.1", port))
            return port
