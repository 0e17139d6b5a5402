"""Ports for the servers of the demo and the tests."""

from __future__ import annotations

import errno
import secrets
import socket
from typing import Final

_PORTS: Final = range(20_000, 32_000)  # below those that systems give to outgoing connections, which come and go
_given: set[int] = set()


def free_port() -> int:
    """A TCP port of this machine that nothing listened on a moment ago, and that nobody else is likely to choose.

    This process is given none twice. Raises OSError where no port can be had at all.
    """
    while left := sorted(set(_PORTS) - _given):
        port = secrets.choice(left)
        _given.add(port)
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                return port
    raise OSError(errno.EADDRINUSE, "every port has been given")
