"""The bot's deployments: the record of every judgement, with GitHub's own clock and author."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from bot.domain import naming
from bot.domain.errors import Refused
from bot.domain.manifest import Entry
from bot.domain.pull_requests import Login
from bot.domain.world import ChangeKind, Completion, Judgement, Ruling
from bot.gateways.github.api import KEPT, RepositoryApi, time_of
from bot.gateways.github.checks import DESCRIPTION_LIMIT

_TASK: Final = "promotion"
_ADOPTION_TASK: Final = "adoption"


@dataclass(frozen=True, slots=True)
class RecordedJudgement:
    """A judgement with where it stands: the deployment's id, its model and environment."""

    deployment: int
    model: str
    environment: str
    judgement: Judgement

    @property
    def subject(self) -> tuple[str, str, str, Ruling]:
        """What is recorded once: a ruling on one commit's change of one entry."""
        return self.model, self.environment, self.judgement.commit, self.judgement.ruling


@dataclass(frozen=True, slots=True)
class Adoption:
    """The bot's deployment that says: the manifest at `commit` states what was live already."""

    commit: str
    at: datetime


class Deployments:
    """The bot's deployments in one repository."""

    def __init__(self, api: RepositoryApi) -> None:
        self._api = api

    def judgements(self) -> tuple[RecordedJudgement, ...]:
        """What the bot has recorded about every changed entry, oldest first, without how it was completed.

        Two workers at one key, after Redis was emptied, can record the same twice: the first counts.
        """
        rows = (row for row in self._deployments() if row["task"] == _TASK)
        found: dict[tuple[str, str, str, Ruling], RecordedJudgement] = {}
        for recorded in filter(None, map(_judgement_row, rows)):
            found.setdefault(recorded.subject, recorded)
        return tuple(found.values())

    def adoption(self) -> Adoption | None:
        """The bot's record that the first manifest states what was live already; None where there is none."""
        rows = [row for row in self._deployments() if row["task"] == _ADOPTION_TASK]
        return Adoption(rows[0]["sha"], time_of(rows[0]["created_at"])) if rows else None

    def known_completion(self, deployment: int) -> tuple[Completion, datetime] | None:
        """What `completion` says without asking GitHub; None where that would be asked."""
        known = self._api.cache.get(self._completion_key(deployment))
        if known is None:
            return None
        state, at = json.loads(known)
        return Completion(state), time_of(at)

    def completion(self, deployment: int) -> tuple[Completion, datetime] | None:
        """The newest status that the bot gave a deployment and when, by GitHub's clock; None while it has none."""
        known = self.known_completion(deployment)
        if known is not None:
            return known
        rows = self._api.get(f"/deployments/{deployment}/statuses")
        own = [r for r in rows if Login((r["creator"] or {}).get("login", "")) == self._api.login()]
        final = [r for r in own if r["state"] in set(Completion)]
        if not final:
            return None
        newest = max(final, key=lambda r: (r["created_at"], r["id"]))
        self._keep_completion(deployment, newest["state"], newest["created_at"])
        return Completion(newest["state"]), time_of(newest["created_at"])

    def _keep_completion(self, deployment: int, state: str, at: str) -> None:
        self._api.cache.set(self._completion_key(deployment), json.dumps([state, at]).encode(), KEPT)

    def _completion_key(self, deployment: int) -> str:
        return f"github:deployment-status:{self._api.name}:{deployment}"

    def record_judgement(self, model: str, environment: str, judgement: Judgement) -> None:
        """Create the deployment of a judgement, unless the bot made it before."""
        if self._deployment_of(model, environment, judgement.commit, judgement.ruling) is not None:
            return
        entry = judgement.entry
        payload = {
            "model": model,
            "version": entry.version if entry else None,
            "digest": entry.digest if entry else None,
            "release": entry.release if entry else None,
            "ruling": judgement.ruling.value,
            "kind": judgement.kind.value,
            "pull_request": judgement.pull_request,
            "reasons": list(judgement.reasons),
            "lacking": list(judgement.lacking),
            "by": judgement.by,
            "policy": judgement.policy,
            "approved_by": list(judgement.approved_by),
        }
        what = f"{naming.one_line(model)} v{entry.version}" if entry else f"{naming.one_line(model)} removed"
        self._deploy(judgement.commit, environment, _TASK, f"{what}: {judgement.ruling}", payload)

    def record_adoption(self, commit: str) -> None:
        """Create the deployment that adopts the manifest at `commit`, unless the bot made it before."""
        if self.adoption() is None:
            description = "The first manifest states what was live already."
            self._deploy(commit, _ADOPTION_TASK, _ADOPTION_TASK, description, {"adopted": True})

    def complete(
        self, model: str, environment: str, commit: str, ruling: Ruling, completion: Completion, description: str
    ) -> None:
        """Give the deployment of a judgement its status."""
        deployment = self._deployment_of(model, environment, commit, ruling)
        if deployment is None:
            raise Refused(f"{self._api.name} has no deployment for {model} in {environment} on {commit}")
        row = self._api.write(
            "POST",
            f"/deployments/{deployment}/statuses",
            state=completion.value,
            description=description[:DESCRIPTION_LIMIT],
            auto_inactive=False,
        )
        self._keep_completion(deployment, completion.value, row["created_at"])

    def _deployment_of(self, model: str, environment: str, commit: str, ruling: Ruling) -> int | None:
        wanted = (model, environment, commit, ruling)
        return next((r.deployment for r in self.judgements() if r.subject == wanted), None)

    def _deploy(self, sha: str, environment: str, task: str, description: str, payload: Mapping[str, object]) -> None:
        made = self._api.write(
            "POST",
            "/deployments",
            ref=sha,
            task=task,
            environment=environment,
            description=description[:DESCRIPTION_LIMIT],
            payload=payload,
            auto_merge=False,
            required_contexts=[],
        )
        rows = [row for row in self._known_deployments() if row["id"] != made["id"]]
        self._keep_deployments([*rows, _deployment_row(made)])

    def _deployments(self) -> list[dict[str, Any]]:
        """The bot's own deployments, oldest first; those in the cache are not read again, since they never change."""
        rows = {row["id"]: row for row in self._known_deployments()}
        newest_known = max(rows, default=0)
        fresh: list[dict[str, Any]] = []
        for page in self._api.pages("/deployments"):
            fresh += [_deployment_row(row) for row in page]
            if any(row["id"] <= newest_known for row in page):
                break
        own = [row for row in fresh if Login(row["creator"]) == self._api.login()]
        listed = [row["id"] for row in fresh]
        # Older than the page that was read, or made by the bot while GitHub's list still lags behind.
        kept = [row for row in rows.values() if not listed or not min(listed) <= row["id"] <= max(listed)]
        merged = sorted([*kept, *own], key=lambda row: row["id"])
        if merged != sorted(rows.values(), key=lambda row: row["id"]):
            self._keep_deployments(merged)
        return merged

    def _known_deployments(self) -> list[dict[str, Any]]:
        raw = self._api.cache.get(f"github:deployments:{self._api.name}")
        rows: list[dict[str, Any]] = json.loads(raw) if raw else []
        return rows

    def _keep_deployments(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._api.cache.set(f"github:deployments:{self._api.name}", json.dumps(rows).encode(), KEPT)


def _deployment_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "sha": row["sha"],
        "task": row["task"],
        "environment": row["environment"],
        "creator": (row["creator"] or {}).get("login", ""),
        "created_at": row["created_at"],
        "payload": row["payload"],
    }


def _judgement_row(row: Mapping[str, Any]) -> RecordedJudgement | None:
    """The judgement that a deployment of the bot's records; None for one that does not read as such."""
    payload = row["payload"]
    try:
        said = json.loads(payload) if isinstance(payload, str) else payload
        version = said["version"]
        entry = None if version is None else Entry(int(version), str(said["digest"]), str(said["release"] or ""))
        judgement = Judgement(
            entry=entry,
            commit=row["sha"],
            ruling=Ruling(said["ruling"]),
            kind=ChangeKind(said["kind"]),
            at=time_of(row["created_at"]),
            pull_request=said["pull_request"],
            reasons=tuple(said["reasons"]),
            lacking=tuple(said.get("lacking", ())),
            by=said["by"],
            policy=said["policy"],
            approved_by=tuple(map(str, said.get("approved_by", ()))),
        )
        return RecordedJudgement(row["id"], said["model"], row["environment"], judgement)
    except (KeyError, TypeError, ValueError):
        return None
