"""Webhooks and what became of their deliveries (https://docs.github.com/en/rest/apps/webhooks, /repos/webhooks)."""

from __future__ import annotations

from typing import Any

from bot.sandbox.github import links
from bot.sandbox.github.calls import Answer, Call, route
from bot.sandbox.github.errors import ApiError
from bot.sandbox.github.shapes import stamp
from bot.sandbox.github.state import App, Hook
from bot.sandbox.github.webhooks import Delivery


@route("GET", "/app/hook/config")
def app_config(call: Call) -> Answer:
    app = _app(call)
    return 200, _config(app.webhook_url or "", app.webhook_secret)


@route("GET", "/app/hook/deliveries")
def app_deliveries(call: Call) -> Answer:
    return 200, _deliveries(call, _app(call).id)


@route("GET", "/repos/{owner}/{repo}/hooks")
def hooks(call: Call) -> Answer:
    _needs_admin(call)
    return 200, [_hook(call, hook) for hook in call.at.hooks]


@route("GET", "/repos/{owner}/{repo}/hooks/{id}/deliveries")
def deliveries(call: Call) -> Answer:
    _needs_admin(call)
    if int(call.args[0]) not in {hook.id for hook in call.at.hooks}:
        raise ApiError(404, "Not Found")
    return 200, _deliveries(call, int(call.args[0]))


def _app(call: Call) -> App:
    if call.actor is None or call.actor.app is None:
        raise ApiError(401, "A JSON web token could not be decoded")
    return call.actor.app


def _needs_admin(call: Call) -> None:
    """Who may not see webhooks is told that there are none."""
    try:
        call.needs("admin")
    except ApiError as error:
        raise ApiError(404, "Not Found") from error


def _config(url: str, secret: str) -> dict[str, Any]:
    config = {"url": url, "content_type": "json", "insecure_ssl": "0"}
    return {**config, "secret": "********"} if secret else config


def _hook(call: Call, hook: Hook) -> dict[str, Any]:
    url = call.house.shapes.api(call.at, f"/hooks/{hook.id}")
    newest = next(iter(call.house.webhooks.to(hook.id)), None)
    last = {"code": newest.status if newest else None, "status": "active" if newest else "unused", "message": None}
    return {
        "type": "Repository",
        "id": hook.id,
        "name": "web",
        "active": hook.active,
        "events": list(hook.events),
        "config": _config(hook.url, hook.secret),
        "updated_at": links.BORN,
        "created_at": links.BORN,
        "url": url,
        "test_url": f"{url}/test",
        "ping_url": f"{url}/pings",
        "deliveries_url": f"{url}/deliveries",
        "last_response": last,
    }


def _deliveries(call: Call, receiver: int) -> list[dict[str, Any]]:
    return [_delivery(delivery) for delivery in call.house.webhooks.to(receiver)]


def _delivery(delivery: Delivery) -> dict[str, Any]:
    code = delivery.status or 0
    return {
        "id": delivery.number,
        "guid": delivery.id,
        "delivered_at": stamp(delivery.at) if delivery.at else links.BORN,
        "redelivery": False,
        "duration": 0.1,
        "status": "OK" if 200 <= code < 300 else f"Invalid HTTP Response: {code}",
        "status_code": code,
        "event": delivery.event,
        "action": delivery.payload.get("action"),
        "installation_id": None,
        "repository_id": delivery.payload["repository"]["id"],
        "throttled_at": None,
    }
