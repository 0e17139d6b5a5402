"""Who promoted what, when and on what evidence: read from git and MLflow alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.domain import naming
from bot.domain.manifest import Entry
from bot.domain.plain import moment_text
from bot.domain.versions import RegisteredModel
from policies.documents import InvalidDocument
from workers.repository_view import RepositoryView


@dataclass(frozen=True, slots=True)
class Promotion:
    """One change of an entry on the default branch. `by` is the commit's author; `evidence` the verdict in short."""

    model: str
    environment: str
    before: Entry | None
    after: Entry | None
    commit: str
    at: datetime
    by: str
    message: str
    status: str = ""
    overrides: tuple[str, ...] = ()
    evidence: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The change as JSON values."""
        return {
            "model": self.model,
            "environment": self.environment,
            "from": self.before.version if self.before else None,
            "to": self.after.version if self.after else None,
            "release": self.after.release if self.after else None,
            "digest": self.after.digest if self.after else None,
            "commit": self.commit,
            "at": moment_text(self.at),
            "by": self.by,
            "message": self.message,
            "status": self.status,
            "overrides": list(self.overrides),
            "evidence": self.evidence,
        }


def history(
    view: RepositoryView, registered: RegisteredModel | None, model: str, environment: str | None
) -> list[Promotion]:
    """Every change of a model's entries, newest first."""
    names = [e.name for e in view.pipeline.pipeline.environments if environment in (None, e.name)]
    found: list[Promotion] = []
    commits = view.repository.git.first_parents(view.head)
    newer = next(commits)
    for older in [*commits, None]:
        after = _entries(view, newer.sha)
        before = _entries(view, older.sha) if older is not None else {}
        if after is not None and before is not None:
            for name in names:
                old, new = before.get((model, name)), after.get((model, name))
                if old != new:
                    found.append(
                        Promotion(
                            model,
                            name,
                            old,
                            new,
                            newer.sha,
                            newer.committed_at,
                            newer.author,
                            newer.title,
                            *_from_registry(registered, name, new),
                        )
                    )
        if older is None:
            break
        newer = older
    return found


def _entries(view: RepositoryView, commit: str) -> dict[tuple[str, str], Entry] | None:
    try:
        return dict(view.files.manifest(commit, view.pipeline.pipeline).entries)
    except InvalidDocument:
        return None


def _from_registry(registered: RegisteredModel | None, environment: str, entry: Entry | None) -> Iterator[Any]:
    """What the version's tags say of its place in an environment: status, overrides, the verdict in short."""
    version = registered.version(entry.version) if registered and entry else None
    tags = version.tags if version else {}
    prefix = naming.override_tag(environment, "")
    yield tags.get(f"promotion.{environment}.status", "")
    yield tuple(f"{key.removeprefix(prefix)}: {value}" for key, value in sorted(tags.items()) if key.startswith(prefix))
    yield _evidence(tags.get(naming.verdict_tag(environment), ""))


def _evidence(text: str) -> str:
    try:
        said = json.loads(text)
        checks = ", ".join(f"{name} {status}" for name, status in said["checks"].items())
        return f"{said['status']}: {checks} (policy {said['policy'][:12]}, evidence {said['evidence'][:16]})"
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
