"""Reading a webhook's body: no more than the limit, and JSON only in a shape that is safe to look into."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from flask import Request


class TooLarge(Exception):
    """The body is larger than the limit; no more than the limit was read."""


class Malformed(Exception):
    """The body is not a JSON object."""


def read(request: Request, limit: int) -> bytes:
    """The raw body; raises TooLarge before more than `limit` bytes are read, also where no length was announced."""
    if request.content_length is not None and request.content_length > limit:
        raise TooLarge
    body = request.environ["wsgi.input"].read(limit + 1 if request.content_length is None else request.content_length)
    if len(body) > limit:
        raise TooLarge
    return bytes(body)


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object that the body is; raises Malformed."""
    try:
        data = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:  # nesting that would not end is a RecursionError
        raise Malformed("it is not JSON") from error
    if not isinstance(data, dict):
        raise Malformed("it is not a JSON object")
    return data


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
