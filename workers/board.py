"""The board of a repository: how its models stand, read without evaluating anything."""

from __future__ import annotations

from bot.domain.board import Cell, row
from bot.domain.versions import RegisteredModel
from workers.observe import glance_at_model
from workers.repository_view import RepositoryView


def board(view: RepositoryView, model: str = "") -> tuple[Cell, ...]:
    """How every model of the repository stands in every environment, or one model."""
    known: dict[str, RegisteredModel | None]
    if model:
        known = {model: view.gateways.registry.model(model)}
    else:
        known = {m.name: m for m in view.gateways.registry.models() if view.pipeline.pipeline.owns(m.name)}
        named = {name for name, _ in view.manifest.entries}
        known |= dict.fromkeys(named - known.keys())
    rows = (row(glance_at_model(view, name, known[name], view.now)) for name in sorted(known))
    return tuple(cell for cells in rows for cell in cells)
