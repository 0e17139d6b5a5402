"""The whole bot without its processes: real MLflow, the GitHub stand-in, and one look after the other."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from mlflow import MlflowClient

from bot.domain import naming
from bot.domain.actions import Action, LookAgain, LookAt
from bot.domain.errors import LostLock
from bot.domain.keys import CommentKey, Key, PullRequestKey, RegisteredModelKey, RepositoryKey
from bot.domain.manifest import Manifest, parse_manifests
from bot.domain.pipeline import parse_pipeline
from bot.gateways.queue import WorkQueue
from bot.gateways.redis_connection import connect
from bot.sandbox import company
from bot.sandbox.github import GitHubSandbox, SandboxPull, SandboxRepository
from bot.sandbox.github.state import Comment, Token
from bot.settings import AppCredentials, Secret, Settings
from bot.wiring import Gateways, build
from tests.conftest import wait_until
from tests.registering import register
from workers.apply import Effects
from workers.jobs import look_at

FILES = {
    **company.FILES,
    "promotion.yaml": company.PIPELINE.replace('["breast-*"]', '["fraud-*"]').replace("soak: 1s", "soak: 0s"),
}


@dataclass
class TestDesk:
    """A desk whose queue is a set in memory."""

    __test__ = False
    house: House
    key: Key
    lost: bool = False
    begun: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def queue(self) -> WorkQueue:
        """The real one, of which a look uses the board."""
        return WorkQueue(self.house.gateways.cache.connection)  # type: ignore[arg-type]

    def still_mine(self) -> None:
        if self.lost:
            raise LostLock("another worker has it")

    def look_at(self, key: Key) -> None:
        self.house.keys[key] = None

    def look_again(self, at: datetime) -> None:
        if (at - self.begun).total_seconds() < 4:  # and not evidence that is pending, after 5 s and more
            self.house.later[self.key] = at


@dataclass
class Cost:
    """Requests: to GitHub, those answered with 304 (which GitHub does not count) apart, and to MLflow."""

    github: list[str] = field(default_factory=list)
    unchanged: int = 0
    mlflow: list[str] = field(default_factory=list)


@dataclass
class House:
    """One deploy repository, one registry, one bot; `others` are further repositories that the bot serves."""

    github: GitHubSandbox
    repository: SandboxRepository
    mlflow: MlflowClient
    gateways: Gateways
    model: str
    others: tuple[SandboxRepository, ...] = ()
    keys: dict[Key, None] = field(default_factory=dict)
    later: dict[Key, datetime] = field(default_factory=dict)

    # --- the bot --------------------------------------------------------------------------------------------------

    def look(self, key: Key) -> None:
        look_at(key, TestDesk(self, key), self.gateways)  # type: ignore[arg-type]

    def settle(self) -> None:
        """Look until nothing is left to do, as the sweep would; no webhook is needed."""
        deadline = time.monotonic() + 300
        for _ in range(3):
            for repository in (self.repository, *self.others):
                self.keys[RepositoryKey(repository.repo.full_name)] = None
            seen, wrote = set[Key](), self._written()
            while self.keys or self.later:
                assert time.monotonic() < deadline, f"the bot goes on for ever: {self.keys} {self.later}"
                seen.add(self._next())
            if wrote == self._written() and all(isinstance(key, RepositoryKey | PullRequestKey) for key in seen):
                return  # a sweep that finds nothing to do, and no open pull request that changed

    def _written(self) -> int:
        return sum(request.method != "GET" for request in self.github.requests)

    def look_and_follow(self, key: Key) -> None:
        """One look, and one at each key that it queued."""
        self.keys.clear()
        self.look(key)
        for waiting in [k for k in list(self.keys) if k != key]:
            self.look(waiting)

    def _next(self) -> Key:
        if not self.keys:
            key, at = min(self.later.items(), key=lambda item: item[1])
            time.sleep(max(0.0, (at - datetime.now(UTC)).total_seconds()))
            del self.later[key]
            self.keys[key] = None
        key = next(iter(self.keys))
        del self.keys[key]
        self.look(key)
        return key

    def event(self, model: str = "") -> None:
        """MLflow says that something happened to the model."""
        self.keys[RegisteredModelKey(model or self.model)] = None
        self.settle()

    @contextlib.contextmanager
    def at_work(self, meanwhile: Callable[[], None] = lambda: None) -> Iterator[None]:
        """The bot looks again and again, as its workers do; `meanwhile` is what else happens after each time."""
        stopped = threading.Event()

        def work() -> None:
            while not stopped.wait(0.2):
                self.settle()
                meanwhile()

        with ThreadPoolExecutor(1) as pool:
            working = pool.submit(work)
            try:
                yield
            finally:
                stopped.set()
                working.result(300)

    @contextlib.contextmanager
    def counted(self) -> Iterator[Cost]:
        """What the looks inside ask of GitHub and MLflow."""
        cost, before = Cost(), len(self.github.requests)
        send = requests.Session.send

        def counting(session: requests.Session, request: Any, **options: Any) -> requests.Response:
            if str(request.url).startswith(str(self.gateways.settings.mlflow_tracking_uri)):
                cost.mlflow.append(f"{request.method} {request.path_url}")
            return send(session, request, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(requests.Session, "send", counting)
            yield cost
        seen = self.github.requests[before:]
        cost.github += [f"{r.method} {r.path} {r.status}" for r in seen if r.status != 304]
        cost.unchanged = len(seen) - len(cost.github)

    # --- the people -----------------------------------------------------------------------------------------------

    def register(
        self,
        accuracy: float = 0.95,
        model: str = "",
        files: Mapping[str, bytes] | None = None,
        tags: Mapping[str, str] | None = None,
        **metrics: float,
    ) -> int:
        """A data scientist trains and registers a version; only its files, metrics and tags matter."""
        measured = {"accuracy": accuracy, "f1_score": accuracy, **metrics}
        return register(self.mlflow, model or self.model, measured, files or {}, tags or {})

    def say(self, pull: SandboxPull | int, login: str, text: str) -> int:
        """Somebody comments; GitHub's webhook names the comment, and the bot looks. The comment's id."""
        number = pull if isinstance(pull, int) else pull.number
        comment = self.repository.comment(number, login, text)
        self.keys[CommentKey(self.repository.repo.full_name, number, comment)] = None
        self.settle()
        return comment

    def rewrite(self, comment: int, login: str, text: str) -> None:
        """Somebody changes what was said; in a later second than it was said in, or GitHub's times do not tell it."""
        said = self._comment(comment).created_at.replace(microsecond=0)
        wait_until(lambda: self.github.world.clock() >= said + timedelta(seconds=1), "the second is over")
        self.repository.edit_comment(comment, login, text)

    def answers(self, pull: SandboxPull | int) -> list[str]:
        """What the bot answered under a pull request or an issue."""
        number = pull if isinstance(pull, int) else pull.number
        said = self.repository.comments(number)
        return [c.body for c in said if c.author == self.gateways.login()]

    def reactions(self, comment: int) -> list[str]:
        """The bot's reactions to a comment."""
        return [r.content for r in self._comment(comment).reactions if r.login == self.gateways.login()]

    def _comment(self, number: int) -> Comment:
        return next(c for i in list(self.repository.repo.issues.values()) for c in i.comments if c.id == number)

    def workflow_token(self) -> str:
        """The token that GitHub Actions gives to one run of a workflow in the repository."""
        app = self.github.add_app("github-actions")
        self.repository.repo.apps.append(app)
        token = f"ghs_{app.id}"
        self.github.world.tokens[token] = Token(app.login, app)
        return token

    def approve_and_merge(self, pull: SandboxPull) -> None:
        pull.approve("alice")
        pull.approve("bob")
        pull.merge("bob")

    # --- looking --------------------------------------------------------------------------------------------------

    def proposal(self, environment: str, version: int) -> SandboxPull | None:
        branch = naming.branch_name(environment, self.model, version)
        found = [p for p in self.repository.pulls("all") if p.head_ref == branch]
        assert len(found) <= 1, "two pull requests for one proposal"
        return found[0] if found else None

    def proposed(self, environment: str, version: int) -> SandboxPull:
        pull = self.proposal(environment, version)
        assert pull is not None, f"v{version} is not proposed for {environment}"
        return pull

    def manifest(self) -> Manifest:
        """The manifest on the default branch."""
        pipeline = parse_pipeline((self.repository.file("promotion.yaml") or "").encode(), "promotion.yaml")
        return parse_manifests({"versions.yaml": self.repository.file("versions.yaml") or ""}, pipeline)

    def stage(self, version: int) -> str:
        return str(self.mlflow.get_model_version(self.model, str(version)).current_stage)

    def tags(self, version: int) -> dict[str, str]:
        return dict(self.mlflow.get_model_version(self.model, str(version)).tags)

    def aliases(self) -> dict[str, int]:
        return {name: int(v) for name, v in self.mlflow.get_registered_model(self.model).aliases.items()}

    def to_production(self, version: int) -> SandboxPull:
        self.event()
        pull = self.proposed("production", version)
        self.approve_and_merge(pull)
        self.settle()
        return pull


