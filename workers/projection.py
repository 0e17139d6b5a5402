"""What looks leave behind for the board's pages, so that these never wait on MLflow or GitHub."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from bot.domain.board import Cell, row
from bot.domain.gates import Gate
from bot.domain.model_detail import Judged, ModelDetail, detail, judged_now, remembered
from bot.domain.repository_seen import (
    COUNTED,
    PolicySeen,
    Refusals,
    RepositorySeen,
    environment_seen,
    policy_seen,
)
from bot.domain.world import Observation
from bot.gateways.board_details import gates_seen
from bot.gateways.queue import WorkQueue
from policies.documents import InvalidDocument, Problem
from workers.repository_view import RepositoryView

_AT_ONCE: Final = 500  # models whose details are held until they are shown


def show_model(queue: WorkQueue, world: Observation, now: datetime) -> None:
    """Leave behind one model as a look saw it, with the verdicts that it made."""
    place = world.repository, world.model
    known, new = queue.details.judged(*place), judged_now(world, now)
    judged = remembered(known, new)
    if judged != known:
        queue.details.remember(*place, judged)
    queue.details.show([detail(world, judged)])
    queue.boards.show(*place, row(world, now))


def show_gates(queue: WorkQueue, repository: str, number: int, gates: Sequence[Gate]) -> None:
    """Leave behind what an open pull request waits for; nothing for one that is closed."""
    queue.details.show_gates(repository, number, gates_seen(gates))


def show_problems(queue: WorkQueue, repository: str, problems: Sequence[Problem], now: datetime) -> None:
    """Leave behind why a repository's files cannot be read; what was seen before stays."""
    there = queue.details.repositories([repository])
    seen = there[0] if there else RepositorySeen(repository, now, 0.0, 0)
    queue.details.show_repository(replace(seen, swept_at=now, problem=_first(problems)))


@dataclass
class Sweep:
    """Gathers what a sweep sees of a repository, model by model, and leaves it behind at its end."""

    queue: WorkQueue
    view: RepositoryView
    _rows: dict[str, tuple[Cell, ...]] = field(default_factory=dict)
    _details: list[ModelDetail] = field(default_factory=list)
    _started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._refusals = Refusals(self.view.now - COUNTED)
        self._judged: dict[str, tuple[Judged, ...]] = dict(self.queue.details.all_judged(self.view.name))

    @property
    def models(self) -> Sequence[str]:
        """The models that were seen."""
        return tuple(self._rows)

    def saw(self, world: Observation) -> None:
        """Take one model."""
        self._rows[world.model] = row(world, self.view.now)
        seen = detail(world, self._judged.get(world.model, ()))
        self._refusals.count(world.model, seen.versions)
        self._details.append(seen)
        if len(self._details) >= _AT_ONCE:
            self._show_details()

    def finish(self, problems: Sequence[Problem]) -> None:
        """Show all of it, and nothing else of this repository; `problems` are those of its files."""
        view, details = self.view, self.queue.details
        self._show_details()
        details.keep_only(view.name, self._rows)
        environments = view.pipeline.pipeline.environments
        details.show_repository(
            RepositorySeen(
                name=view.name,
                swept_at=view.now,
                seconds=round(time.monotonic() - self._started, 1),
                models=len(self._rows),
                environments=tuple(environment_seen(rules, view.now) for rules in environments),
                policies=tuple(self._refusals.of(policy) for policy in _policies(view)),
                problem=_first(problems),
            )
        )
        self.queue.boards.show_all(view.name, self._rows)

    def _show_details(self) -> None:
        self.queue.details.show(self._details)
        self._details.clear()


def _first(problems: Sequence[Problem]) -> str:
    return str(problems[0]) if problems else ""


def _policies(view: RepositoryView) -> tuple[PolicySeen, ...]:
    """The policies that the pipeline names, and that can be read."""
    users: dict[str, list[str]] = {}
    for rules in view.pipeline.pipeline.environments:
        users.setdefault(rules.policy, []).append(rules.name)
    found = []
    for path, names in users.items():
        try:
            policy = view.files.policy(view.head, view.environment(names[0])).policy
        except InvalidDocument:
            continue
        found.append(policy_seen(path, policy, tuple(names)))
    return tuple(found)
