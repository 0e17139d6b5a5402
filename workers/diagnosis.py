"""What keeps the bot from working: every credential, permission, webhook and file, looked at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bot.domain.errors import PromotionError, Unreachable
from bot.gateways.github.repository import Repository
from bot.gateways.mlflow_webhooks import inspect_webhook
from bot.gateways.redis_connection import connect
from bot.settings import AppCredentials
from bot.wiring import Gateways
from policies.documents import InvalidDocument
from workers.approvers import permitted
from workers.deploy_files import DeployFiles
from workers.observe_pull_request import problems_at

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
_LEVELS: Final = ("", "read", "write", "admin")


class State(StrEnum):
    """How one thing stands."""

    GOOD = "good"
    BAD = "bad"
    AWAY = "away"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that was looked at, how it stands, and what to mend."""

    what: str
    state: State
    says: str


def diagnose(gateways: Gateways) -> Iterator[Diagnosis]:
    """Everything that the settings name, one after the other; what one thing lacks does not hide the next."""
    settings = gateways.settings
    if settings.redis_url is None:
        yield Diagnosis("queue", State.GOOD, "REDIS_URL is not set: `promotion-bot up` starts a queue of its own")
    else:
        url = settings.redis_url
        yield _looked("queue", lambda: _pinged(connect(url)))
    yield _looked("MLflow registry", lambda: f"{len(gateways.registry.models())} registered models can be read")
    yield _webhook(gateways)
    yield _looked("GitHub sign-in", lambda: f"as {gateways.login()}")
    for name in settings.repositories:
        yield from _repository(gateways, name)


def _looked(what: str, look: Callable[[], str]) -> Diagnosis:
    try:
        return Diagnosis(what, State.GOOD, look())
    except Unreachable as error:
        return Diagnosis(what, State.AWAY, str(error))
    except PromotionError as error:
        return Diagnosis(what, State.BAD, str(error))


def _pinged(connection: object) -> str:
    from bot.gateways.queue import WorkQueue

    WorkQueue(connection).ready()  # type: ignore[arg-type]
    return "Redis answers"


def _webhook(gateways: Gateways) -> Diagnosis:
    what, url = "MLflow webhook", gateways.settings.public_url
    if url is None:
        return Diagnosis(
            what, State.UNKNOWN, "PROMOTION_PUBLIC_URL is not set, so nobody knows where it should deliver"
        )
    try:
        differences = inspect_webhook(gateways.registry, "promotion-bot", f"{url}/webhooks/mlflow")
    except Unreachable as error:
        return Diagnosis(what, State.AWAY, str(error))
    except PromotionError as error:
        return Diagnosis(what, State.BAD, str(error))
    if differences:
        return Diagnosis(what, State.BAD, f"{'; '.join(differences)}: run `promotion-bot webhooks sync`")
    return Diagnosis(what, State.GOOD, f"delivers to {url}/webhooks/mlflow")


def _repository(gateways: Gateways, name: str) -> Iterator[Diagnosis]:
    if isinstance(gateways.settings.github_credentials, AppCredentials):
        yield from _permissions(gateways, name)
    try:
        repository = gateways.github(name)
        head = repository.git.head()
    except Unreachable as error:
        yield Diagnosis(name, State.AWAY, str(error))
        return
    except PromotionError as error:
        yield Diagnosis(name, State.BAD, f"{error}: does it exist, and may the bot read it?")
        return
    yield Diagnosis(name, State.GOOD, f"can be read at {head[:10]}")
    files = DeployFiles(repository)
    problems = problems_at(files, head)
    for problem in problems:
        yield Diagnosis(f"{name}: {problem.source}", State.BAD, str(problem))
    if not problems:
        yield Diagnosis(f"{name}: pipeline, policies, manifest", State.GOOD, "are right")
        yield from _teams(repository, files, head, name)


def _permissions(gateways: Gateways, name: str) -> Iterator[Diagnosis]:
    what = f"{name}: the App's permissions"
    try:
        granted = gateways.github_client.permissions(name)
    except Unreachable as error:
        yield Diagnosis(what, State.AWAY, str(error))
        return
    except PromotionError as error:
        yield Diagnosis(what, State.BAD, str(error))
        return
    if not granted:
        yield Diagnosis(what, State.UNKNOWN, "GitHub does not say")
        return
    lacking = [
        f"{permission}: {level} ({why})"
        for permission, (level, why) in PERMISSIONS.items()
        if _LEVELS.index(granted.get(permission, "")) < _LEVELS.index(level)
    ]
    surplus = [
        f"{permission}: {level}"
        for permission, level in sorted(granted.items())
        if _LEVELS.index(level) > _LEVELS.index({**OPTIONAL, **PERMISSIONS}.get(permission, ("", ""))[0])
    ]
    if lacking:
        yield Diagnosis(what, State.BAD, f"give it {', '.join(lacking)}")
    if surplus:
        yield Diagnosis(what, State.UNKNOWN, f"it has more than it needs: {', '.join(surplus)}")
    if not lacking and not surplus:
        yield Diagnosis(what, State.GOOD, "what it needs and no more")


def _teams(repository: Repository, files: DeployFiles, head: str, name: str) -> Iterator[Diagnosis]:
    try:
        pipeline = files.pipeline(head).pipeline
    except InvalidDocument:
        return
    for environment in pipeline.environments:
        obstacles: list[str] = []
        allowed = permitted(repository, (*environment.approvals.allowed, *environment.overrides), obstacles)
        for obstacle in obstacles:
            yield Diagnosis(f"{name}: {environment.name}", State.BAD, obstacle)
        count = environment.approvals.count
        if allowed is not None and not obstacles and environment.approvals.allowed and len(allowed) < count:
            says = f"{count} approvals are needed and only {len(allowed)} people may give them"
            yield Diagnosis(f"{name}: {environment.name}", State.BAD, says)
