"""The web service: verifies a webhook, names its keys, queues them. It never calls MLflow or GitHub."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flask import Flask, Response, request
from opentelemetry.trace import SpanKind

from bot import tracing
from bot.domain.errors import PromotionError
from bot.domain.keys import Key, Urgency
from bot.gateways.origins import Origin, delivery_id
from bot.gateways.queue import WorkQueue
from bot.logs import about
from bot.settings import AppCredentials, Secret, Settings
from bot.web import github_webhook, metrics, mlflow_webhook
from bot.web.answers import answer, answer_everywhere
from bot.web.board.api import api
from bot.web.board.assets import assets
from bot.web.board.index import BoardIndex
from bot.web.board.links import Links
from bot.web.board.model import model_page
from bot.web.board.overview import overview
from bot.web.board.policy import policy_pages
from bot.web.board.service_page import service_page
from bot.web.bodies import Malformed, TooLarge, parse, read
from bot.web.health import health
from bot.web.openapi import openapi
from bot.web.service import Service
from bot.web.sign_in import ask_who_is_there
from bot.web.signatures import github_signed, mlflow_signed

log = logging.getLogger("promotion-bot.web")
_RETRY_AFTER: Final = "10"  # seconds


def create_app(settings: Settings, queue: WorkQueue) -> Flask:
    """The WSGI application."""
    app = Flask("promotion-bot", static_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    github_source, mlflow_source = _github(settings), _mlflow(settings)

    @app.post("/webhooks/github")
    def github() -> Response:
        return _acknowledge(github_source, queue)

    @app.post("/webhooks/mlflow")
    def mlflow() -> Response:
        return _acknowledge(mlflow_source, queue)

    if settings.metrics_port is None:

        @app.get("/metrics")
        def measured() -> Response:
            body, content_type = metrics.page(queue, settings.repositories, os.environ.get("PROMETHEUS_MULTIPROC_DIR"))
            return Response(body, content_type=content_type)

    ask_who_is_there(app, settings)
    app.register_blueprint(health(queue))
    _board(app, settings, queue)
    app.register_blueprint(openapi())
    answer_everywhere(app)
    return app


def _board(app: Flask, settings: Settings, queue: WorkQueue) -> None:
    """The board's pages and their data."""
    index = BoardIndex(queue.boards, settings.repositories)
    links = Links.of(settings)
    service = Service(queue, settings.repositories, os.environ.get("PROMETHEUS_MULTIPROC_DIR"))
    for blueprint in (
        overview(queue, index, links),
        model_page(queue, index, links),
        policy_pages(queue, index, links),
        service_page(service, links),
        api(queue, index, service),
        assets(),
    ):
        app.register_blueprint(blueprint)


@dataclass(frozen=True, slots=True)
class _Event:
    """A verified and parsed event: its name for the metrics, what it asks to look at, and how urgently.

    Where `urgency` is None, each key says it.
    """

    name: str
    keys: Sequence[Key]
    urgency: Urgency | None = None


@dataclass(frozen=True, slots=True)
class _Source:
    """One sender of webhooks."""

    name: str
    delivery: str  # the header that holds the delivery's id
    limit: int  # bytes
    is_signed: Callable[[bytes], bool]
    unsigned: str  # what to tell a sender whose signature is missing or wrong
    event: Callable[[dict[str, Any]], _Event]


def _github(settings: Settings) -> _Source:
    app = settings.github_credentials
    served = github_webhook.Served(settings.repositories, int(app.app_id) if isinstance(app, AppCredentials) else None)

    def event(payload: dict[str, Any]) -> _Event:
        name = request.headers.get("X-GitHub-Event", "")
        if not name:
            raise Malformed("X-GitHub-Event is missing")
        named = github_webhook.keys(name, payload, served)
        return _Event(github_webhook.event_name(name), named, github_webhook.urgency(name, named))

    return _Source(
        "github",
        "X-GitHub-Delivery",
        github_webhook.LIMIT,
        lambda body: github_signed(
            body, request.headers.get("X-Hub-Signature-256", ""), settings.github_webhook_secrets
        ),
        "X-Hub-Signature-256 is missing or wrong: is the secret the one in GITHUB_WEBHOOK_SECRET?",
        event,
    )


def _mlflow(settings: Settings) -> _Source:
    """MLflow. A delivery that somebody recorded and sends again within the five minutes of its timestamp asks for a
    look that changes nothing, so remembering delivery ids would buy nothing for its extra command.
    """
    secrets: tuple[Secret, ...] = settings.mlflow_webhook_secrets

    def is_signed(body: bytes) -> bool:
        headers = request.headers
        return mlflow_signed(
            body,
            headers.get("X-MLflow-Signature", ""),
            headers.get("X-MLflow-Delivery-Id", ""),
            headers.get("X-MLflow-Timestamp", ""),
            secrets,
            time.time(),
        )

    return _Source(
        "mlflow",
        "X-MLflow-Delivery-Id",
        mlflow_webhook.LIMIT,
        is_signed,
        "X-MLflow-Signature is missing or wrong, or X-MLflow-Timestamp is more than 5 minutes off: "
        "is the secret the one in MLFLOW_WEBHOOK_SECRET, and are both clocks right?",
        lambda payload: _Event(mlflow_webhook.event_name(payload), mlflow_webhook.keys(payload)),
    )


def _acknowledge(source: _Source, queue: WorkQueue) -> Response:
    started = time.perf_counter()
    delivery = delivery_id(request.headers.get(source.delivery, ""))
    # A root of its own: what a sender says of a trace is not believed.
    with about(delivery=delivery or None), tracing.begun(f"webhook {source.name}", SpanKind.SERVER, {}) as span:
        name, response = _settle(source, queue, Origin(delivery, tracing.carried()))
        span.set_attributes({"promotion.event": name, "http.response.status_code": response.status_code})
        if delivery:
            span.set_attribute("promotion.delivery", delivery)
    metrics.count(source.name, name, response.status_code, time.perf_counter() - started)
    return response


def _settle(source: _Source, queue: WorkQueue, origin: Origin) -> tuple[str, Response]:
    """The event's name and the answer. Who cannot sign learns nothing but how large a body may be."""
    name = "unknown"
    try:
        body = read(request, source.limit)
        if not source.is_signed(body):
            return name, _refused(source, 401, source.unsigned)
        if not request.is_json:
            return name, _refused(source, 415, "the content type must be application/json")
        event = source.event(parse(body))
        name = event.name
        if not event.keys:
            return name, answer(200, "nothing to do")
        queue.request(*event.keys, urgency=event.urgency, origin=origin)
        for key in event.keys:
            with about(repository=getattr(key, "repository", None), model=getattr(key, "model", None)):
                log.info("%s webhook %s queued", source.name, name)
    except TooLarge:
        return name, _refused(source, 413, f"the body is larger than {source.limit} bytes")
    except Malformed as error:
        return name, _refused(source, 400, f"the body cannot be used: {error}")
    except PromotionError as error:
        log.error("%s webhook not queued: %s", source.name, error)
        response = answer(503, "the queue cannot be reached; deliver again later")
        response.headers["Retry-After"] = _RETRY_AFTER
        return name, response
    return name, answer(202, "queued")


def _refused(source: _Source, status: int, message: str) -> Response:
    log.warning("%s webhook answered with %d: %s", source.name, status, message)
    return answer(status, message)
