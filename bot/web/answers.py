"""How the service answers: one line of JSON, and headers that keep a browser from making anything else of it."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Final

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

_POLICY: Final = ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
_HEADERS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Cache-Control", "no-store"),
    ("Referrer-Policy", "no-referrer"),
)


def answer(status: int, message: str) -> Response:
    """The answer with this status; `message` is for people."""
    return Response(_body(status, message), status, content_type="application/json")


@lru_cache(maxsize=64)
def _body(status: int, message: str) -> bytes:
    return json.dumps({"status": status, "message": message}).encode() + b"\n"


def answer_everywhere(app: Flask) -> None:
    """Have what the service does not know answered in the same way, and the headers on every answer."""

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> Response:
        response = answer(error.code or 500, (error.name or "error").lower())
        allowed = error.get_response().headers.get("Allow")  # of a 405
        if allowed:
            response.headers["Allow"] = allowed
        return response

    @app.after_request
    def guarded(response: Response) -> Response:
        for name, value in (*_HEADERS, _POLICY):
            response.headers.setdefault(name, value)  # a page says itself what it loads, an asset how long it holds
        return response
