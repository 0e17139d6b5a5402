"""The bot's issues: one a subject, found again by the hidden marker on its first line."""

from __future__ import annotations

from dataclasses import dataclass

from bot.domain import naming
from bot.gateways.github.api import RepositoryApi


@dataclass(frozen=True, slots=True)
class _Issue:
    number: int
    body: str
    is_open: bool


class Issues:
    """Opens, updates and closes the bot's issues in one repository."""

    def __init__(self, api: RepositoryApi) -> None:
        self._api = api

    def report(self, title: str, body: str) -> None:
        """Open the issue whose marker starts `body`, or bring it up to date; one that is closed is opened again."""
        known = self._find(body.splitlines()[0])
        if known is None:
            self._api.write("POST", "/issues", title=title, body=body, labels=[naming.PROMOTION_LABEL])
        elif not known.is_open:
            self._update(known.number, title=title, body=body, state="open")
        elif known.body.replace("\r\n", "\n").strip() != body.strip():
            self._update(known.number, title=title, body=body)

    def resolve(self, *markers: str) -> None:
        """Close the issues of these markers that are open."""
        for issue in self._own():
            if issue.is_open and issue.body.startswith(markers):
                self._update(issue.number, state="closed")

    def _update(self, number: int, **fields: str) -> None:
        self._api.write("PATCH", f"/issues/{number}", **fields)

    def _find(self, marker: str) -> _Issue | None:
        return next((issue for issue in self._own() if issue.body.startswith(marker)), None)

    def _own(self) -> list[_Issue]:
        pages = self._api.pages("/issues", state="all", labels=naming.PROMOTION_LABEL, creator=self._api.login())
        rows = (row for page in pages for row in page if "pull_request" not in row)
        return [_Issue(row["number"], row["body"] or "", row["state"] == "open") for row in rows]
