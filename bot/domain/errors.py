"""The errors that cross rooms. Every message says what happened, where, and what to do next."""

from __future__ import annotations


class PromotionError(Exception):
    """Base of everything that the product says about itself going wrong."""


class Refused(PromotionError):
    """Somebody asked for what cannot be had. Told to that person, never retried."""


class Unreachable(PromotionError):
    """An outside system did not answer, or asked to be left alone for a while. Retried.

    `retry_after` is in seconds, where the other side named a time.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Misconfigured(PromotionError):
    """Settings, credentials or permissions are wrong: work stops until a person mends them."""


class LostLock(PromotionError):
    """Another worker has taken this key over; what is left to do is its business now."""