@contextlib.contextmanager
def house(
    mlflow_url: str,
    redis_url: Secret,
    files: dict[str, str] | None = None,
    *,
    app: bool = True,
    model: str = "",
    owns: str = "",
    others: Mapping[str, str] | None = None,
) -> Iterator[House]:
    """A fresh repository and cache; the registry is shared, so every house has a model name of its own.

    `owns` is what the pipeline says of its models where that is not the model's name; `others` are the names of further
    repositories with what their pipelines say.
    """
    connection = connect(redis_url)
    connection.flushall()
    with GitHubSandbox() as github:
        github.add_user("dana-ds", "alice", "bob", "carol", "mallory")
        github.add_team("acme", "ml-platform", ["alice", "bob"])
        people = dict.fromkeys(("dana-ds", "alice", "carol", "mallory", "promo"), "write") | {"bob": "admin"}
        registered = github.add_app("promotion-bot")
        model = model or f"fraud-{time.time_ns()}"

        def add(name: str, owned: str) -> SandboxRepository:
            contents = {path: text.replace("fraud-*", owned) for path, text in {**FILES, **(files or {})}.items()}
            return github.add_repository(name, contents, people, [registered])

        repository = add(company.REPOSITORY, owns or model)
        further = {name: add(name, owned) for name, owned in (others or {}).items()}
        credentials: AppCredentials | Secret = (
            AppCredentials(str(registered.id), Secret(registered.private_key_pem))
            if app
            else Secret(github.add_token("promo"))
        )
        settings = Settings(
            mlflow_tracking_uri=mlflow_url,
            mlflow_webhook_secrets=(Secret("m"),),
            github_webhook_secrets=(Secret("g"),),
            github_credentials=credentials,
            github_api_url=github.api_url,
            repositories=(company.REPOSITORY, *further),
            redis_url=redis_url,
        )
        yield House(github, repository, MlflowClient(mlflow_url), build(settings), model, tuple(further.values()))


