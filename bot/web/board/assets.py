"""What pages load beside themselves: our stylesheet and script, and two libraries that come with the package."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from typing import Final

from flask import Blueprint, Response

from bot.web.answers import answer

_TYPES: Final = {
    "board.css": "text/css; charset=utf-8",
    "board.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "vendor/htmx.min.js": "text/javascript; charset=utf-8",
    "vendor/uPlot.iife.min.js": "text/javascript; charset=utf-8",
    "vendor/uPlot.min.css": "text/css; charset=utf-8",
}
_FOR_A_YEAR: Final = "private, max-age=31536000, immutable"  # the address changes with the content


@cache
def _content(name: str) -> bytes:
    return resources.files("bot.web").joinpath("static", *name.split("/")).read_bytes()


@cache
def asset_url(name: str) -> str:
    """The address of an asset, which tells its content."""
    return f"/assets/{name}?v={hashlib.sha256(_content(name)).hexdigest()[:12]}"


def assets() -> Blueprint:
    """`/assets/NAME`: nothing but the files that are named here."""
    blueprint = Blueprint("assets", __name__)

    @blueprint.get("/assets/<path:name>")
    def asset(name: str) -> Response:
        if name not in _TYPES:
            return answer(404, "there is no such asset")
        return Response(_content(name), content_type=_TYPES[name], headers={"Cache-Control": _FOR_A_YEAR})

    return blueprint
