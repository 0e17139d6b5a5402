"""What is there at the end, read from GitHub and MLflow directly, and what should be, worked out without the bot."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from mlflow import MlflowClient

from bot.sandbox.github import SandboxRepository
from bot.sandbox.github.state import Comment, Repo
from policies.evidence import RunStatus
from tests.chaos.people import People, Said
from tests.chaos.site import Site
from tests.simulation.oracle import BOT, Oracle
from tests.simulation.registry import Mlflow, Model, Version

_PAGE: Final = 1000  # more than all that was registered
_NEVER_FROZEN: Final = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)  # a Monday


@dataclass
class Found:
    """The state of the world, what people did, and what follows from both."""

    repository: SandboxRepository
    mlflow: Mlflow
    models: tuple[str, ...]
    said: list[Said]
    closed: set[tuple[str, str, int]]
    lost_the_queue: list[datetime]
    now: datetime = _NEVER_FROZEN
    oracle: Oracle = field(init=False)

    def __post_init__(self) -> None:
        self.oracle = _judged(self)

    def comments(self) -> list[Comment]:
        """Everything that was said anywhere."""
        return [comment for issue in self.repository.repo.issues.values() for comment in issue.comments]

    def of_the_bot(self) -> list[Comment]:
        """What the bot said."""
        return [comment for comment in self.comments() if comment.author == BOT]


def look(site: Site, people: People) -> Found:
    """Read all of it."""
    return Found(
        site.repository,
        registry(site.mlflow.url, site.mlflow.artifacts),
        people.models,
        list(people.said),
        set(people.closed),
        list(site.lost_the_queue),
    )


def registry(url: str, artifacts: Path) -> Mlflow:
    """The registry as MLflow says that it is, with the files as they are in its store."""
    client = MlflowClient(url)
    runs = {run.info.run_id: run for run in client.search_runs(["0"], max_results=_PAGE)}
    found = Mlflow()
    for model in client.search_registered_models(max_results=_PAGE):
        aliases = {alias: int(version) for alias, version in model.aliases.items()}
        found.models[model.name] = Model(model.name, {}, aliases, dict(model.tags))
    for row in client.search_model_versions(max_results=_PAGE):
        run = runs[row.run_id]
        place = artifacts / "0" / row.run_id / "artifacts" / "model"
        files = {str(p.relative_to(place)): p.read_bytes() for p in sorted(place.rglob("*")) if p.is_file()}
        files.pop("registered_model_meta", None)
        found.models[row.name].versions[int(row.version)] = Version(
            int(row.version),
            datetime.fromtimestamp(row.creation_timestamp / 1000, UTC),
            dict(run.data.metrics),
            files,
            RunStatus.FINISHED if run.info.status == "FINISHED" else RunStatus.RUNNING,
            row.current_stage,
            dict(row.tags),
        )
    return found


def fingerprint(site: Site) -> str:
    """A digest of everything that the bot may change."""
    repo = site.repository.repo
    github: dict[str, Any] = {
        "refs": {name: repo.git.ref(name) for name in repo.git.repo.references},
        "issues": [
            (i.number, i.state, i.title, i.body, i.labels, [(c.id, c.body, len(c.reactions)) for c in i.comments])
            for i in list(repo.issues.values())
        ],
        "checks": repo.check_runs,
        "deployments": [(row["id"], row["payload"]) for row in repo.deployments],
        "statuses": {number: len(rows) for number, rows in repo.deployment_statuses.items()},
        "releases": repo.releases,
    }
    client = MlflowClient(site.mlflow.url)
    mlflow = [
        *(
            (m.name, sorted(m.aliases.items()), sorted(m.tags.items()))
            for m in client.search_registered_models(max_results=_PAGE)
        ),
        *(
            (v.name, v.version, v.current_stage, sorted(v.tags.items()))
            for v in client.search_model_versions(max_results=_PAGE)
        ),
    ]
    return hashlib.sha256(json.dumps([github, mlflow], default=str, sort_keys=True).encode()).hexdigest()


@dataclass
class _Past:
    """The repository as it was at a commit of the default branch."""

    repo: Repo
    at: str

    def head(self) -> str:
        return self.at


@dataclass
class _Then:
    """What the oracle sees while it follows the default branch from its first commit on."""

    repository: Any
    mlflow: Mlflow
    now: datetime


def _judged(found: Found) -> Oracle:
    """The oracle, after it followed every commit of the default branch."""
    commits = _history(found.repository)
    past = _Past(found.repository.repo, commits[0])
    oracle = Oracle(_Then(past, found.mlflow, found.now))
    for commit in commits[1:]:
        past.at = commit
        oracle.follow()
    return oracle


def _history(repository: SandboxRepository) -> list[str]:
    """The commits that the default branch had, oldest first."""
    git, commits = repository.repo.git.repo, [repository.head()]
    while parents := git[commits[-1]].parent_ids:
        commits.append(str(parents[0]))
    return commits[::-1]
