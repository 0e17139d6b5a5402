"""Check runs and statuses: what Apps and people say of commits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.sandbox.github.errors import ApiError
from bot.sandbox.github.shapes import JSON, Shapes, stamp
from bot.sandbox.github.state import App, Repo, World
from bot.sandbox.github.webhooks import Webhooks


class Checks:
    """The checks of one world."""

    def __init__(self, world: World, shapes: Shapes, webhooks: Webhooks) -> None:
        self._world = world
        self._shapes = shapes
        self._webhooks = webhooks

    def run(self, repo: Repo, app: App, head: str, name: str, said: Mapping[str, Any]) -> JSON:
        """A new check run; `said` is the rest of the request."""
        now, page = stamp(self._world.clock()), self._shapes.html(repo, "/checks")
        done = "conclusion" in said
        output = {"title": None, "summary": None, "text": None, "annotations_count": 0, "annotations_url": ""}
        run = {
            "id": self._world.next_id(),
            "node_id": "CR",
            "head_sha": head,
            "name": name,
            "external_id": said.get("external_id", ""),
            "status": "completed" if done else said.get("status", "queued"),
            "conclusion": said.get("conclusion"),
            "started_at": now,
            "completed_at": now if done else None,
            "details_url": said.get("details_url") or page,
            "html_url": page,
            "url": "",
            "output": {**output, **said.get("output", {})},
            "app": self._shapes.app(app),
            "check_suite": {"id": 1},
            "pull_requests": [],
        }
        repo.check_runs.append(run)
        self._webhooks.emit(repo, "check_run", app.login, action="completed" if done else "created", check_run=run)
        return run

    def status(self, repo: Repo, login: str, sha: str, state: str, said: Mapping[str, Any]) -> JSON:
        """A new status; `said` is the rest of the request."""
        now = stamp(self._world.clock())
        row = {
            "id": self._world.next_id(),
            "node_id": "S",
            "url": "",
            "avatar_url": None,
            "state": state,
            "context": said.get("context", "default"),
            "description": said.get("description"),
            "target_url": said.get("target_url"),
            "creator": self._shapes.user(login),
            "created_at": now,
            "updated_at": now,
        }
        if len(row["description"] or "") > 140:
            raise ApiError(
                422,
                "Validation Failed",
                {"resource": "Status", "field": "description", "code": "custom", "message": "description is too long"},
            )
        repo.statuses.append({"sha": sha, **row})
        commit = self._shapes.commit(repo, repo.git.repo[sha])
        self._webhooks.emit(repo, "status", login, sha=sha, name=repo.full_name, branches=[], commit=commit, **row)
        return row
