"""The GitHub App that the bot is: what it needs, and the manifest from which GitHub makes one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

_PUBLIC_API: Final = "https://api.github.com"

# What the App needs, and why; anything beyond is a surplus that a thief of its key would have too.
PERMISSIONS: Final[Mapping[str, tuple[str, str]]] = {
    "checks": ("write", "the checks of pull requests"),
    "contents": ("write", "proposals' branches, tags and releases"),
    "deployments": ("write", "the record of what was authorised"),
    "issues": ("write", "issues, comments, labels"),
    "members": ("read", "the members of teams that may approve"),
    "metadata": ("read", "the repository itself"),
    "pull_requests": ("write", "proposals"),
    "statuses": ("read", "the team's own CI"),
}
# What it needs only where somebody uses what it is for.
OPTIONAL: Final[Mapping[str, tuple[str, str]]] = {"merge_queues": ("read", "the commits by which a queue tries merges")}
EVENTS: Final = frozenset(
    {
        "check_run",
        "check_suite",
        "issue_comment",
        "merge_group",
        "pull_request",
        "pull_request_review",
        "push",
        "status",
    }
)
OPTIONAL_EVENTS: Final = frozenset({"merge_group"})  # only to be had with the permission for merge queues


def manifest(name: str, public_url: str, redirect_url: str) -> dict[str, object]:
    """What GitHub makes the App of; `redirect_url` is where it then sends the browser, with a code.

    https://docs.github.com/en/apps/sharing-github-apps/registering-a-github-app-from-a-manifest
    """
    return {
        "name": name,
        "url": public_url,
        "description": "Promotes machine-learning models by reviewed pull requests.",
        "public": False,
        "redirect_url": redirect_url,
        "hook_attributes": {"url": f"{public_url}/webhooks/github", "active": True},
        "default_permissions": {permission: level for permission, (level, _) in PERMISSIONS.items()},
        "default_events": sorted(EVENTS - OPTIONAL_EVENTS),
    }


def site_of(api_url: str) -> str:
    """Where the pages of an API are: beside it on an Enterprise server, elsewhere without its `api.`."""
    parts = urlsplit(api_url)
    host = parts.hostname or ""
    if api_url == _PUBLIC_API or (host.startswith("api.") and host.endswith(".ghe.com")):
        return f"{parts.scheme}://{parts.netloc.removeprefix('api.')}"
    return api_url.removesuffix("/api/v3")
