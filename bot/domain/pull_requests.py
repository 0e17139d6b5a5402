"""What GitHub says of pull requests, reviews and checks, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Login(str):
    """A GitHub login; GitHub compares them without regard to case, and so do these."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self.casefold() == other.casefold()

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self.casefold())


@dataclass(frozen=True, slots=True)
class PullRequest:
    """One pull request. `merge_commit_sha` is the test merge while it is open, the merge once it is merged.

    `mergeable` is None until GitHub has computed it; lists never say it, nor whether it is `behind` a base that the
    repository's rules want it to be up to date with.
    """

    number: int
    title: str
    body: str
    author: Login
    is_open: bool
    head_sha: str
    head_ref: str
    head_repository: str
    base_ref: str
    labels: frozenset[str]
    created_at: datetime
    merged_at: datetime | None = None
    merge_commit_sha: str | None = None
    mergeable: bool | None = None
    behind: bool = False
    url: str = ""


class ReviewState(StrEnum):
    """https://docs.github.com/en/rest/pulls/reviews"""

    APPROVED = "APPROVED"
    CHANGES_REQUESTED = "CHANGES_REQUESTED"
    COMMENTED = "COMMENTED"
    DISMISSED = "DISMISSED"
    PENDING = "PENDING"


@dataclass(frozen=True, slots=True)
class Review:
    """One review; `commit` is the head that it was given for."""

    author: Login
    state: ReviewState
    commit: str
    submitted_at: datetime


class CheckName(StrEnum):
    """The checks that stand on the head of every pull request to the default branch."""

    POLICY = "promotion/policy"
    APPROVALS = "promotion/approvals"
    WINDOW = "promotion/window"


class CheckState(StrEnum):
    """How a check stands. Waiting is never shown as neutral or skipped, which GitHub counts as passed."""

    SUCCESS = "success"
    FAILURE = "failure"
    IN_PROGRESS = "in_progress"
    ACTION_REQUIRED = "action_required"


@dataclass(frozen=True, slots=True)
class Check:
    """One check on a commit. `title` is at most a line; `summary` is Markdown; `fingerprint` what it stands on.

    `written_at` is by GitHub's clock, None for one that is not there yet.
    """

    name: str
    state: CheckState
    title: str
    summary: str = ""
    fingerprint: str = ""
    written_at: datetime | None = None
