"""GitHub in this process: the stand-in answers the bot's requests without a connection between them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote, urlencode

from werkzeug.wrappers import Request, Response

from bot.gateways.cache import Cache
from bot.gateways.github.client import GitHubClient
from bot.sandbox.github import GitHubSandbox
from bot.sandbox.github.state import App, Token
from bot.settings import AppCredentials, Secret

TOKEN: Final = "installation-token"

_CONDITIONS: Final = frozenset({"If-None-Match"})

# Runs one call of a worker: whether it writes, what it is, and how it is done.
Carry = Callable[[bool, str, Callable[[], Any]], Any]


class Wire:
    """What PyGithub's requester is to the client: one signed request and its answer."""

    def __init__(self, github: GitHubSandbox, carry: Carry, kept_back: frozenset[str] = _CONDITIONS) -> None:
        self._github = github
        self._carry = carry
        self._kept_back = kept_back

    def requestJson(
        self, verb: str, path: str, parameters: Mapping[str, Any], headers: Mapping[str, str], body: object
    ) -> tuple[int, dict[str, str], str]:
        wanted = {name: value for name, value in headers.items() if name not in self._kept_back}

        def ask() -> tuple[int, dict[str, str], str]:
            answer: Response = self._github.answer(Request(_environ(verb, path, parameters, wanted, body)))
            return answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, answer.get_data(as_text=True)

        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        what = f"{verb} {path}" + (f"?{query}" if query else "")
        answered: tuple[int, dict[str, str], str] = self._carry(verb != "GET", what, ask)
        # What is unchanged is told here and not by the stand-in, since an answer may be one of a moment ago.
        status, said, text = answered
        if verb == "GET" and "etag" in said and said["etag"] == headers.get("If-None-Match"):
            return 304, said, ""
        return status, said, text


def _environ(
    verb: str, path: str, parameters: Mapping[str, Any], headers: Mapping[str, str], body: object
) -> dict[str, Any]:
    """One request as WSGI has it (PEP 3333); werkzeug's own builder takes as long as the whole answer."""
    sent = b"" if body is None else json.dumps(body).encode()
    return {
        "REQUEST_METHOD": verb,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(path).encode().decode("latin-1"),
        "QUERY_STRING": urlencode(parameters),
        "SERVER_NAME": "github.test",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(sent)),
        "HTTP_HOST": "github.test",
        "HTTP_AUTHORIZATION": f"token {TOKEN}",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(sent),
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()},
    }


class SimulatedGitHubClient(GitHubClient):
    """The real client on a wire without a network; it is signed in already."""

    def __init__(
        self, github: GitHubSandbox, app: App, cache: Cache, carry: Carry, kept_back: frozenset[str] = _CONDITIONS
    ) -> None:
        super().__init__(github.url, AppCredentials(str(app.id), Secret("unused")), cache)
        github.world.tokens[TOKEN] = Token(app.login, app)
        self._wire = Wire(github, carry, kept_back)
        self._slug = app.login

    def _requester(self, repository: str) -> Any:
        return self._wire

    def _ask_login(self) -> str:
        return self._slug
