"""The description of the HTTP service, for people and tools: the file beside this one, as it stands."""

from __future__ import annotations

from importlib import resources

from flask import Blueprint, Response


def openapi() -> Blueprint:
    """`/api/v1/openapi.json`, in OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.1.html)."""
    text = resources.files("bot.web").joinpath("openapi.json").read_bytes()
    blueprint = Blueprint("openapi", __name__)

    @blueprint.get("/api/v1/openapi.json")
    def description() -> Response:
        return Response(text, content_type="application/json")

    return blueprint
