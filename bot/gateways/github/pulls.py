"""Pull requests and their reviews."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bot.domain import naming
from bot.domain.pull_requests import Login, PullRequest, Review, ReviewState
from bot.domain.world import LIVE_MARKER
from bot.gateways.github.api import KEPT, RepositoryApi, time_of
from bot.gateways.github.client import GitHubRefusal


class Pulls:
    """The pull requests of one repository."""

    def __init__(self, api: RepositoryApi) -> None:
        self._api = api

    def all(self) -> tuple[PullRequest, ...]:
        """Open pull requests to the default branch, and all that ever stood on a branch of the bot's.

        Kept in the cache and brought up to date from the most recently updated page on, so that a look costs one
        conditional request; an emptied cache reads every page again. Of a closed one's text only the marker is kept
        that says what became of it: there is no end to their number, and `get` has the whole.
        """
        known = self._known()
        rows, newest = dict(known["rows"]), known["newest"]
        for page in self._api.pages(
            "/pulls",
            state="all",
            base=self._api.default_branch(),
            sort="updated",
            direction="desc",
        ):
            for row in page:
                kept, number = _kept_row(row), str(row["number"])
                if number in rows and rows[number].get("updated", "") > kept["updated"]:
                    continue  # GitHub's lists can lag behind its writes
                if kept["open"] or kept["head_ref"].startswith(naming.BRANCH_PREFIX):
                    rows[number] = kept
                else:
                    rows.pop(number, None)
                newest = max(newest, row["updated_at"])
            if known["newest"] and any(row["updated_at"] < known["newest"] for row in page):
                break
        if rows != known["rows"] or newest != known["newest"]:
            self._know({"rows": rows, "newest": newest})
        return tuple(_pull(row) for _, row in sorted(rows.items(), key=lambda item: int(item[0])))

    def _known(self) -> dict[str, Any]:
        stored = self._api.cache.get(f"github:pulls:{self._api.name}")
        known: dict[str, Any] = json.loads(stored) if stored else {"rows": {}, "newest": ""}
        return known

    def _know(self, known: dict[str, Any]) -> None:
        self._api.cache.set(f"github:pulls:{self._api.name}", json.dumps(known).encode(), KEPT)

    def _learned(self, row: Mapping[str, Any]) -> PullRequest:
        """What the bot just wrote is known without reading it back."""
        known, kept = self._known(), _kept_row(row)
        self._know({**known, "rows": {**known["rows"], str(row["number"]): kept}})
        return _pull(kept)

    def get(self, number: int) -> PullRequest | None:
        """One pull request as it stands now, with its mergeability; None where there is none."""
        row = self._api.get_or_none(f"/pulls/{number}")
        return _pull(_pull_row(row)) if row else None

    def of_commit(self, sha: str) -> PullRequest | None:
        """The pull request whose merge made `sha`, or that brought it to the default branch."""
        merged = next((p for p in self.all() if p.merge_commit_sha == sha and p.merged_at), None)
        if merged is not None:
            return merged
        rows = self._api.get_or_none(f"/commits/{sha}/pulls") or []
        pulls = (_pull(_pull_row(row)) for row in rows)
        return next((p for p in pulls if p.merged_at and p.base_ref == self._api.default_branch()), None)

    def reviews(self, number: int) -> tuple[Review, ...]:
        """Every review of a pull request, oldest first."""
        return tuple(
            Review(
                Login((row["user"] or {}).get("login", "ghost")),
                ReviewState(row["state"]),
                row["commit_id"] or "",
                time_of(row["submitted_at"]),
            )
            for page in self._api.pages(f"/pulls/{number}/reviews")
            for row in page
            if row["state"] in set(ReviewState) and row.get("submitted_at")
        )

    def open(self, branch: str, title: str, body: str) -> PullRequest:
        """Open the pull request of a branch; one that stands already is adopted."""
        try:
            row = self._api.write(
                "POST", "/pulls", title=title, head=branch, base=self._api.default_branch(), body=body
            )
        except GitHubRefusal as refusal:
            if refusal.status != 422 or "already exists" not in refusal.messages:
                raise
            owner = self._api.name.partition("/")[0]
            rows = self._api.get("/pulls", state="open", head=f"{owner}:{branch}")
            row = next(r for r in rows if r["head"]["ref"] == branch)
        return self._learned(row)

    def add_labels(self, number: int, labels: Sequence[str]) -> None:
        """Add labels to a pull request or issue; GitHub creates those that the repository lacks."""
        self._api.write("POST", f"/issues/{number}/labels", labels=list(labels))

    def request_reviews(self, number: int, logins: Sequence[str], teams: Sequence[str]) -> None:
        """Ask people and teams (their slugs) for a review; those whom GitHub does not take are left out.

        GitHub refuses the whole list for one name, such as that of somebody who may not see the repository; then each
        is asked alone.
        """
        path = f"/pulls/{number}/requested_reviewers"
        try:
            self._api.write("POST", path, reviewers=list(logins), team_reviewers=list(teams))
        except GitHubRefusal as refusal:
            if refusal.status not in (404, 422):
                raise
            if len(logins) + len(teams) > 1:
                for login in logins:
                    self.request_reviews(number, [login], [])
                for team in teams:
                    self.request_reviews(number, [], [team])

    def update_body(self, number: int, body: str) -> None:
        """Replace the text of a pull request."""
        self._learned(self._api.write("PATCH", f"/pulls/{number}", body=body))

    def close(self, number: int) -> None:
        """Close a pull request without merging it."""
        self._learned(self._api.write("PATCH", f"/pulls/{number}", state="closed"))

    def merge(self, number: int, head: str, message: str = "") -> None:
        """Merge a pull request if its head is still `head`, by the first method that the repository allows.

        Raises GitHubRefusal where the head moved (409) or the repository's rules keep the bot from merging (405).
        """
        said = {"commit_message": message} if message else {}
        for method in ("merge", "squash", "rebase"):
            try:
                self._api.write("PUT", f"/pulls/{number}/merge", sha=head, merge_method=method, **said)
            except GitHubRefusal as refusal:
                not_allowed = "not allowed" in refusal.messages.lower()
                if refusal.status != 405 or not not_allowed or method == "rebase":
                    raise
            else:
                return


def _kept_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of GitHub's pull request beyond this moment."""
    kept = _pull_row(row)
    if kept["open"]:
        return kept
    return {**kept, "body": LIVE_MARKER if LIVE_MARKER in kept["body"] else ""}


