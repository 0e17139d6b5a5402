"""The web service: verifies a webhook, names its keys, queues them. It never calls MLflow or GitHub."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from typing import Final

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from bot.domain.errors import PromotionError, Unreachable
from bot.domain.keys import Key
from bot.gateways.queue import WorkQueue
from bot.settings import Settings
from bot.web import github_webhook, metrics, mlflow_webhook
from bot.web.bodies import Malformed, TooLarge, parse, read
from bot.web.signatures import github_signed, mlflow_signed

log = logging.getLogger("promotion-bot.web")
_RETRY_AFTER: Final = "10"  # seconds


def create_app(settings: Settings, queue: WorkQueue) -> Flask:
    """The WSGI application."""
    app = Flask("promotion-bot", static_folder=None)

    @app.post("/webhooks/github")
    def github() -> Response:
        return _acknowledge("github", queue, lambda: _github_keys(settings))

    @app.post("/webhooks/mlflow")
    def mlflow() -> Response:
        return _acknowledge("mlflow", queue, lambda: _mlflow_keys(settings))

    @app.get("/healthz")
    def healthz() -> Response:
        return _answer(200, "up")

    @app.get("/readyz")
    def readyz() -> Response:
        try:
            queue.ready()
        except PromotionError as error:
            return _answer(503, str(error))
        return _answer(200, "ready")

    @app.get("/metrics")
    def measured() -> Response:
        body, content_type = metrics.page(queue, os.environ.get("PROMETHEUS_MULTIPROC_DIR"))
        return Response(body, content_type=content_type)

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> Response:
        return _answer(error.code or 500, (error.name or "error").lower())

    return app


class _Turned(Exception):
    """A webhook that is answered before its keys are known."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def _acknowledge(source: str, queue: WorkQueue, keys_of: Callable[[], Sequence[Key]]) -> Response:
    started = time.perf_counter()
    response = _settle(source, queue, keys_of)
    metrics.WEBHOOKS.labels(source, str(response.status_code)).inc()
    metrics.ACKNOWLEDGED.labels(source).observe(time.perf_counter() - started)
    return response


def _settle(source: str, queue: WorkQueue, keys_of: Callable[[], Sequence[Key]]) -> Response:
    try:
        keys = keys_of()
        if not keys:
            return _answer(200, "nothing to do")
        queue.request(*keys)
    except TooLarge:
        return _answer(413, "the body is too large")
    except Malformed as error:
        return _answer(400, f"the body cannot be used: {error}")
    except _Turned as turned:
        return _answer(turned.status, turned.message)
    except Unreachable as error:
        log.warning("%s webhook not queued: %s", source, error)
        response = _answer(503, "the queue cannot be reached; deliver again later")
        response.headers["Retry-After"] = _RETRY_AFTER
        return response
    return _answer(202, "queued")


def _github_keys(settings: Settings) -> Sequence[Key]:
    body = read(request, github_webhook.LIMIT)
    signature = request.headers.get("X-Hub-Signature-256", "")
    if not github_signed(body, signature, settings.github_webhook_secrets):
        raise _Turned(401, "X-Hub-Signature-256 is missing or wrong: is the secret the one in GITHUB_WEBHOOK_SECRET?")
    _expect_json()
    event = request.headers.get("X-GitHub-Event", "")
    if not event:
        raise Malformed("X-GitHub-Event is missing")
    return github_webhook.keys(event, parse(body), settings.repositories)


def _mlflow_keys(settings: Settings) -> Sequence[Key]:
    body = read(request, mlflow_webhook.LIMIT)
    headers = request.headers
    signed = mlflow_signed(
        body,
        headers.get("X-MLflow-Signature", ""),
        headers.get("X-MLflow-Delivery-Id", ""),
        headers.get("X-MLflow-Timestamp", ""),
        settings.mlflow_webhook_secrets,
        time.time(),
    )
    if not signed:
        raise _Turned(401, "X-MLflow-Signature is missing or wrong, or X-MLflow-Timestamp is more than 5 minutes off")
    _expect_json()
    return mlflow_webhook.keys(parse(body))


def _expect_json() -> None:
    if not request.is_json:
        raise _Turned(415, "the content type must be application/json")


def _answer(status: int, message: str) -> Response:
    response = Response(
        json.dumps({"status": status, "message": message}) + "\n", status, content_type="application/json"
    )
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-store"
    return response
