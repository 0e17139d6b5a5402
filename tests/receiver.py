"""An HTTP server that takes what is sent to it: where notifications and traces go."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response


@dataclass
class Receiver:
    """An HTTP server that takes what comes, and answers as it is told."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    came: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    def answer(self, environ: object, start_response: object) -> object:
        request = Request(environ)  # type: ignore[arg-type]
        self.came.append((request.path, dict(request.headers), request.get_data()))
        return Response("…", self.status, self.headers)(environ, start_response)  # type: ignore[arg-type]


@contextmanager
def receiving() -> Iterator[Receiver]:
    listening = Receiver()
    server = make_server("127.0.0.1", 0, listening.answer, threaded=True)  # type: ignore[arg-type]
    listening.url = f"http://127.0.0.1:{server.port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield listening
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
