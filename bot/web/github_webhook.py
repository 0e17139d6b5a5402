"""GitHub's events: which key each is about. The content of a payload is never trusted beyond that."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from bot.domain.keys import Key, PullRequestKey, RepositoryKey
from bot.web.bodies import Malformed

LIMIT: Final = 25 * 1024 * 1024  # bytes; GitHub's own
Payload = Mapping[str, Any]
_QUEUE_REF = re.compile(r"refs/heads/gh-readonly-queue/.+/pr-(\d{1,9})-[0-9a-f]+")


def keys(event: str, payload: Payload, repositories: tuple[str, ...]) -> tuple[Key, ...]:
    """The keys that an event names; none where there is nothing to do. Raises Malformed for another shape.

    https://docs.github.com/en/webhooks/webhook-events-and-payloads
    """
    handler = _HANDLERS.get(event)
    if handler is None:
        return ()
    repository = _text(payload, "repository", "full_name")
    served = next((name for name in repositories if name.lower() == repository.lower()), None)
    return () if served is None else handler(served, payload)


def _push(repository: str, payload: Payload) -> tuple[Key, ...]:
    """Only the default branch says what should be live; other branches are heads, which pull requests tell of."""
    default = _text(payload, "repository", "default_branch")
    return (RepositoryKey(repository),) if payload.get("ref") == f"refs/heads/{default}" else ()


def _pull_request(repository: str, payload: Payload) -> tuple[Key, ...]:
    return (PullRequestKey(repository, _number(payload, "pull_request")),)


def _issue_or_comment(repository: str, payload: Payload) -> tuple[Key, ...]:
    issue = payload.get("issue")
    if not isinstance(issue, dict):
        raise Malformed("it has no `issue`")
    return (PullRequestKey(repository, _number(payload, "issue")),) if "pull_request" in issue else ()


def _check(repository: str, payload: Payload) -> tuple[Key, ...]:
    """A check of others may be what a merge waits for, a re-run button asks for a new look."""
    subject = payload.get("check_run") or payload.get("check_suite")
    pulls = subject.get("pull_requests") if isinstance(subject, dict) else None
    if not isinstance(pulls, list):
        raise Malformed("it has no list of pull requests")
    numbers = {p["number"] for p in pulls if isinstance(p, dict) and type(p.get("number")) is int}
    if payload.get("action") != "rerequested":
        return ()
    return tuple(PullRequestKey(repository, number) for number in sorted(numbers)) or (RepositoryKey(repository),)


def _whole_repository(repository: str, _payload: Payload) -> tuple[Key, ...]:
    return (RepositoryKey(repository),)


def _merge_group(repository: str, payload: Payload) -> tuple[Key, ...]:
    """A merge queue's branch names the pull request that it ends with."""
    found = _QUEUE_REF.fullmatch(_text(payload, "merge_group", "head_ref"))
    return (PullRequestKey(repository, int(found[1])),) if found else (RepositoryKey(repository),)


_HANDLERS: Final[Mapping[str, Callable[[str, Payload], tuple[Key, ...]]]] = {
    "push": _push,
    "pull_request": _pull_request,
    "pull_request_review": _pull_request,
    "issues": _issue_or_comment,
    "issue_comment": _issue_or_comment,
    "check_run": _check,
    "check_suite": _check,
    "merge_group": _merge_group,
    "repository": _whole_repository,
}


def _text(payload: Payload, part: str, name: str) -> str:
    inner = payload.get(part)
    value = inner.get(name) if isinstance(inner, dict) else None
    if not isinstance(value, str):
        raise Malformed(f"its `{part}.{name}` is not a text")
    return value


def _number(payload: Payload, part: str) -> int:
    inner = payload.get(part)
    value = inner.get("number") if isinstance(inner, dict) else None
    if type(value) is not int or value < 1:
        raise Malformed(f"its `{part}.number` is not a number")
    return value
