"""`/service`: how the service itself is doing, and what to do where it is not well."""

from __future__ import annotations

from flask import Blueprint, Response

from bot.web.board.links import Links
from bot.web.board.page import page, pages
from bot.web.service import Service


def service_page(service: Service, links: Links) -> Blueprint:
    """The page about the service."""
    blueprint = pages("service", links)

    @blueprint.get("/service")
    def itself() -> Response:
        return page("service.html", "The service", "service", state=service.state())

    return blueprint
