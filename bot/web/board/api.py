"""`/api/v1/board`, `…/models/NAME`, `…/policies` and `…/service`: what the pages show, as JSON."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, request

from bot.domain.errors import PromotionError
from bot.domain.plain import to_plain
from bot.gateways.boards import Row
from bot.gateways.queue import WorkQueue
from bot.web.answers import answer
from bot.web.board.index import BoardIndex
from bot.web.board.query import STATES, Query
from bot.web.service import Service


def api(queue: WorkQueue, index: BoardIndex, service: Service) -> Blueprint:
    """The data of the pages."""
    blueprint = Blueprint("api", __name__)

    @blueprint.get("/api/v1/board")
    def board() -> Response:
        query = Query.read(request.args)
        found = index.select(query)
        return jsonify(
            {
                "models": [to_plain(row) for row in found.rows],
                "page": query.page,
                "pages": query.pages(found.total),
                "total": found.total,
                "counts": {state: found.counts.get(state, 0) for state in STATES},
            }
        )

    @blueprint.get("/api/v1/models/<path:name>")
    def model(name: str) -> Response:
        rows = index.of_model(name)
        if not rows:
            return answer(404, "the board has no such model")
        return jsonify({"models": [_in_full(row) for row in rows]})

    @blueprint.get("/api/v1/policies")
    def policies() -> Response:
        seen = queue.details.repositories(index.repositories)
        return jsonify({"repositories": [to_plain(each) for each in seen]})

    @blueprint.get("/api/v1/service")
    def itself() -> Response:
        return jsonify(to_plain(service.state()))

    @blueprint.errorhandler(PromotionError)
    def away(_error: PromotionError) -> Response:
        return answer(503, "the queue's server cannot be reached, and the board stands there")

    def _in_full(row: Row) -> dict[str, Any]:
        detail = queue.details.model(row.repository, row.model)
        return {
            **to_plain(row),
            "in_full": detail is not None,
            "versions": to_plain(detail.versions if detail else ()),
            "events": to_plain(detail.events if detail else ()),
            "verdicts": to_plain(queue.details.judged(row.repository, row.model)),
        }

    return blueprint
