"""What work is about. An event only names one of these keys; what the key means is read afterwards."""

from __future__ import annotations

import json
from dataclasses import astuple, dataclass
from enum import IntEnum


@dataclass(frozen=True, slots=True, order=True)
class ModelKey:
    """One registered model in one deploy repository: its proposals and its place in the registry."""

    repository: str
    model: str


@dataclass(frozen=True, slots=True, order=True)
class PullRequestKey:
    """One pull request: its checks and body, which nobody else writes."""

    repository: str
    number: int


@dataclass(frozen=True, slots=True, order=True)
class RecheckKey:
    """One pull request whose checks somebody wants written anew, though they may say the same: the re-run button."""

    repository: str
    number: int


@dataclass(frozen=True, slots=True, order=True)
class CommentKey:
    """One comment under an issue or a pull request: the commands in it and their answer."""

    repository: str
    issue: int
    comment: int


@dataclass(frozen=True, slots=True, order=True)
class EnvironmentKey:
    """One environment of one deploy repository: its group pull request."""

    repository: str
    environment: str


@dataclass(frozen=True, slots=True, order=True)
class RepositoryKey:
    """A whole deploy repository: looks at everything in it and queues the keys that have something to do."""

    repository: str


@dataclass(frozen=True, slots=True, order=True)
class RegisteredModelKey:
    """A registered model that an event named before it is known which deploy repository owns it."""

    model: str


Key = ModelKey | PullRequestKey | RecheckKey | CommentKey | EnvironmentKey | RepositoryKey | RegisteredModelKey


class Urgency(IntEnum):
    """What comes first: what people wait for, what is new, what only the clock asks for."""

    PEOPLE = 0
    CANDIDATE = 1
    SWEEP = 2


_KINDS: dict[str, type[Key]] = {
    "model": ModelKey,
    "pull-request": PullRequestKey,
    "recheck": RecheckKey,
    "comment": CommentKey,
    "environment": EnvironmentKey,
    "repository": RepositoryKey,
    "registered-model": RegisteredModelKey,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
PEOPLE_WAIT_FOR = frozenset({"comment", "pull-request", "recheck"})  # kinds of key


def urgency_of(key: Key) -> Urgency:
    """How urgent a key is that an event named or whose time has come."""
    return Urgency.PEOPLE if _NAMES[type(key)] in PEOPLE_WAIT_FOR else Urgency.CANDIDATE


def dump_key(key: Key) -> str:
    """The key as one line of JSON, the same for equal keys: it is the key's identity in the queue."""
    return json.dumps([_NAMES[type(key)], *astuple(key)], ensure_ascii=True, separators=(",", ":"))


def parse_key(text: str) -> Key:
    """The key that `dump_key` wrote; raises ValueError for anything else."""
    match json.loads(text):
        case ["pull-request", str(repository), int(number)]:
            return PullRequestKey(repository, number)
        case ["recheck", str(repository), int(number)]:
            return RecheckKey(repository, number)
        case ["comment", str(repository), int(issue), int(comment)]:
            return CommentKey(repository, issue, comment)
        case ["model", str(repository), str(model)]:
            return ModelKey(repository, model)
        case ["environment", str(repository), str(environment)]:
            return EnvironmentKey(repository, environment)
        case ["repository", str(repository)]:
            return RepositoryKey(repository)
        case ["registered-model", str(model)]:
            return RegisteredModelKey(model)
        case _:
            raise ValueError(f"not a key of the queue: {text[:200]}")
