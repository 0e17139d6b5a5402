"""What is said under pull requests and issues, and the bot's answers to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bot.domain.pull_requests import Login
from bot.gateways.github.api import RepositoryApi, time_of


class Reaction(StrEnum):
    """What the bot says to a comment without words (https://docs.github.com/en/rest/reactions/reactions)."""

    SEEN = "eyes"
    DONE = "rocket"
    REFUSED = "confused"


@dataclass(frozen=True, slots=True)
class Comment:
    """One comment, as it is now. `was_edited` tells that its text is not the one that it was written with."""

    id: int
    author: Login
    body: str
    created_at: datetime
    was_edited: bool


class Comments:
    """The comments of one repository's issues and pull requests."""

    def __init__(self, api: RepositoryApi) -> None:
        self._api = api

    def get(self, number: int) -> Comment | None:
        """A comment by its id; None where it was deleted."""
        row = self._api.get_or_none(f"/issues/comments/{number}")
        return _comment(row) if row is not None else None

    def under(self, issue: int) -> Iterator[Comment]:
        """What was said under an issue or a pull request, oldest first."""
        for page in self._api.pages(f"/issues/{issue}/comments"):
            yield from map(_comment, page)

    def say(self, issue: int, marker: str, text: str) -> None:
        """Have the bot's comment that starts with a marker say `text`; one that stands is changed, not joined."""
        body = f"{marker}\n{text}"
        for comment in self.under(issue):
            if comment.author == self._api.login() and comment.body.startswith(marker):
                if comment.body.replace("\r\n", "\n").strip() != body.strip():
                    self._api.write("PATCH", f"/issues/comments/{comment.id}", body=body)
                return
        self._api.write("POST", f"/issues/{issue}/comments", body=body)

    def react(self, number: int, reaction: Reaction) -> None:
        """React to a comment; GitHub keeps one of a kind from each."""
        self._api.write("POST", f"/issues/comments/{number}/reactions", content=reaction.value)


def _comment(row: dict[str, object]) -> Comment:
    user = row["user"] or {}
    return Comment(
        id=int(str(row["id"])),
        author=Login(str(user.get("login", "")) if isinstance(user, dict) else ""),
        body=str(row["body"] or ""),
        created_at=time_of(str(row["created_at"])),
        was_edited=row["updated_at"] != row["created_at"],
    )
