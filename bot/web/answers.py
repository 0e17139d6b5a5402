"""How the service answers: one line of JSON, and headers that keep a browser from making anything else of it."""

from __future__ import annotations

import json
from typing import Final

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


def answer(status: int, message: str) -> Response:
    """The answer with this status; `message` is for people."""
    body = json.dumps({"status": status, "message": message}) + "\n"
    return Response(body, status, content_type="application/json")


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
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response
