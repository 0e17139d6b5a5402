"""Reading a webhook's body: no more than the limit, and JSON only in a shape that is safe to look into."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from flask import Request


class TooLarge(Exception):
    """The body is larger than the limit; no more than the limit was read."""


class Malformed(Exception):
    """The body is not an event."""


def read(request: Request, limit: int) -> bytes:
    """The raw body; raises TooLarge before more than `limit` bytes are read, also where no length was announced."""
    announced = request.content_length
    if announced is not None and announced > limit:
        raise TooLarge
    source = request.environ["wsgi.input"]
    if announced is not None:
        return bytes(source.read(announced))
    parts = bytearray()
    while len(parts) <= limit and (part := source.read(limit + 1 - len(parts))):
        parts += part
    if len(parts) > limit:
        raise TooLarge
    return bytes(parts)


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object that the body is; raises Malformed. Of a name that comes twice the last value counts."""
    try:
        data = json.loads(body.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:  # too many digits are a ValueError, too many levels the other
        raise Malformed("it is not JSON") from error
    if not isinstance(data, dict):
        raise Malformed("it is not a JSON object")
    return data


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
