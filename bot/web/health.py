"""Whether the process is up, and whether it could take a webhook now."""

from __future__ import annotations

from flask import Blueprint, Response

from bot.domain.errors import PromotionError
from bot.gateways.queue import WorkQueue
from bot.web.answers import answer


def health(queue: WorkQueue) -> Blueprint:
    """`/healthz` and `/readyz`. Settings were read before the process began to listen, so they are valid here."""
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/healthz")
    def healthz() -> Response:
        return answer(200, "up")

    @blueprint.get("/readyz")
    def readyz() -> Response:
        try:
            queue.ready()
        except PromotionError as error:
            return answer(503, str(error))
        return answer(200, "ready")

    return blueprint
