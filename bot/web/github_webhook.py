"""GitHub's events: which key each is about. The content of a payload is never trusted beyond that."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bot.domain.commands import looks_like_commands
from bot.domain.keys import CommentKey, Key, PullRequestKey, RecheckKey, RepositoryKey, Urgency
from bot.web.bodies import Malformed

LIMIT: Final = 25 * 1024 * 1024  # bytes; GitHub's own
Payload = Mapping[str, Any]
_QUEUE_REF = re.compile(r"refs/heads/gh-readonly-queue/.+/pr-(\d{1,9})-[0-9a-f]+", re.ASCII)
_LARGEST_NUMBER: Final = 2**31


@dataclass(frozen=True, slots=True)
class Served:
    """What this bot is there for: its deploy repositories, and the number of its App, if it is one."""

    repositories: tuple[str, ...]
    app_id: int | None = None

    def name(self, repository: object) -> str | None:
        """The served repository as the settings write it; GitHub does not tell upper and lower case apart."""
        if not isinstance(repository, str):
            return None
        return next((name for name in self.repositories if name.lower() == repository.lower()), None)


def keys(event: str, payload: Payload, served: Served) -> tuple[Key, ...]:
    """The keys that an event names; none where there is nothing to do. Raises Malformed for another shape.

    https://docs.github.com/en/webhooks/webhook-events-and-payloads
    """
    if event in _INSTALLATION_LISTS:
        return _installation(event, payload, served)
    handler = EVENTS.get(event)
    if handler is None:
        return ()
    repository = served.name(_text(payload, "repository", "full_name"))
    if repository is None or _is_own(payload, served.app_id):
        return ()
    return handler(repository, payload)


def urgency(event: str, named: tuple[Key, ...]) -> Urgency | None:
    """How urgent an event is; None where its keys say it. What machines report of no pull request waits for no one."""
    is_whole = all(isinstance(key, RepositoryKey) for key in named)
    return Urgency.SWEEP if is_whole and event in _OF_MACHINES else None


def event_name(event: str) -> str:
    """What a metric calls the event; one of a few names, whatever the header holds."""
    return event if event in EVENTS or event in _INSTALLATION_LISTS or event == "ping" else "other"


# --- one event each -------------------------------------------------------------------------------------------------


def _push(repository: str, payload: Payload) -> tuple[Key, ...]:
    """Only the default branch says what should be live; other branches are heads, which pull requests tell of."""
    default = _text(payload, "repository", "default_branch")
    return (RepositoryKey(repository),) if payload.get("ref") == f"refs/heads/{default}" else ()


def _pull_request(repository: str, payload: Payload) -> tuple[Key, ...]:
    return (PullRequestKey(repository, _number(payload, "pull_request")),)


def _issue_comment(repository: str, payload: Payload) -> tuple[Key, ...]:
    """A new comment may hold commands; one that was changed or deleted may take back what a promotion stands on."""
    issue, comment = _part(payload, "issue"), _part(payload, "comment")
    number = _number(payload, "issue")
    body, said = comment.get("body"), comment.get("id")
    if payload.get("action") != "created":
        return (PullRequestKey(repository, number),) if "pull_request" in issue else (RepositoryKey(repository),)
    if type(said) is not int or said <= 0:
        raise Malformed("its `comment.id` is not a number")
    if not isinstance(body, str) or not looks_like_commands(body):
        return ()
    return (CommentKey(repository, number, said),)


def _check_run(repository: str, payload: Payload) -> tuple[Key, ...]:
    return _check(repository, payload, _part(payload, "check_run"))


def _check_suite(repository: str, payload: Payload) -> tuple[Key, ...]:
    return _check(repository, payload, _part(payload, "check_suite"))


def _check(repository: str, payload: Payload, subject: Payload) -> tuple[Key, ...]:
    """Somebody else's check that ended may be what a promotion waits for; the re-run button asks for a new look.

    GitHub names no pull request where the head is in a fork; then only the whole repository can find it.
    """
    if payload.get("action") not in ("completed", "rerequested", "requested_action"):
        return ()
    pulls = subject.get("pull_requests")
    listed = pulls if isinstance(pulls, list) else []
    numbers = {pull["number"] for pull in listed if isinstance(pull, dict) and _is_number(pull.get("number"))}
    key = PullRequestKey if payload.get("action") == "completed" else RecheckKey
    return tuple(key(repository, number) for number in sorted(numbers)) or (RepositoryKey(repository),)


def _status(repository: str, payload: Payload) -> tuple[Key, ...]:
    """A commit's status names no pull request. Those called `promotion/…` are the bot's, where it has a token."""
    context = payload.get("context")
    if payload.get("state") == "pending" or (isinstance(context, str) and context.startswith("promotion/")):
        return ()
    return (RepositoryKey(repository),)


def _merge_group(repository: str, payload: Payload) -> tuple[Key, ...]:
    """A merge queue's branch names the pull request that it ends with."""
    found = _QUEUE_REF.fullmatch(_text(payload, "merge_group", "head_ref"))
    return (PullRequestKey(repository, int(found[1])),) if found else (RepositoryKey(repository),)


