"""The board (models × environments) and the service's state, as a page and as JSON, from what the workers saw last."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, render_template

from bot.domain.errors import PromotionError
from bot.gateways.queue import WorkQueue
from bot.web import service
from bot.web.answers import answer

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def board(queue: WorkQueue) -> Blueprint:
    """`/`, `/api/v1/board`, `/api/v1/models/NAME` and `/api/v1/service`."""
    boards = queue.boards
    pages = Blueprint("board", __name__, template_folder="templates")

    @pages.get("/")
    def page() -> Response:
        rows = boards.rows()
        repositories: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            repositories.setdefault(row["repository"], []).append(row)
        text = render_template("board.html", repositories=repositories, service=service.state(queue))
        return Response(text, content_type="text/html; charset=utf-8")

    @pages.get("/api/v1/board")
    def everything() -> Response:
        return jsonify({"models": boards.rows()})

    @pages.get("/api/v1/models/<path:name>")
    def model(name: str) -> Response:
        found = [row for row in boards.rows() if row["model"] == name]
        return jsonify({"models": found}) if found else answer(404, "the board has no such model")

    @pages.get("/api/v1/service")
    def itself() -> Response:
        return jsonify(service.state(queue))

    @pages.errorhandler(PromotionError)
    def unreachable(_error: PromotionError) -> Response:
        return answer(503, "the queue's server cannot be reached, and the board stands there")

    @pages.after_request
    def harmless(response: Response) -> Response:
        response.headers.update(_HEADERS)
        return response

    return pages
