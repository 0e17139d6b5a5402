"""What every page of the board has around it: its policy, its navigation, and how it stays up to date."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from flask import Blueprint, Response, render_template, request
from markupsafe import Markup, escape

from bot.domain.board import LEFT_TO_PEOPLE, Matter
from bot.domain.errors import PromotionError
from bot.domain.pull_requests import CheckState
from bot.gateways.board_details import GateSeen
from bot.web.board.assets import asset_url
from bot.web.board.links import Links

_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HTML: Final = "text/html; charset=utf-8"
_LIVE: Final = "live"  # the argument that says which content somebody has already
_MOST_ARGUMENTS: Final = 20
_SEARCH: Final = ("query", "served", "environments")  # what the form above the overview is made of
_MERGE: Final = "Merge it: every check is green."
_CODE: Final = re.compile(r"`([^`]*)`")


def pages(name: str, links: Links) -> Blueprint:
    """A blueprint of pages: what templates may use, and what is shown while Redis is away."""
    blueprint = Blueprint(name, __name__, template_folder="../templates")

    @blueprint.context_processor
    def known() -> dict[str, Any]:
        return {"links": links, "asset_url": asset_url}

    @blueprint.app_template_filter("said")
    def said(text: str) -> Markup:
        """Text for people, in which what stands between backticks is code."""
        return Markup(_CODE.sub(lambda m: f"<code>{m[1]}</code>", str(escape(text))))  # noqa: S704 - escaped before

    @blueprint.app_template_filter("login")
    def login(name: str) -> str:
        """A login as people call it."""
        return name.removesuffix("[bot]")

    @blueprint.app_template_filter("next_step")
    def next_step(matter: Matter, gates: Sequence[GateSeen]) -> str:
        """The one thing to do next; what a pull request's gates show goes before what the pipeline alone asks for."""
        return _MERGE if gates and matter.do in LEFT_TO_PEOPLE and _all_green(gates) else matter.do

    @blueprint.app_template_filter("moment")
    def moment(at: datetime | None) -> Markup:
        """A moment; the page's script says how long ago it was."""
        if at is None:
            return Markup("")
        utc = at.astimezone(UTC)
        return Markup('<time datetime="{}">{}</time>').format(f"{utc:%Y-%m-%dT%H:%M:%SZ}", f"{utc:%Y-%m-%d %H:%M} UTC")

    @blueprint.errorhandler(PromotionError)
    def away(_error: PromotionError) -> Response:
        return _shell("away.html", "The board is away", "", 503, {})

    return blueprint


def _all_green(gates: Sequence[GateSeen]) -> bool:
    return all(gate.state is CheckState.SUCCESS for gate in gates)


def page(template: str, title: str, section: str, status: int = 200, **context: Any) -> Response:  # noqa: ANN401
    """A page, or its content alone for a page that is open already; 204 where that has this very content."""
    return _shell(template, title, section, status, context)


def _shell(template: str, title: str, section: str, status: int, context: dict[str, Any]) -> Response:
    content = render_template(template, **context)
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    known = request.args.get(_LIVE)
    if known == digest:
        return Response(status=204, headers={"Content-Security-Policy": _POLICY})
    body = render_template(
        "main.html" if known is not None else "shell.html",
        content=Markup(content),  # noqa: S704 - a template of ours, which escapes
        title=title,
        section=section,
        live_url=_live_url(digest),
        **{name: context[name] for name in _SEARCH if name in context},
    )
    return Response(body, status, content_type=_HTML, headers={"Content-Security-Policy": _POLICY})


def _live_url(digest: str) -> str:
    """The address under which this page's content is asked for again."""
    asked = [(name, value) for name, value in request.args.items(multi=True) if name != _LIVE]
    return f"{request.path}?{urlencode([*asked[:_MOST_ARGUMENTS], (_LIVE, digest)])}"