def _whole_repository(repository: str, _payload: Payload) -> tuple[Key, ...]:
    return (RepositoryKey(repository),)


def _installation(event: str, payload: Payload, served: Served) -> tuple[Key, ...]:
    """The App was installed, or given repositories: what it serves of them is new to it."""
    listed = payload.get(_INSTALLATION_LISTS[event])
    names = [
        served.name(entry.get("full_name"))
        for entry in (listed if isinstance(listed, list) else ())
        if isinstance(entry, dict)
    ]
    return tuple(RepositoryKey(name) for name in dict.fromkeys(names) if name)


EVENTS: Final[Mapping[str, Callable[[str, Payload], tuple[Key, ...]]]] = {
    "push": _push,
    "pull_request": _pull_request,
    "pull_request_review": _pull_request,
    "pull_request_review_comment": _pull_request,
    "pull_request_review_thread": _pull_request,
    "issue_comment": _issue_comment,
    "check_run": _check_run,
    "check_suite": _check_suite,
    "status": _status,
    "deployment": _whole_repository,
    "deployment_status": _whole_repository,
    "merge_group": _merge_group,
    "repository": _whole_repository,
}
_OF_MACHINES: Final = frozenset({"check_run", "check_suite", "status", "deployment", "deployment_status"})
_INSTALLATION_LISTS: Final = {"installation": "repositories", "installation_repositories": "repositories_added"}


# --- reading a payload ----------------------------------------------------------------------------------------------


def _is_own(payload: Payload, app_id: int | None) -> bool:
    """Whether the bot's own App made the check or deployment that the event is about: it knows that already.

    A re-run button's event is about the bot's own check too, but asks for something.
    """
    if app_id is None or payload.get("action") in ("rerequested", "requested_action"):
        return False
    makers = (
        _inner(payload, "check_run", "app"),
        _inner(payload, "check_suite", "app"),
        _inner(payload, "deployment", "performed_via_github_app"),
    )
    return any(isinstance(app, dict) and app.get("id") == app_id for app in makers)


def _inner(payload: Payload, part: str, name: str) -> object:
    inner = payload.get(part)
    return inner.get(name) if isinstance(inner, dict) else None


def _part(payload: Payload, part: str) -> Payload:
    inner = payload.get(part)
    if not isinstance(inner, dict):
        raise Malformed(f"it has no `{part}`")
    return inner


def _text(payload: Payload, part: str, name: str) -> str:
    value = _inner(payload, part, name)
    if not isinstance(value, str):
        raise Malformed(f"its `{part}.{name}` is not a text")
    return value


def _number(payload: Payload, part: str) -> int:
    value = _inner(payload, part, "number")
    if not _is_number(value):
        raise Malformed(f"its `{part}.number` is not a number")
    return int(str(value))


def _is_number(value: object) -> bool:
    return type(value) is int and 0 < value < _LARGEST_NUMBER
