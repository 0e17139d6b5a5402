"""What the stand-in remembers: users, teams, tokens, the App, repositories and everything in them."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bot.sandbox.github.git import GitStore


def utc_now() -> datetime:
    """The clock of the stand-in, unless a test brings its own."""
    return datetime.now(UTC)


@dataclass
class App:
    """A GitHub App with its keys and its one installation a repository owner.

    Without permissions and events of its own it has those that the bot needs.
    """

    id: int
    slug: str
    private_key_pem: str
    public_key_pem: str
    webhook_url: str | None = None
    webhook_secret: str = ""
    permissions: dict[str, str] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)

    @property
    def login(self) -> str:
        """The user that the App acts as."""
        return f"{self.slug}[bot]"


@dataclass
class Token:
    """Who a token is; an installation's token runs out. `scopes` are those of a classic token, None of another."""

    login: str
    app: App | None = None
    expires_at: datetime | None = None
    scopes: str | None = None


@dataclass
class Hook:
    """A repository's webhook."""

    id: int
    url: str
    secret: str
    active: bool = True
    events: list[str] = field(default_factory=lambda: ["*"])


@dataclass
class Pull:
    """A pull request; its text, labels and comments are those of the issue with its number."""

    number: int
    head_ref: str
    base_ref: str
    head_sha: str
    base_sha: str
    merged_at: datetime | None = None
    merged_by: str | None = None
    merge_commit_sha: str | None = None
    mergeable: bool | None = None
    computed_for: tuple[str, str] | None = None
    reviews: list[dict[str, Any]] = field(default_factory=list)
    fork: Repo | None = None  # where the head is, if it is not here
    reviewers: list[str] = field(default_factory=list)
    team_reviewers: list[str] = field(default_factory=list)


@dataclass
class Reaction:
    """One person's reaction to a comment."""

    id: int
    login: str
    content: str
    created_at: datetime


@dataclass
class Comment:
    """A comment under an issue or a pull request."""

    id: int
    author: str
    body: str
    created_at: datetime
    updated_at: datetime
    reactions: list[Reaction] = field(default_factory=list)


@dataclass
class Issue:
    """An issue, or the conversation of a pull request."""

    number: int
    title: str
    body: str
    author: str
    created_at: datetime
    updated_at: datetime
    state: str = "open"
    closed_by: str | None = None
    labels: list[str] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)


@dataclass
class Repo:
    """One repository."""

    id: int
    owner: str
    name: str
    git: GitStore
    private: bool = True
    strict: bool = False  # whether heads must be up to date with their base
    reviews_required: int = 0
    default_branch: str = "main"
    collaborators: dict[str, str] = field(default_factory=dict)
    apps: list[App] = field(default_factory=list)
    hooks: list[Hook] = field(default_factory=list)
    issues: dict[int, Issue] = field(default_factory=dict)
    pulls: dict[int, Pull] = field(default_factory=dict)
    check_runs: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    deployments: list[dict[str, Any]] = field(default_factory=list)
    deployment_statuses: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    releases: list[dict[str, Any]] = field(default_factory=list)

    @property
    def full_name(self) -> str:
        """`owner/name`."""
        return f"{self.owner}/{self.name}"

    def next_number(self) -> int:
        """Issues and pull requests share one sequence."""
        return max(self.issues, default=0) + 1


@dataclass
class World:
    """The whole stand-in; one lock guards it."""

    url: str = ""
    clock: Callable[[], datetime] = utc_now
    users: dict[str, int] = field(default_factory=dict)
    teams: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    apps: dict[int, App] = field(default_factory=dict)
    app_codes: dict[str, App] = field(default_factory=dict)  # of Apps made of a manifest, until they are exchanged
    repos: dict[str, Repo] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1000))

    def next_id(self) -> int:
        """An id that nothing else has."""
        return next(self.ids)
