"""The page on this machine from which a browser has GitHub make the App, and to which GitHub sends it back."""

from __future__ import annotations

import html
import json
import secrets
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from bot.domain.errors import PromotionError
from bot.domain.github_app import manifest
from bot.gateways.github.new_app import NewApp

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

HOST: Final = "127.0.0.1"


class _Quiet(WSGIRequestHandler):
    """Logs no address: the one that GitHub sends the browser back to holds the code."""

    timeout = 5  # seconds: browsers open connections that they may never use

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing is printed."""


@dataclass
class AppPage:
    """Served until GitHub made the App, or the exchange of its code failed.

    `form_url` is GitHub's page that takes a manifest, `exchange` what gives the App for the code.
    """

    name: str
    public_url: str
    form_url: str
    exchange: Callable[[str], NewApp]
    port: int = 0
    _state: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    _ended: threading.Event = field(default_factory=threading.Event)
    _app: NewApp | None = None
    _error: PromotionError | None = None
    _http: BaseWSGIServer | None = None

    def __enter__(self) -> Self:
        """Listen."""
        self._http = make_server(HOST, self.port, self._answer, request_handler=_Quiet)
        self.port = self._http.port
        threading.Thread(target=self._http.serve_forever, daemon=True, name="app-page").start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()

    @property
    def url(self) -> str:
        """Where the browser begins."""
        return f"http://{HOST}:{self.port}/"

    def wait(self, seconds: float) -> NewApp | None:
        """The App; None where nobody finished in time. Raises what went wrong."""
        self._ended.wait(seconds)
        if self._error is not None:
            raise self._error
        return self._app

    def _answer(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        response = self._page(request)
        response.headers |= {
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
        }
        return response(environ, start_response)

    def _page(self, request: Request) -> Response:
        if request.host != f"{HOST}:{self.port}" or request.method != "GET":
            return _said("Not here", 400)
        match request.path:
            case "/":
                return self._form()
            case "/created" if secrets.compare_digest(request.args.get("state", "").encode(), self._state.encode()):
                return self._created(request.args.get("code", ""))
            case "/created":
                return _said("This is not an answer to the page that was opened here. Begin again.", 400)
            case _:
                return _said("Nothing is here", 404)

    def _form(self) -> Response:
        asked = json.dumps(manifest(self.name, self.public_url, f"{self.url}created"))
        action = f"{self.form_url}?state={self._state}"
        return _said(
            f"GitHub makes the App “{self.name}”, whose webhooks go to {self.public_url}. You see and name it there.",
            form=f'<form method="post" action="{html.escape(action)}"><input type="hidden" name="manifest" '
            f'value="{html.escape(asked)}"><button autofocus>Create the GitHub App</button></form>',
        )

    def _created(self, code: str) -> Response:
        if self._ended.is_set():
            return _said("This was done already: see the terminal.")
        try:
            self._app = self.exchange(code)
        except PromotionError as error:
            self._error = error
            return _said(str(error), 502)
        finally:
            self._ended.set()
        return _said(f"The App {self._app.slug} is made. The terminal says what comes next.")


def _said(text: str, status: int = 200, form: str = "") -> Response:
    body = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>promotion-bot</title><p>{html.escape(text)}</p>{form}"
    )
    return Response(body, status, content_type="text/html; charset=utf-8")
