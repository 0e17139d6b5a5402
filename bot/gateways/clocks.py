"""What time it is elsewhere, by the Date header of any answer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import requests

from bot.domain.errors import Unreachable
from bot.gateways.mlflow_api import redacted

_TIMEOUT: Final = 10  # seconds


def seconds_behind(url: str, clock: Callable[[], datetime]) -> float | None:
    """How far `clock` is behind the server at `url`, within about a second; None where its answer has no date.

    Nobody signs in, so that a clock that makes every sign-in fail can be found.
    """
    before = clock()
    try:
        with requests.get(url, timeout=_TIMEOUT, allow_redirects=False, stream=True) as answer:
            said = answer.headers.get("Date", "")
    except requests.RequestException as error:
        raise Unreachable(f"{redacted(url)} could not be reached: {type(error).__name__}") from None
    between = before + (clock() - before) / 2
    try:
        there = parsedate_to_datetime(said)
    except ValueError:
        return None
    # The header has no fractions of a second: on average it is half of one old.
    return (there.astimezone(UTC) - between).total_seconds() + 0.5
