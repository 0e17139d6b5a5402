"""What is there at the end, read from GitHub and MLflow directly, and what should be, worked out without the bot."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from mlflow import MlflowClient

from bot.sandbox.github import SandboxRepository
from bot.sandbox.github.state import Repo
from policies.evidence import RunStatus
from tests.chaos.people import People
from tests.chaos.site import Site
from tests.simulation.company import FLOOR
from tests.simulation.oracle import BOT, Oracle
from tests.simulation.promises import End, explained_twins
from tests.simulation.registry import Mlflow, Model, Version

_PAGE: Final = 1000  # more than all that was registered
# After the queue was lost two workers may be at one key until the older one's next effect, which was under way already:
# as long as one request takes, with the two seconds that a slow one waits here, on a machine that others share.
_UNDER_WAY: Final = timedelta(seconds=8)
_NEVER_FROZEN: Final = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)  # a Monday


def look(site: Site, people: People) -> End:
    """Read all of it."""
    mlflow = registry(site.mlflow.url, site.mlflow.artifacts)
    return End(
        repository=site.repository,
        mlflow=mlflow,
        oracle=judged(site.repository, mlflow, _NEVER_FROZEN),
        said=list(people.said),
        now=datetime.now(UTC),
        overlaps=list(site.lost_the_queue),
        under_way=_UNDER_WAY,
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
        "refs": {name: repo.git.ref(name) for name in list(repo.git.repo.references)},
        "issues": [
            (i.number, i.state, i.title, i.body, i.labels, [(c.id, c.body, len(c.reactions)) for c in i.comments])
            for i in list(repo.issues.values())
        ],
        "checks": repo.check_runs,
        "deployments": [(row["id"], row["payload"]) for row in repo.deployments],
        "statuses": {number: len(rows) for number, rows in list(repo.deployment_statuses.items())},
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


def judged(repository: SandboxRepository, mlflow: Mlflow, now: datetime) -> Oracle:
    """The oracle, after it followed every commit of the default branch."""
    commits = _history(repository)
    past = _Past(repository.repo, commits[0])
    oracle = Oracle(_Then(past, mlflow, now))
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


def came_out(end: End) -> dict[str, Any]:
    """Figures of the end."""
    pulls = [p for p in end.repository.pulls("all") if p.author == BOT]
    versions = [version for model in end.mlflow.models.values() for version in model.versions.values()]
    rulings = Counter(r["payload"]["ruling"] for r in end.repository.deployments() if "ruling" in r["payload"])
    return {
        "versions in MLflow": len(versions),
        "of them accepted by policy": sum(
            version.metrics["accuracy"] >= FLOOR for m in end.mlflow.models.values() for version in m.versions.values()
        ),
        "proposals": len(pulls),
        "merged": sum(p.merged for p in pulls),
        "open": sum(p.is_open for p in pulls),
        "changes authorised": rulings["authorised"],
        "changes refused": rulings["refused"],
        "releases": len(end.repository.releases()),
        "commands answered": len(end.answers),
        "twice because the queue was lost": len(explained_twins(end)),
    }
