"""A proxy in front of a real service: it counts what is written, and goes away when told to."""

from __future__ import annotations

import http.client
import json
import re
import select
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

# What MLflow's client sends to change something; it also asks with POST.
_MLFLOW_WRITES = re.compile(r"/(set-tag|delete-tag|alias|transition-stage)$")
# Commits and times, which differ each time that the same thing is done.
_VOLATILE = re.compile(r"\b[0-9a-f]{40}\b|\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\dZ)?")


@dataclass(frozen=True)
class Write:
    """One request that changes something; the same change asked for twice is the same."""

    service: str
    method: str
    path: str
    body: str


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request: for `seconds` nothing happens, then it is answered with `status` or, `lost`,
    not at all; where it is neither, as ever. `after` lets it take effect first.
    """

    seconds: float = 0.0
    status: int | None = None
    lost: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = ""
    after: bool = False

    @property
    def answers(self) -> bool:
        """Whether the real answer does not come."""
        return self.lost or self.status is not None


@dataclass
class Proxy:
    """Hands requests on, unless `away`; `wrote` is called after each write took effect and before it is answered.

    `fault` is asked at each request, by its address and body, for what goes wrong with it; what is `away_below` a path
    is all that is away.
    """

    service: str
    target: str
    url: str = ""
    away: bool = False
    away_below: str | None = None
    before: Callable[[Write], None] = lambda _write: None
    wrote: Callable[[Write], None] = lambda _write: None
    fault: Callable[[str], Fault | None] = lambda _said: None
    closing: threading.Event = field(default_factory=threading.Event)
    writes: list[Write] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)  # what stood in requests, whatever they were: address and body

    def write(self, method: str, path: str, body: bytes) -> Write | None:
        """The request as a write; None for one that only asks."""
        place = path.partition("?")[0]
        asks = method == "GET" or place.endswith("/access_tokens")
        if asks or (self.service == "mlflow" and not _MLFLOW_WRITES.search(place)):
            return None
        return Write(self.service, method, place, _VOLATILE.sub("…", body.decode()))


@contextmanager
def proxied(service: str, target: str) -> Iterator[Proxy]:  # noqa: C901 - a handler is made of closures
    """A proxy in front of `target` while the context lasts."""
    proxy = Proxy(service, target)
    host = urlsplit(target).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # headers and content are two packets; the second must not wait for an ACK

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            write = proxy.write(self.command, self.path, body)
            said = f"{self.path} {body.decode(errors='replace')}"
            proxy.sent.append(said)
            fault = proxy.fault(said)
            if fault is not None and fault.seconds and (proxy.closing.wait(fault.seconds) or self.is_left()):
                self.close_connection = True  # whoever asked was killed meanwhile, as if before it asked
                return None
            if fault is not None and fault.answers and not fault.after:
                return self.go_wrong(fault)
            if write is not None and not proxy.away:
                proxy.before(write)
            if proxy.away or (proxy.away_below is not None and proxy.away_below in self.path):
                self.close_connection = True
                return None
            upstream = http.client.HTTPConnection(host, timeout=60)
            headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")}
            upstream.request(self.command, self.path, body or None, headers)
            response = upstream.getresponse()
            content = response.read()
            upstream.close()
            if write is not None and response.status < 400:
                proxy.writes.append(write)
                proxy.wrote(write)
            if proxy.away:
                self.close_connection = True
                return None
            if fault is not None and fault.answers:
                return self.go_wrong(fault)
            return self.hand_on(response, content)

        def is_left(self) -> bool:
            readable, _, _ = select.select([self.connection], [], [], 0)
            return bool(readable) and self.connection.recv(1, socket.MSG_PEEK) == b""

        def go_wrong(self, fault: Fault) -> None:
            if fault.status is None:
                self.close_connection = True
                return
            content = json.dumps({"message": fault.message}).encode()
            self.send_response_only(fault.status)
            for name, value in {**fault.headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def hand_on(self, response: http.client.HTTPResponse, content: bytes) -> None:
            self.send_response_only(response.status)
            for name, value in response.getheaders():
                if name.lower() not in ("transfer-encoding", "content-length", "connection", "keep-alive"):
                    self.send_header(name, value)
            if response.status not in (204, 304):
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = answer

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class' name
            """Nothing is printed."""

        def handle(self) -> None:
            try:
                super().handle()
            except (OSError, http.client.HTTPException):
                return  # one of the two sides was killed: that is what it is for

    class Server(ThreadingHTTPServer):
        request_queue_size = 128  # a connection beyond it is tried again only after a second

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
