"""Webhooks as MLflow and GitHub send them, signed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

REPOSITORY = {"full_name": "acme/models", "default_branch": "main"}
APP_ID = 12345


def github(event: str, payload: object, secret: str = "github-new", **headers: str) -> dict[str, Any]:
    """What to post, for Flask's test client."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {
        "data": body,
        "content_type": "application/json",
        "headers": {"X-GitHub-Event": event, "X-Hub-Signature-256": f"sha256={signature}", **headers},
    }


def mlflow(payload: object, secret: str = "mlflow-new", skew: float = 0, **headers: str) -> dict[str, Any]:
    """What to post, for Flask's test client; `skew` is how many seconds the sender's clock is ahead."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    timestamp = str(int(time.time() + skew))
    signed = b"delivery-1." + timestamp.encode() + b"." + body
    digest = base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()
    return {
        "data": body,
        "content_type": "application/json",
        "headers": {
            "X-MLflow-Signature": f"v1,{digest}",
            "X-MLflow-Delivery-Id": "delivery-1",
            "X-MLflow-Timestamp": timestamp,
            **headers,
        },
    }


def model_event(entity: str = "model_version", action: str = "created", **data: object) -> dict[str, Any]:
    return {
        "entity": entity,
        "action": action,
        "timestamp": "2026-11-23T20:00:00Z",
        "data": {"name": "fraud-detector", "version": "7", **data},
    }


def push(ref: str = "refs/heads/main", **more: object) -> dict[str, Any]:
    return {"ref": ref, "repository": REPOSITORY, **more}


def pull_request(number: object = 7, action: str = "synchronize") -> dict[str, Any]:
    return {"action": action, "pull_request": {"number": number}, "repository": REPOSITORY}


def comment(
    number: int = 7, *, on_pull_request: bool = True, action: str = "created", body: str = "Please.\r\n/status"
) -> dict[str, Any]:
    issue: dict[str, Any] = {"number": number}
    if on_pull_request:
        issue["pull_request"] = {"url": "…"}
    return {"action": action, "issue": issue, "comment": {"id": 55, "body": body}, "repository": REPOSITORY}


def check(
    kind: str = "check_run", action: str = "completed", app: int = 99, numbers: tuple[int, ...] = ()
) -> dict[str, Any]:
    subject = {"app": {"id": app}, "pull_requests": [{"number": number} for number in numbers]}
    return {"action": action, kind: subject, "repository": REPOSITORY}


def merge_group(head_ref: str) -> dict[str, Any]:
    return {"action": "checks_requested", "merge_group": {"head_ref": head_ref}, "repository": REPOSITORY}
