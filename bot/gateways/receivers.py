"""Sending a notification: to Slack's incoming webhook, or signed to an address of the team's own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any, Final

import requests

from bot.domain.errors import Refused, Unreachable
from bot.settings import Secret, Settings

SLACK: Final = "slack"
WEBHOOK: Final = "webhook"
_TIMEOUT: Final = 10  # seconds


def receivers_of(settings: Settings) -> tuple[str, ...]:
    """Who is to be notified."""
    addresses = {SLACK: settings.notify_slack_url, WEBHOOK: settings.notify_webhook_url}
    return tuple(receiver for receiver, address in addresses.items() if address is not None)


def post(settings: Settings, receiver: str, message_id: str, body: dict[str, Any]) -> None:
    """Send one message to the address in the settings and to no other: what it answers is not followed, or read.

    Raises Unreachable for what may be better later, Refused for what will not. No error names the address, which is a
    secret of its own with Slack.
    """
    url = settings.notify_slack_url if receiver == SLACK else settings.notify_webhook_url
    if url is None:
        raise Refused(f"nothing is set for {receiver} any more")
    raw = json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "promotion-bot"}
    if receiver == WEBHOOK and settings.notify_webhook_secret is not None:
        headers |= signed(settings.notify_webhook_secret, message_id, raw)
    try:
        with requests.post(
            url.reveal(),
            data=raw,
            headers=headers,
            timeout=_TIMEOUT,
            allow_redirects=False,
            stream=True,
            auth=lambda request: request,  # else a .netrc would be sent
        ) as answer:
            status = answer.status_code
    except requests.RequestException as error:
        raise Unreachable(f"{receiver} does not answer: {type(error).__name__}") from None
    if status in (408, 425, 429) or status >= 500:
        raise Unreachable(f"{receiver} answered with {status}")
    if not 200 <= status < 300:
        raise Refused(f"{receiver} answered with {status}")


def signed(secret: Secret, message_id: str, body: bytes) -> dict[str, str]:
    """The headers by which a receiver knows who sent `body`, when, and whether it came before: as MLflow signs."""
    timestamp = str(int(time.time()))
    text = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.new(secret.reveal().encode(), text, hashlib.sha256).digest()
    return {
        "X-Promotion-Delivery-Id": message_id,
        "X-Promotion-Timestamp": timestamp,
        "X-Promotion-Signature": f"v1,{base64.b64encode(digest).decode()}",
    }
