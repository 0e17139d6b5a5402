"""Webhook signatures: computed over the raw bytes, compared in constant time, before anything is parsed."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable, Sequence
from typing import Final

from bot.settings import Secret

MAX_SKEW: Final = 300.0  # seconds between MLflow's clock and ours


def github_signed(body: bytes, signature: str, secrets: Sequence[Secret]) -> bool:
    """Whether `X-Hub-Signature-256` is right for one of the secrets.

    https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    """
    return _any(signature, ("sha256=" + hmac.digest(s.reveal().encode(), body, "sha256").hex() for s in secrets))


def mlflow_signed(
    body: bytes, signature: str, delivery: str, timestamp: str, secrets: Sequence[Secret], now: float
) -> bool:
    """Whether `X-MLflow-Signature` is right for one of the secrets and the timestamp is of these minutes.

    https://mlflow.org/docs/latest/ml/webhooks/
    """
    if not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 12 or not delivery:
        return False
    if abs(now - int(timestamp)) > MAX_SKEW:
        return False
    signed = f"{delivery}.{timestamp}.".encode() + body
    digests = (hmac.digest(s.reveal().encode(), signed, "sha256") for s in secrets)
    return _any(signature, ("v1," + base64.b64encode(digest).decode() for digest in digests))


def _any(signature: str, expected: Iterable[str]) -> bool:
    """Compare with every secret, so that the time taken does not tell which one matched."""
    found = False
    for value in expected:
        found |= hmac.compare_digest(signature.encode("utf-8", "replace"), value.encode())
    return found