def killed_after_each_effect(look: Callable[[], None], meanwhile: Callable[[], None] = lambda: None) -> int:
    """Take a look again and again, each in a process that is killed (SIGKILL) right after the first effect that is new.

    `meanwhile` is what others do after each death. It ends with the look in which no effect is new: what is left only
    asks for others, or is done again and changes nothing. How many died.
    """
    seen: list[str] = []
    while (effect := _killed_after_another_effect(look, seen)) is not None:
        seen.append(effect)
        assert len(seen) < 40, "the look never ends"
        meanwhile()
    return len(seen)


def _killed_after_another_effect(look: Callable[[], None], seen: list[str]) -> str | None:
    """The effect after which the look's process was killed; None where it lived to the end."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        apply = Effects.apply

        def killed(self: Effects, action: Action) -> None:
            apply(self, action)
            if not isinstance(action, LookAgain | LookAt) and (effect := repr(action)[:2000]) not in seen:
                os.write(writing, effect.encode())
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            pytest.MonkeyPatch().setattr(Effects, "apply", killed)
            look()
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    os.close(writing)
    with os.fdopen(reading) as told:
        effect = told.read()
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the look failed instead of being killed"
    return effect if os.WIFSIGNALED(status) else None


def everything(house: House) -> dict[str, Any]:
    """The final state that must not depend on what happened on the way."""
    versions = sorted(house.mlflow.search_model_versions(f"name = '{house.model}'"), key=lambda v: int(v.version))
    volatile = ("at", "commit", "pr")
    return {
        "manifest": house.repository.file("versions.yaml"),
        "stages": {int(v.version): v.current_stage for v in versions},
        "aliases": house.aliases(),
        "tags": {
            int(v.version): {k: t for k, t in sorted(v.tags.items()) if k.rpartition(".")[2] not in volatile}
            for v in versions
        },
        "pulls": [(p.head_ref, p.merged, p.is_open, sorted(p.labels)) for p in house.repository.pulls("all")],
        "releases": [r["tag_name"] for r in house.repository.releases()],
        "git tags": sorted(house.repository.tags()),
        "branches": house.repository.branches(),
        "deployments": [
            (d["environment"], d["payload"]["version"], [s["state"] for s in d["statuses"]])
            for d in house.repository.deployments()
        ],
        "issues": [i.title for i in house.repository.issues("all")],
        "comments": [len(i.comments) for i in list(house.repository.repo.issues.values())],
    }


def without_names(state: dict[str, object], built: House) -> str:
    """The state with what differs between houses replaced: the model's name and the digests of its files."""
    return re.sub(r"sha256:[0-9a-f]{64}", "sha256:…", str(state).replace(built.model, "MODEL"))