def _pull_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """What is read of GitHub's pull request, in JSON's types."""
    return {
        "number": row["number"],
        "title": row["title"],
        "body": row["body"] or "",
        "author": (row["user"] or {}).get("login", "ghost"),
        "open": row["state"] == "open",
        "head_sha": row["head"]["sha"],
        "head_ref": row["head"]["ref"],
        "head_repository": (row["head"]["repo"] or {}).get("full_name", ""),
        "base_ref": row["base"]["ref"],
        "labels": [label["name"] for label in row["labels"]],
        "created_at": row["created_at"],
        "updated": row["updated_at"],
        "merged_at": row["merged_at"],
        "merge_commit_sha": row["merge_commit_sha"],
        "mergeable": row.get("mergeable"),
        "behind": row.get("mergeable_state") == "behind",
        "url": row["html_url"],
    }


def _pull(row: Mapping[str, Any]) -> PullRequest:
    return PullRequest(
        number=row["number"],
        title=row["title"],
        body=row["body"],
        author=Login(row["author"]),
        is_open=row["open"],
        head_sha=row["head_sha"],
        head_ref=row["head_ref"],
        head_repository=row["head_repository"],
        base_ref=row["base_ref"],
        labels=frozenset(row["labels"]),
        created_at=time_of(row["created_at"]),
        merged_at=time_of(row["merged_at"]) if row["merged_at"] else None,
        merge_commit_sha=row["merge_commit_sha"],
        mergeable=row["mergeable"],
        behind=row.get("behind", False),
        url=row["url"],
    )
