"""GitHub in this process: the stand-in answers the bot's requests without a connection between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request, Response

from bot.gateways.cache import Cache
from bot.gateways.github.client import GitHubClient
from bot.sandbox.github import GitHubSandbox
from bot.sandbox.github.state import App, Token
from bot.settings import AppCredentials, Secret

TOKEN: Final = "installation-token"

# Runs one call of a worker: whether it writes, what it is, and how it is done.
Carry = Callable[[bool, str, Callable[[], Any]], Any]


class Wire:
    """What PyGithub's requester is to the client: one signed request and its answer."""

    def __init__(self, github: GitHubSandbox, carry: Carry) -> None:
        self._github = github
        self._carry = carry

    def requestJson(
        self, verb: str, path: str, parameters: Mapping[str, Any], headers: Mapping[str, str], body: object
    ) -> tuple[int, dict[str, str], str]:
        def ask() -> tuple[int, dict[str, str], str]:
            builder = EnvironBuilder(
                path,
                self._github.url,
                parameters,
                verb,
                json=body,
                headers={**headers, "Authorization": f"token {TOKEN}"},
            )
            answer: Response = self._github.answer(Request(builder.get_environ()))
            return answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, answer.get_data(as_text=True)

        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        known = headers.get("If-None-Match", "")
        what = f"{verb} {path}" + (f"?{query}" if query else "") + (f" unless {known}" if known else "")
        answered: tuple[int, dict[str, str], str] = self._carry(verb != "GET", what, ask)
        return answered


class SimulatedGitHubClient(GitHubClient):
    """The real client on a wire without a network; it is signed in already."""

    def __init__(self, github: GitHubSandbox, app: App, cache: Cache, carry: Carry) -> None:
        super().__init__(github.url, AppCredentials(str(app.id), Secret("unused")), cache)
        github.world.tokens[TOKEN] = Token(app.login, app)
        self._wire = Wire(github, carry)
        self._slug = app.login

    def _requester(self, repository: str) -> Any:
        return self._wire

    def _ask_login(self) -> str:
        return self._slug
