"""From Granian's own interface (RSGI) to the WSGI application, with the request's body read before it.

Under WSGI a sender that is slow with its body holds a thread for as long as it likes, and a handful of connections that
nobody signed would stop every webhook. Here bodies arrive side by side on the event loop, each within its limit and its
time, and the application runs, for a millisecond or less, on a body that is complete.

https://github.com/emmett-framework/granian/blob/master/docs/spec/RSGI.md, https://peps.python.org/pep-3333/
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

BODY_TIME: Final = 15.0  # seconds for a whole body to arrive; GitHub gives up after 10
_TOO_SLOW: Final = b'{"status": 408, "message": "the body took too long"}\n'


class Gateway:
    """An RSGI application that runs a WSGI one; `limits` are the largest bodies by path, elsewhere none is read."""

    def __init__(self, application: WSGIApplication, limits: Mapping[str, int], body_time: float = BODY_TIME) -> None:
        self._application = application
        self._limits = limits
        self._body_time = body_time

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:  # noqa: ANN401 - Granian's types and name
        """Answer one request."""
        environ = _environ(scope)
        announced = environ.get("CONTENT_LENGTH", "")
        limit = self._limits.get(scope.path, 0)
        # The application refuses what is announced as too large by itself, unread.
        if not announced.isdecimal() or int(announced) <= limit:
            try:
                async with asyncio.timeout(self._body_time):
                    body = await _body(protocol, announced, limit)
            except TimeoutError:
                protocol.response_bytes(408, [("content-type", "application/json")], _TOO_SLOW)
                return
            environ["CONTENT_LENGTH"] = str(len(body))
            environ["wsgi.input"] = io.BytesIO(body)
        protocol.response_bytes(*self._run(environ))

    def _run(self, environ: dict[str, Any]) -> tuple[int, list[tuple[str, str]], bytes]:
        answered: list[tuple[int, list[tuple[str, str]]]] = []
        written: list[bytes] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], _error: object = None
        ) -> Callable[[bytes], object]:
            answered.append((int(status[:3]), [(name.lower(), value) for name, value in headers]))
            return written.append

        parts = self._application(environ, start_response)
        try:
            body = b"".join([*written, *parts])
        finally:
            close = getattr(parts, "close", None)
            if close is not None:
                close()
        status, headers = answered[-1]
        return status, headers, body


async def _body(protocol: Any, announced: str, limit: int) -> bytes:  # noqa: ANN401 - Granian's protocol
    """The body, or what arrived of it when it was past the limit."""
    if not limit:
        return b""
    if announced:
        return bytes(await protocol())
    parts = bytearray()
    async for part in protocol:
        parts += part
        if len(parts) > limit:
            break
    return bytes(parts)


def _environ(scope: Any) -> dict[str, Any]:  # noqa: ANN401 - Granian's scope
    host, _, port = scope.server.rpartition(":")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode("utf-8", "surrogateescape").decode("latin-1"),  # decoded by Granian already
        "QUERY_STRING": scope.query_string,
        "REMOTE_ADDR": scope.client.rpartition(":")[0],
        "SERVER_NAME": host,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in scope.headers.items():
        if "_" in name:  # would pass for the header with a hyphen
            continue
        variable = name.upper().replace("-", "_")
        if variable not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            variable = f"HTTP_{variable}"
        environ[variable] = f"{environ[variable]},{value}" if variable in environ else value
    return environ
