"""Who may look at the board: everybody, or who has a token, or who the proxy in front has signed in."""

from __future__ import annotations

import hmac
from typing import Final

from flask import Flask, Request, Response, request

from bot.settings import Secret, Settings
from bot.web.answers import answer

# Webhooks have signatures of their own, and who asks for health learns nothing else.
_OPEN: Final = frozenset({"/webhooks/github", "/webhooks/mlflow", "/healthz", "/readyz"})
_CHALLENGE: Final = 'Basic realm="promotion-bot", charset="UTF-8", Bearer realm="promotion-bot"'


def ask_who_is_there(app: Flask, settings: Settings) -> None:
    """Have everything but webhooks and health ask for a sign-in, where the settings name one; either is enough."""
    tokens, header = settings.board_tokens, settings.board_user_header
    if not tokens and header is None:
        return

    @app.before_request
    def asked() -> Response | None:
        if request.path in _OPEN or _has_token(request, tokens) or (header and request.headers.get(header)):
            return None
        if not tokens:
            return answer(403, "the proxy in front did not say who you are")
        response = answer(401, "sign in with the board's token: as a bearer, or as a password under any name")
        response.headers["WWW-Authenticate"] = _CHALLENGE
        return response


def _has_token(asked: Request, tokens: tuple[Secret, ...]) -> bool:
    """Whether the request carries one of the tokens; how long it takes tells nothing of them."""
    try:
        said = asked.authorization
    except ValueError:  # werkzeug's, for a password that is no ASCII
        return False
    if said is None:
        return False
    given = (said.token if said.type == "bearer" else said.password if said.type == "basic" else None) or ""
    return any(hmac.compare_digest(given.encode(errors="replace"), token.reveal().encode()) for token in tokens)
