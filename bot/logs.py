"""Logs: one line an event with what it is about; JSON for machines, words for people at a terminal."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, TextIO

from bot.printable import printable

# On every line of JSON, null where they are not known: `delivery` is the webhook's that led to it, `job` the look's.
FIELDS: Final = ("repository", "model", "version", "environment", "delivery", "job")
OURS: Final = "promotion-bot"  # every logger of the product is below it
_LONGEST: Final = 300  # characters of a field: names come from outside
_about: ContextVar[Mapping[str, object]] = ContextVar("about", default={})  # noqa: B039 - never written to


class LogFormat(StrEnum):
    """How a line looks."""

    JSON = "json"
    TEXT = "text"


@contextmanager
def about(**fields: object) -> Iterator[None]:
    """Say on every line that is logged inside what it is about; None says nothing."""
    token = _about.set({**_about.get(), **{name: value for name, value in fields.items() if value is not None}})
    try:
        yield
    finally:
        _about.reset(token)


def configure(wanted: LogFormat | None = None, stream: TextIO | None = None) -> None:
    """Log to standard error: as `wanted`, else in words on a terminal and in JSON elsewhere."""
    target = stream or sys.stderr
    form = wanted or (LogFormat.TEXT if target.isatty() else LogFormat.JSON)
    handler = logging.StreamHandler(target)
    handler.setFormatter(_Json() if form is LogFormat.JSON else _Text())
    # Of others only warnings: clients of MLflow, GitHub and the stores log each request with what is in its URL.
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger(OURS).setLevel(logging.INFO)


def _known() -> dict[str, object]:
    return {name: _shown(value) for name, value in _about.get().items()}


def _shown(value: object) -> object:
    if isinstance(value, int):
        return value
    text = str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **dict.fromkeys(FIELDS),
            **_known(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False).replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        record.message = printable(record.message)
        line = super().formatMessage(record)
        fields = " ".join(f"{name}={_quoted(value)}" for name, value in _known().items())
        return f"{line}  [{fields}]" if fields else line


def _quoted(value: object) -> str:
    """A value as one word: names from outside may hold spaces, line breaks and what moves a terminal's cursor."""
    text = str(value)
    return text if text.isascii() and text.isprintable() and " " not in text else json.dumps(text)
