"""`/`: models × environments, what waits there, and the one thing to do next; paged and filtered by the address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from flask import Blueprint, Response, request

from bot.domain.repository_seen import EnvironmentSeen, RepositorySeen
from bot.gateways.board_details import GateSeen
from bot.gateways.boards import Row
from bot.gateways.queue import WorkQueue
from bot.web.board.index import BoardIndex
from bot.web.board.links import Links
from bot.web.board.page import page, pages
from bot.web.board.query import LIVE, Query

LABELS: Final = {
    LIVE: "Live",
    "waiting": "Waiting",
    "refused": "Refused",
    "held": "Held",
    "frozen": "Frozen",
    "drifting": "Drifting",
    "evidence": "Needs evidence",
    "judged": "Being judged",
    "starved": "Starved",
    "taken": "Branch taken",
}
_ALWAYS: Final = (LIVE, "waiting", "refused", "held", "frozen", "drifting")  # shown although there are none


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of one repository with the same environments; `rules` are those of each, where a sweep saw them."""

    repository: str
    environments: tuple[str, ...]
    rows: tuple[Row, ...]
    rules: dict[str, EnvironmentSeen]


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter by one state: how many models it leaves, and where it leads."""

    label: str
    state: str
    count: int
    url: str
    chosen: bool


def overview(queue: WorkQueue, index: BoardIndex, links: Links) -> Blueprint:
    """The overview."""
    blueprint = pages("overview", links)

    @blueprint.get("/")
    def board() -> Response:
        query = Query.read(request.args)
        found = index.select(query)
        repositories = queue.details.repositories(index.repositories)
        failing = queue.troubles.failing_of(index.repositories)
        return page(
            "overview.html",
            "What is live",
            "overview",
            query=query,
            tables=_tables(found.rows, repositories),
            chips=_chips(query, found.counts, found.models),
            total=found.total,
            pages=query.pages(found.total),
            gates=_gates(queue, found.rows),
            repositories=repositories,
            served=index.repositories,
            environments=_environments(repositories),
            away=queue.troubles.away(),
            failing=len(failing),
        )

    return blueprint


def _tables(rows: tuple[Row, ...], repositories: tuple[RepositorySeen, ...]) -> list[Table]:
    rules = {seen.name: {each.name: each for each in seen.environments} for seen in repositories}

    def columns(row: Row) -> tuple[str, tuple[str, ...]]:
        return row.repository, tuple(cell.environment for cell in row.cells)

    return [Table(*key, tuple(group), rules.get(key[0], {})) for key, group in groupby(rows, key=columns)]


def _chips(query: Query, counts: Mapping[str, int], models: int) -> list[Chip]:
    chips = [Chip("All", "", models, query.url(state=""), not query.state)]
    for state, label in LABELS.items():
        if counts.get(state) or state in _ALWAYS or state == query.state:
            chips.append(Chip(label, state, counts.get(state, 0), query.url(state=state), query.state == state))
    return chips


def _gates(queue: WorkQueue, rows: tuple[Row, ...]) -> dict[tuple[str, int], tuple[GateSeen, ...]]:
    wanted = [(row.repository, p.pull_request) for row in rows for cell in row.cells for p in cell.proposed]
    return dict(queue.details.gates(wanted))


def _environments(repositories: tuple[RepositorySeen, ...]) -> list[str]:
    return list(dict.fromkeys(each.name for seen in repositories for each in seen.environments))
