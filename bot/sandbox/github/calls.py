"""One request to the API, and the table of endpoints that answer requests."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from werkzeug.wrappers import Request

from bot.sandbox.github.checks import Checks
from bot.sandbox.github.comments import Comments
from bot.sandbox.github.errors import ApiError
from bot.sandbox.github.git import Person
from bot.sandbox.github.pulls import Pulls
from bot.sandbox.github.shapes import Shapes
from bot.sandbox.github.state import Repo, Token, World
from bot.sandbox.github.webhooks import Webhooks

ROLES: Final = ("read", "triage", "write", "maintain", "admin")


@dataclass(frozen=True, slots=True)
class House:
    """A world with everything that acts on it."""

    world: World
    shapes: Shapes
    webhooks: Webhooks
    pulls: Pulls
    comments: Comments
    checks: Checks

    @classmethod
    def of(cls, world: World) -> House:
        """Build what acts on a world."""
        shapes = Shapes(world)
        webhooks = Webhooks(world, shapes)
        acting = (world, shapes, webhooks)
        return cls(*acting, Pulls(*acting), Comments(*acting), Checks(*acting))


@dataclass
class Call:
    """One request with everything that an endpoint needs."""

    request: Request
    args: tuple[str, ...]
    actor: Token | None
    house: House
    repo: Repo | None = None

    @property
    def world(self) -> World:
        """Everything that there is."""
        return self.house.world

    @property
    def body(self) -> dict[str, Any]:
        """The JSON body; empty where there is none."""
        try:
            data = json.loads(self.request.get_data() or b"{}")
        except ValueError as error:
            raise ApiError(400, "Problems parsing JSON") from error
        if not isinstance(data, dict):
            raise ApiError(400, "Body should be a JSON object")
        return data

    @property
    def login(self) -> str:
        """Who asks."""
        if self.actor is None:
            raise ApiError(401, "Requires authentication")
        return self.actor.login

    @property
    def author(self) -> Person:
        """The commit author that the one who asks is."""
        number = self.world.users.setdefault(self.login, self.world.next_id())
        return Person(self.login, f"{number}+{self.login}@users.noreply.github.com")

    @property
    def at(self) -> Repo:
        """The repository of the request."""
        if self.repo is None:
            raise ApiError(404, "Not Found")
        return self.repo

    @property
    def number(self) -> int:
        """The number of an issue or pull request that is there, from the path."""
        number = int(self.args[0]) if self.args[0].isdecimal() else 0
        if number not in self.at.issues:
            raise ApiError(404, "Not Found")
        return number

    def needs(self, role: str) -> None:
        """Refuse unless the one who asks has at least this role in the repository."""
        have = role_of(self.at, self.actor)
        if have is None or ROLES.index(have) < ROLES.index(role):
            raise ApiError(
                403, "Resource not accessible by integration" if self.actor and self.actor.app else "Forbidden"
            )

    def required(self, name: str) -> Any:  # noqa: ANN401 - a JSON value
        """A field of the body that must be there."""
        if name not in self.body:
            raise ApiError(422, f'Invalid request.\n\n"{name}" wasn\'t supplied.')
        return self.body[name]


def role_of(repo: Repo, actor: Token | None) -> str | None:
    """The role that a token gives in a repository."""
    if actor is not None and actor.app is not None:
        return "write" if actor.app in repo.apps else None
    if actor is not None and actor.login in repo.collaborators:
        return repo.collaborators[actor.login]
    return None if repo.private else "read"


Answer = tuple[int, Any]
Endpoint = Callable[[Call], Answer]
ROUTES: list[tuple[str, re.Pattern[str], Endpoint]] = []


def route(method: str, path: str) -> Callable[[Endpoint], Endpoint]:
    """Register an endpoint; `{name}` in the path is one segment, `{name*}` the rest."""
    pattern = re.sub(r"\{\w+\*\}", "(.+)", re.sub(r"\{\w+\}", "([^/]+)", path))

    def register(endpoint: Endpoint) -> Endpoint:
        ROUTES.append((method, re.compile(pattern), endpoint))
        return endpoint

    return register
