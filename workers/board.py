"""The board of a repository: how its models stand, read without evaluating anything."""

from __future__ import annotations

from collections.abc import Iterator

from bot.domain.board import Cell, row
from bot.domain.drift import drift_of
from bot.domain.versions import RegisteredModel
from bot.domain.world import Observation
from workers.observe import glance_at_model
from workers.repository_view import RepositoryView


def board(view: RepositoryView, model: str = "") -> tuple[Cell, ...]:
    """How every model of the repository stands in every environment, or one model."""
    return tuple(cell for world in _worlds(view, model) for cell in row(world, view.now))


def drifted(view: RepositoryView, model: str = "") -> list[tuple[str, str, str]]:
    """What in the registry is not as it was merged: model, environment, what."""
    return [
        (world.model, state.rules.name, found.what)
        for world in _worlds(view, model)
        for state in world.states
        for found in drift_of(world, state)
    ]


def _worlds(view: RepositoryView, model: str) -> Iterator[Observation]:
    known: dict[str, RegisteredModel | None]
    if model:
        known = {model: view.gateways.registry.model(model)}
    else:
        known = {m.name: m for m in view.gateways.registry.models() if view.pipeline.pipeline.owns(m.name)}
        named = {name for name, _ in view.manifest.entries}
        known |= dict.fromkeys(named - known.keys())
    for name in sorted(known):
        yield glance_at_model(view, name, known[name], view.now)
