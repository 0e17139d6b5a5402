"""What is said under pull requests and issues, and the bot's answers to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from bot.domain.commands import looks_like_commands
from bot.domain.instructions import Answer, Answered, Instruction, Settled, parse_answer
from bot.domain.pull_requests import Login
from bot.gateways.github.api import KEPT, RepositoryApi, time_of
from bot.gateways.github.client import GitHubRefusal

STATUS: Final = "<!-- promotion-bot:status -->"


class Reaction(StrEnum):
    """What the bot says to a comment without words (https://docs.github.com/en/rest/reactions/reactions)."""

    SEEN = "eyes"
    DONE = "rocket"
    REFUSED = "confused"


@dataclass(frozen=True, slots=True)
class Comment:
    """One comment, as it is now. `was_edited` tells that its text is not the one that it was written with.

    `issue` is the number of the issue or pull request that it stands under; `author` is empty for a deleted user.
    `reactions` are the kinds that somebody reacted with, where the comment was read by itself.
    """

    id: int
    issue: int
    author: Login
    by_bot: bool
    body: str
    created_at: datetime
    was_edited: bool
    reactions: frozenset[str] = frozenset()


class Log:
    """What was said to the bot in a repository and what it answered, as GitHub remembers both."""

    def __init__(
        self, asked: Iterable[Comment], answers: Iterable[Answer], standing: Iterable[tuple[Comment, str]] = ()
    ) -> None:
        self._asked = {comment.id: comment for comment in asked}
        self._standing = {comment.issue: (comment.id, digest) for comment, digest in standing}
        self._answers: dict[int, dict[int, Answered]] = {}
        for answer in answers:
            self._answers.setdefault(answer.comment, {}).update(answer.lines)

    def standing(self, issue: int) -> tuple[int, str] | None:
        """The id of the bot's one comment under a person's pull request, and the digest of its text."""
        return self._standing.get(issue)

    def answered(self, comment: int) -> Mapping[int, Answered]:
        """How each line of a comment was answered last; empty while it was not."""
        return self._answers.get(comment, {})

    def unanswered(self, since: datetime) -> tuple[Comment, ...]:
        """The people's comments since a moment that look like commands and have no answer, oldest first."""
        return tuple(
            comment
            for comment in sorted(self._asked.values(), key=lambda c: c.id)
            if comment.id not in self._answers and comment.created_at >= since and not comment.was_edited
        )

    def instructions(self) -> tuple[Instruction, ...]:
        """Every accepted command, oldest first; an edited or deleted comment says nothing any more."""
        return self._told(Settled.DONE, Settled.WAITING)

    def attempts(self) -> tuple[Instruction, ...]:
        """Every command that was understood, oldest first, those that were refused too."""
        return self._told(*Settled)

    def _told(self, *settled: Settled) -> tuple[Instruction, ...]:
        found = [
            Instruction(
                told=answered.told,
                by=comment.author,
                at=comment.created_at,
                issue=comment.issue,
                comment=comment.id,
                line=number,
                waiting=answered.settled is Settled.WAITING,
            )
            for comment in self._asked.values()
            if not comment.was_edited
            for number, answered in self.answered(comment.id).items()
            if answered.told is not None and answered.settled in settled
        ]
        return tuple(sorted(found, key=lambda i: i.order))


class Comments:
    """The comments of one repository's issues and pull requests."""

    def __init__(self, api: RepositoryApi) -> None:
        self._api = api

    def get(self, number: int) -> Comment | None:
        """A comment by its id; None where it was deleted."""
        row = self._api.get_or_none(f"/issues/comments/{number}")
        if row is None:
            return None
        counted = row.get("reactions") or {}
        return replace(_comment(_comment_row(row)), reactions=frozenset(kind for kind in Reaction if counted.get(kind)))

    def log(self) -> Log:
        """What was said to the bot here, and its answers.

        Kept in the cache and brought up to date from the most recently changed comment on, so that a look costs one
        conditional request; an emptied cache reads every page again. Nobody hears of a comment that was deleted: what
        a decision hangs on is read once more by its id.
        """
        known = self._known()
        rows, newest = dict(known["rows"]), known["newest"]
        changed_since = {"since": newest} if newest else {}
        try:
            pages = self._api.pages("/issues/comments", sort="updated", direction="asc", **changed_since)
            for row in (row for page in pages for row in page):
                kept = self._kept(_comment_row(row), is_known=str(row["id"]) in rows)
                if kept is not None:
                    rows[str(row["id"])] = kept
                newest = max(newest, row["updated_at"])
        except GitHubRefusal as refusal:
            if refusal.status != 404:  # a repository whose issues are switched off
                raise
        if rows != known["rows"] or newest != known["newest"]:
            self._know({"rows": rows, "newest": newest})
        comments = [_comment(row) for row in rows.values()]
        own = [c for c in comments if c.author == self._api.login() and not c.was_edited]
        answers = (parse_answer(c.body) for c in sorted(own, key=lambda c: c.id))
        people = (c for c in comments if not c.by_bot and c.author and c.author != self._api.login())
        standing = [(c, c.body.removeprefix(STATUS)) for c in comments if c.body.startswith(STATUS)]
        return Log(people, (answer for answer in answers if answer is not None), standing)

    def _known(self) -> dict[str, Any]:
        stored = self._api.cache.get(f"github:comments:{self._api.name}")
        known: dict[str, Any] = json.loads(stored) if stored else {"rows": {}, "newest": ""}
        return known

    def _know(self, known: dict[str, Any]) -> None:
        self._api.cache.set(f"github:comments:{self._api.name}", json.dumps(known).encode(), KEPT)

    def _kept(self, row: dict[str, Any], *, is_known: bool) -> dict[str, Any] | None:
        """What is remembered of a comment; None where it has nothing to do with the bot."""
        if Login(row["author"]) == self._api.login() and row["body"].startswith(STATUS):
            return {**row, "body": STATUS + digest_of(row["body"])}
        if Login(row["author"]) == self._api.login():
            return {**row, "body": row["body"].partition("\n")[0]} if parse_answer(row["body"]) else None
        return {**row, "body": ""} if is_known or looks_like_commands(row["body"]) else None

    def say(self, issue: int, text: str) -> None:
        """Comment on an issue or a pull request."""
        row = self._api.write("POST", f"/issues/{issue}/comments", body=text)
        # GitHub's lists can lag behind its writes: what was just said is known without reading it back.
        known, kept = self._known(), self._kept(_comment_row(row), is_known=False)
        if kept is not None:
            self._know({**known, "rows": {**known["rows"], str(row["id"]): kept}})

    def keep(self, issue: int, text: str) -> None:
        """Have the bot's one comment under a person's pull request say `text`, which starts with its marker."""
        there = self.log().standing(issue)
        if there is None:
            self.say(issue, text)
        elif there[1] != digest_of(text):
            self._api.write("PATCH", f"/issues/comments/{there[0]}", body=text)

    def react(self, number: int, reaction: Reaction) -> None:
        """React to a comment; GitHub keeps one of a kind from each."""
        self._api.write("POST", f"/issues/comments/{number}/reactions", content=reaction.value)

    def conclude(self, comment: Comment, reaction: Reaction) -> None:
        """React for good. What a look reacted that ended before it could answer may be another: that is taken back."""
        path = f"/issues/comments/{comment.id}/reactions"
        others = {other.value for other in (Reaction.DONE, Reaction.REFUSED) if other is not reaction}
        if others & comment.reactions:
            for page in self._api.pages(path):
                for row in page:
                    if row["content"] in others and Login((row["user"] or {}).get("login", "")) == self._api.login():
                        self._api.write("DELETE", f"{path}/{row['id']}")
        self.react(comment.id, reaction)


def digest_of(text: str) -> str:
    """A digest of a text that does not mind how its lines end."""
    return hashlib.sha256(text.replace("\r\n", "\n").strip().encode()).hexdigest()


def _comment_row(row: Mapping[str, Any]) -> dict[str, Any]:
    user = row["user"] or {}
    return {
        "id": row["id"],
        "issue": int(str(row["issue_url"]).rstrip("/").rpartition("/")[2]),
        "author": user.get("login", ""),
        "by_bot": user.get("type") == "Bot",
        "body": row["body"] or "",
        "created_at": row["created_at"],
        "edited": row["updated_at"] != row["created_at"],
    }


def _comment(row: Mapping[str, Any]) -> Comment:
    return Comment(
        id=row["id"],
        issue=row["issue"],
        author=Login(row["author"]),
        by_bot=row["by_bot"],
        body=row["body"],
        created_at=time_of(row["created_at"]),
        was_edited=row["edited"],
    )
