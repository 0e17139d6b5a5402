"""The requests of one repository: every part of it speaks through this, relative to the repository's own address."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from bot.domain.pull_requests import Login
from bot.gateways.cache import Cache
from bot.gateways.github.client import JSON, GitHubClient

KEPT: Final = 30 * 86_400  # seconds that what never changes, or is brought up to date when read, stays in the cache
_DESCRIPTION_KEPT: Final = 3600  # seconds; a default branch hardly ever changes its name


class RepositoryApi:
    """GitHub's REST API below `/repos/<name>`. Paths begin with a slash; `name` is `owner/name`."""

    def __init__(self, client: GitHubClient, cache: Cache, name: str) -> None:
        self.name = name
        self.cache = cache
        self._client = client
        self._path = f"/repos/{name}"
        self._repository: dict[str, Any] | None = None

    @property
    def app_id(self) -> int | None:
        """The App that the bot is; None where it has a token."""
        return self._client.app_id

    def login(self) -> Login:
        """The bot's own login."""
        return self._client.login()

    def default_branch(self) -> str:
        """The branch whose manifest counts."""
        return str(self._described()["default_branch"])

    def is_private(self) -> bool:
        """Whether only those who were let in may read the repository."""
        return bool(self._described()["private"])

    def _described(self) -> dict[str, Any]:
        if self._repository is None:
            key = f"github:repository:{self.name}"
            known = self.cache.get(key)
            said = json.loads(known) if known else self.get("")
            self._repository = {"default_branch": said["default_branch"], "private": said.get("private", False)}
            self.cache.set(key, json.dumps(self._repository).encode(), _DESCRIPTION_KEPT)
        return self._repository

    def get(self, path: str, /, **parameters: object) -> JSON:
        """One answer, asked for conditionally."""
        return self._client.get(self.name, f"{self._path}{path}", **parameters)

    def get_or_none(self, path: str, /, **parameters: object) -> JSON | None:
        """Like `get`; None where there is no such thing."""
        return self._client.get_or_none(self.name, f"{self._path}{path}", **parameters)

    def pages(self, path: str, /, **parameters: object) -> Iterator[list[JSON]]:
        """The pages of a list, read as far as the caller goes."""
        return self._client.pages(self.name, f"{self._path}{path}", **parameters)

    def organisation_pages(self, path: str, /) -> Iterator[list[JSON]]:
        """The pages of a list below `/orgs`, read with the rights that the bot has in this repository."""
        return self._client.pages(self.name, f"/orgs{path}")

    def immutable(self, path: str) -> JSON:
        """What stands below a git object id: asked for once."""
        return self._client.immutable(self.name, f"{self._path}{path}")

    def remember(self, path: str, body: JSON) -> None:
        """Keep what is known already as the answer of `immutable`."""
        self._client.remember(self.name, f"{self._path}{path}", body)

    def write(self, verb: str, path: str, **body: object) -> JSON:
        """One POST, PATCH, PUT or DELETE."""
        return self._client.write(self.name, verb, f"{self._path}{path}", body or None)


def time_of(text: str) -> datetime:
    """GitHub's time."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
