"""Durations as people write them: `90s`, `30m`, `24h`, `7d`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
DURATION: Final = {
    "type": "string",
    "pattern": "^[0-9]{1,9}[smhd]$",
    "description": "a duration such as 90s, 30m, 24h or 7d",
}
_FORM = re.compile(r"(\d{1,9})([smhd])", re.ASCII)


def parse_duration(text: str) -> timedelta:
    """The duration that `text` says; raises ValueError for every other form."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"“{text}” is not a duration such as 90s, 30m, 24h or 7d")
    try:
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    except OverflowError as error:
        raise ValueError(f"“{text}” is longer than any duration can be") from error
