"""Durations as people write them: `90s`, `30m`, `24h`, `7d`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
# None is longer than 300 years, so that every moment that one is added to or taken from is a date that there can be.
_PATTERN: Final = "[0-9]{1,9}s|[0-9]{1,7}m|[0-9]{1,6}h|[0-9]{1,5}d"
DURATION: Final = {
    "type": "string",
    "pattern": f"^({_PATTERN})$",
    "description": "a duration such as 90s, 30m, 24h or 7d",
}
_FORM = re.compile(_PATTERN)


def parse_duration(text: str) -> timedelta:
    """The duration that `text` says; raises ValueError for every other form."""
    if _FORM.fullmatch(text) is None:
        raise ValueError(f"“{text}” is not a duration such as 90s, 30m, 24h or 7d")
    return timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
