"""The bot's issues: one a subject, found again by the hidden marker on its first line."""

from __future__ import annotations

from bot.gateways.github import Issue, Repository


class Noticeboard:
    """Opens, updates and closes the bot's issues in one repository."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def report(self, title: str, body: str) -> None:
        """Open the issue whose marker starts `body`, or bring it up to date; one that is closed is opened again."""
        known = self._find(body.splitlines()[0])
        if known is None:
            self._repository.open_issue(title, body)
        elif not known.is_open:
            self._repository.update_issue(known.number, title=title, body=body, state="open")
        elif known.body.replace("\r\n", "\n").strip() != body.strip():
            self._repository.update_issue(known.number, title=title, body=body)

    def resolve(self, *markers: str) -> None:
        """Close the issues of these markers that are open."""
        for issue in self._repository.issues():
            if issue.is_open and issue.body.startswith(markers):
                self._repository.update_issue(issue.number, state="closed")

    def _find(self, marker: str) -> Issue | None:
        return next((issue for issue in self._repository.issues() if issue.body.startswith(marker)), None)
