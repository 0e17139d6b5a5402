"""The stand-in's HTTP side: who asks, what they may, conditional answers, pages, faults, and GitHub's errors."""

from __future__ import annotations

import hashlib
import json
import math
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import jwt
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from bot.sandbox.github.calls import ROUTES, Answer, Call, House, role_of
from bot.sandbox.github.errors import ApiError
from bot.sandbox.github.state import App, Token

_LIMIT: Final = 5000  # requests an hour, as GitHub allows a person (https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api)


@dataclass(frozen=True)
class Seen:
    """One request to the API, for counting; `at` is in seconds of a clock that only goes forward."""

    method: str
    path: str
    status: int
    login: str
    at: float = 0.0


@dataclass
class Fault:
    """What goes wrong with the next requests that match: an error, or for `hang` seconds no answer at all."""

    pattern: re.Pattern[str]
    times: int
    status: int = 502
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "Server Error"
    after: bool = False
    hang: float = 0.0


class _Handler(WSGIRequestHandler):
    """Keeps connections, and keeps quiet: requests are in `Server.requests`."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing is printed."""


class Server:
    """Serves a world on a free port of this machine."""

    def __init__(self, house: House, page: Callable[[Request], Response | None]) -> None:
        self._house = house
        self._world = house.world
        self._page = page
        self.requests: list[Seen] = []
        self.faults: list[Fault] = []
        self._left: dict[str, int] = {}
        self._reset_at = 0.0
        self._closing = threading.Event()
        self._http: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen."""
        self._http = make_server("127.0.0.1", 0, self._application, threaded=True, request_handler=_Handler)
        self._world.url = f"http://127.0.0.1:{self._http.port}"
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True, name="github-sandbox")
        self._thread.start()

    def stop(self) -> None:
        """Stop listening; what hangs is let go."""
        self._closing.set()
        if self._http is not None and self._thread is not None:
            self._http.shutdown()
            self._thread.join()
            self._http.server_close()

    def answer(self, request: Request) -> Response:
        """Answer one request to the API, wherever it comes from."""
        return self._api(request)

    def _application(self, environ: Any, start_response: Any) -> Any:  # noqa: ANN401 - WSGI
        request = Request(environ)
        response = self._page(request) or self._api(request)
        return response(environ, start_response)

    def _api(self, request: Request) -> Response:
        actor: Token | None = None
        try:
            actor = self._actor(request)
            self._spend(actor)
            before = self._fault(request, after=False)
            if before is not None:
                return self._said(request, actor, before)
            with self._world.lock:
                status, body = self._dispatch(request, actor)
            response = self._rendered(request, status, body)
            after = self._fault(request, after=True)
            return self._said(request, actor, after or response)
        except ApiError as error:
            return self._said(request, actor, _json(error.status, error.body))

    def allow(self, login: str, left: int, reset_in: float) -> None:
        """Let somebody make `left` more requests until the limit starts anew."""
        self._left[login], self._reset_at = left, time.time() + reset_in

    def _spend(self, actor: Token | None) -> None:
        """Count a request towards the limit of the one who asks."""
        if time.time() >= self._reset_at:
            self._left, self._reset_at = {}, time.time() + 3600
        login = actor.login if actor else ""
        left = self._left.get(login, _LIMIT)
        if left <= 0:
            raise ApiError(403, f"API rate limit exceeded for {login}.")
        self._left[login] = left - 1

    def _said(self, request: Request, actor: Token | None, response: Response) -> Response:
        login = actor.login if actor else ""
        self.requests.append(Seen(request.method, request.path, response.status_code, login, time.monotonic()))
        login = actor.login if actor else ""
        if response.status_code == 304:
            self._left[login] = self._left.get(login, _LIMIT) + 1  # costs nothing
        response.headers.setdefault("X-RateLimit-Limit", str(_LIMIT))
        response.headers.setdefault("X-RateLimit-Remaining", str(self._left.get(login, _LIMIT)))
        response.headers.setdefault("X-RateLimit-Reset", str(math.ceil(self._reset_at)))
        if actor is not None and actor.scopes is not None:
            response.headers["X-OAuth-Scopes"] = actor.scopes
        response.headers["X-GitHub-Request-Id"] = f"{len(self.requests):X}"
        return response

    def _fault(self, request: Request, *, after: bool) -> Response | None:
        for fault in self.faults:
            if fault.times > 0 and fault.after is after and fault.pattern.search(f"{request.method} {request.path}"):
                fault.times -= 1
                if fault.hang:
                    self._closing.wait(fault.hang)
                response = _json(fault.status, {"message": fault.message})
                response.headers.extend(fault.headers)
                return response
        return None

    def _actor(self, request: Request) -> Token | None:
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        if not scheme:
            return None
        if value.count(".") == 2 and scheme == "Bearer":
            return Token(self._app_of(value).login, self._app_of(value))
        token = self._world.tokens.get(value)
        if token is None or (token.expires_at is not None and token.expires_at <= self._world.clock()):
            raise ApiError(401, "Bad credentials")
        return token

    def _app_of(self, text: str) -> App:
        """The App whose JWT this is (https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app)."""
        try:
            issuer = int(jwt.decode(text, options={"verify_signature": False})["iss"])
            app = self._world.apps[issuer]
            claims = jwt.decode(text, app.public_key_pem, algorithms=["RS256"], leeway=60, options={"verify_iat": True})
        except (jwt.PyJWTError, KeyError, ValueError) as error:
            raise ApiError(401, "A JSON web token could not be decoded") from error
        if claims["exp"] - time.time() > timedelta(minutes=11).total_seconds():
            raise ApiError(401, "'Expiration time' claim ('exp') is too far in the future")
        return app

    def _dispatch(self, request: Request, actor: Token | None) -> Answer:
        for method, pattern, endpoint in ROUTES:
            found = pattern.fullmatch(request.path)
            if found is None or method != request.method:
                continue
            call = Call(request, found.groups(), actor, self._house)
            if request.path.startswith("/repos/"):
                call.repo = self._world.repos.get("/".join(found.groups()[:2]).lower())
                if call.repo is None or (
                    role_of(call.repo, actor) is None and not request.path.endswith("/installation")
                ):
                    raise ApiError(404, "Not Found")
                call.args = found.groups()[2:]
            return endpoint(call)
        raise ApiError(404, "Not Found")

    def _rendered(self, request: Request, status: int, body: Any) -> Response:  # noqa: ANN401 - JSON
        link = ""
        rows = _list_in(body)
        if request.method == "GET" and rows is not None:
            key, items = rows
            size = min(100, max(1, int(request.args.get("per_page", 30))))
            page = max(1, int(request.args.get("page", 1)))
            if page * size < len(items):
                arguments = {**request.args, "page": page + 1}
                query = "&".join(f"{name}={value}" for name, value in arguments.items())
                link = f'<{request.base_url}?{query}>; rel="next"'
            items = items[(page - 1) * size : page * size]
            body = items if key is None else {**body, key: items}
        response = _json(status, body)
        if link:
            response.headers["Link"] = link
        if request.method == "GET" and status == 200:
            etag = f'W/"{hashlib.sha256(response.get_data()).hexdigest()}"'
            response.headers["ETag"] = etag
            if request.headers.get("If-None-Match") == etag:
                response = Response(status=304, headers={"ETag": etag})
        return response


def _list_in(body: Any) -> tuple[str | None, list[Any]] | None:  # noqa: ANN401 - JSON
    """The list that an answer is, or holds beside its total."""
    if isinstance(body, list):
        return None, body
    if isinstance(body, dict) and "total_count" in body:
        return next((key, value) for key, value in body.items() if isinstance(value, list))
    return None


def _json(status: int, body: Any) -> Response:  # noqa: ANN401 - JSON
    text = "" if status == 204 else json.dumps(body)
    return Response(text, status, content_type="application/json; charset=utf-8")
