"""The errors that cross rooms. Every message says what happened, where, and what to do next."""

from __future__ import annotations

from enum import StrEnum


class Service(StrEnum):
    """An outside system that can be away; the names are those of the board and of the metric."""

    GITHUB = "GitHub"
    MLFLOW = "MLflow"
    ARTIFACTS = "the artifact store"


class PromotionError(Exception):
    """Base of everything that the product says about itself going wrong."""


class Refused(PromotionError):
    """Somebody asked for what cannot be had. Told to that person, never retried."""


class Unreachable(PromotionError):
    """An outside system did not answer, or asked to be left alone for a while. Retried.

    `retry_after` is in seconds, where the other side named a time; `service` is who did not answer.
    """

    def __init__(self, message: str, retry_after: float | None = None, service: Service | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.service = service


class NotYet(Unreachable):
    """Nothing failed: the work is put back until its turn comes, in `retry_after` seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message, retry_after)


class Misconfigured(PromotionError):
    """Settings, credentials or permissions are wrong: work stops until a person mends them."""


class LostLock(PromotionError):
    """Another worker has taken this key over; what is left to do is its business now."""
