"""The addresses and constant fields that GitHub's answers carry around what matters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

_OF_USER: Final = {
    "followers": "/followers",
    "following": "/following{/other_user}",
    "gists": "/gists{/gist_id}",
    "starred": "/starred{/owner}{/repo}",
    "subscriptions": "/subscriptions",
    "organizations": "/orgs",
    "repos": "/repos",
    "events": "/events{/privacy}",
    "received_events": "/received_events",
}
_OF_REPOSITORY: Final = {
    "archive": "/{archive_format}{/ref}",
    "assignees": "/assignees{/user}",
    "blobs": "/git/blobs{/sha}",
    "branches": "/branches{/branch}",
    "collaborators": "/collaborators{/collaborator}",
    "comments": "/comments{/number}",
    "commits": "/commits{/sha}",
    "compare": "/compare/{base}...{head}",
    "contents": "/contents/{+path}",
    "contributors": "/contributors",
    "deployments": "/deployments",
    "downloads": "/downloads",
    "events": "/events",
    "forks": "/forks",
    "git_commits": "/git/commits{/sha}",
    "git_refs": "/git/refs{/sha}",
    "git_tags": "/git/tags{/sha}",
    "hooks": "/hooks",
    "issue_comment": "/issues/comments{/number}",
    "issue_events": "/issues/events{/number}",
    "issues": "/issues{/number}",
    "keys": "/keys{/key_id}",
    "labels": "/labels{/name}",
    "languages": "/languages",
    "merges": "/merges",
    "milestones": "/milestones{/number}",
    "notifications": "/notifications{?since,all,participating}",
    "pulls": "/pulls{/number}",
    "releases": "/releases{/id}",
    "stargazers": "/stargazers",
    "statuses": "/statuses/{sha}",
    "subscribers": "/subscribers",
    "subscription": "/subscription",
    "tags": "/tags",
    "teams": "/teams",
    "trees": "/git/trees{/sha}",
}
_COUNTS: Final = (
    "forks",
    "forks_count",
    "network_count",
    "open_issues",
    "open_issues_count",
    "size",
    "stargazers_count",
    "subscribers_count",
    "watchers",
    "watchers_count",
)
APP_PERMISSIONS = {
    **dict.fromkeys(("checks", "contents", "deployments", "issues", "pull_requests"), "write"),
    **dict.fromkeys(("members", "metadata", "statuses"), "read"),
}
APP_EVENTS: Final = (
    "check_run",
    "check_suite",
    "issue_comment",
    "merge_group",
    "pull_request",
    "pull_request_review",
    "push",
    "status",
)
REACTIONS: Final = ("+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes")
BORN: Final = "2026-01-01T00:00:00Z"
UNSIGNED: Final[Any] = {
    "verified": False,
    "reason": "unsigned",
    "signature": None,
    "payload": None,
    "verified_at": None,
}


def of_user(url: str) -> dict[str, Any]:
    """What stands beside a user's login: `url` is the user's address in the API."""
    return {"gravatar_id": "", **{f"{name}_url": url + path for name, path in _OF_USER.items()}}


def of_repository(url: str, html: str) -> dict[str, Any]:
    """What stands beside a repository's name: `url` is its address in the API, `html` its page's."""
    return {
        **{f"{name}_url": url + path for name, path in _OF_REPOSITORY.items()},
        **dict.fromkeys(_COUNTS, 0),
        "clone_url": f"{html}.git",
        "git_url": f"{html}.git",
        "ssh_url": f"{html}.git",
        "svn_url": html,
        "mirror_url": None,
        "description": None,
        "homepage": None,
        "language": None,
        "license": None,
        "topics": [],
        "visibility": "private",
        "disabled": False,
        "is_template": False,
        "web_commit_signoff_required": False,
        "has_discussions": False,
        "has_downloads": False,
        "has_issues": True,
        "has_pages": False,
        "has_projects": False,
        "has_wiki": False,
        "allow_forking": True,
        "created_at": BORN,
        "updated_at": BORN,
        "pushed_at": BORN,
    }


def of_pull(url: str, html: str, issue: str, repository: str, head: str) -> dict[str, Any]:
    """The addresses of a pull request: its own, its page's, its issue's, its repository's, and its head commit's id."""
    places = {
        "self": url,
        "html": html,
        "issue": issue,
        "comments": f"{issue}/comments",
        "review_comments": f"{url}/comments",
        "review_comment": f"{repository}/pulls/comments{{/number}}",
        "commits": f"{url}/commits",
        "statuses": f"{repository}/statuses/{head}",
    }
    named = {name: places[name] for name in ("comments", "review_comments", "review_comment", "commits", "statuses")}
    return {
        "diff_url": f"{html}.diff",
        "patch_url": f"{html}.patch",
        **{f"{name}_url": address for name, address in named.items()},
        "_links": {name: {"href": address} for name, address in places.items()},
        "assignee": None,
        "milestone": None,
        "active_lock_reason": None,
    }


def reactions(url: str, contents: Sequence[str]) -> dict[str, Any]:
    """How many reactions of each kind what has the address `url` got."""
    counted = {content: list(contents).count(content) for content in REACTIONS}
    return {"url": f"{url}/reactions", "total_count": len(contents), **counted}


def of_issue(url: str, repository: str) -> dict[str, Any]:
    """What stands around an issue's text."""
    return {
        "repository_url": repository,
        "labels_url": f"{url}/labels{{/name}}",
        "comments_url": f"{url}/comments",
        "events_url": f"{url}/events",
        "reactions": reactions(url, ()),
        "locked": False,
        "active_lock_reason": None,
        "assignee": None,
        "assignees": [],
        "milestone": None,
    }


def of_release(repository: str, html: str, number: int, tag: str) -> dict[str, Any]:
    """The addresses of a release."""
    url = f"{repository}/releases/{number}"
    return {
        "url": url,
        "html_url": f"{html}/releases/tag/{tag}",
        "assets_url": f"{url}/assets",
        "upload_url": f"{url}/assets{{?name,label}}",
        "tarball_url": f"{repository}/tarball/{tag}",
        "zipball_url": f"{repository}/zipball/{tag}",
        "immutable": False,
    }
