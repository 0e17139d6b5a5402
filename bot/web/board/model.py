"""`/model`: one model's pipeline, metrics, verdicts, history and lineage."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Blueprint, Response, request

from bot.domain.model_detail import Judged, VersionSeen
from bot.domain.repository_seen import PolicySeen, RepositorySeen
from bot.gateways.boards import Row
from bot.gateways.queue import WorkQueue
from bot.web.board import picture
from bot.web.board.chart import chart
from bot.web.board.index import BoardIndex
from bot.web.board.links import Links
from bot.web.board.page import page, pages


def model_page(queue: WorkQueue, index: BoardIndex, links: Links) -> Blueprint:
    """The page of one model in one repository, which the address names; without one in the first that has it."""
    blueprint = pages("model", links)

    @blueprint.get("/model")
    def model() -> Response:
        name, repository = request.args.get("name", ""), request.args.get("repository", "")
        rows = index.of_model(name)
        row = next((row for row in rows if repository in ("", row.repository)), None)
        if row is None:
            return page("unknown.html", "Not on the board", "overview", 404, what="model", name=name)
        detail = queue.details.model(row.repository, row.model)
        seen = next(iter(queue.details.repositories([row.repository])), None)
        versions = detail.versions if detail else ()
        policies = _policies(row, seen)
        environments = seen.environments if seen else ()
        live = {cell.environment: cell.live.version for cell in row.cells if cell.live}
        return page(
            "model.html",
            row.model,
            "overview",
            row=row,
            detail=detail,
            words=picture.in_words(row.cells),
            wide=picture.side_by_side(row.cells, environments),
            narrow=picture.stacked(row.cells, environments),
            chart=chart(versions, live, policies, request.args.get("metric", "")),
            judged=_shown(row, queue.details.judged(row.repository, row.model)),
            short=_short(row, versions),
            gates=queue.details.gates([(row.repository, p.pull_request) for cell in row.cells for p in cell.proposed]),
            policies={name: policy.path for policy in policies for name in policy.environments},
        )

    return blueprint


def _policies(row: Row, seen: RepositorySeen | None) -> Sequence[PolicySeen]:
    """The policies of the row's environments, in their order."""
    order = [cell.environment for cell in row.cells]
    found = [policy for policy in seen.policies if policy.environments] if seen else []
    last = len(order)
    return sorted(found, key=lambda p: order.index(p.environments[0]) if p.environments[0] in order else last)


def _shown(row: Row, judged: Sequence[Judged]) -> list[Judged]:
    """The newest verdict in full of each environment, in the pipeline's order."""
    newest: dict[str, Judged] = {}
    for each in sorted(judged, key=lambda j: j.version):
        newest[each.environment] = each
    return [newest[cell.environment] for cell in row.cells if cell.environment in newest]


def _short(row: Row, versions: Sequence[VersionSeen]) -> dict[str, VersionSeen]:
    """By environment the newest version whose tags tell how it was judged."""
    found: dict[str, VersionSeen] = {}
    for cell in row.cells:
        told = (v for v in versions if any(c.environment == cell.environment and c.checks for c in v.checked))
        version = next(told, None)
        if version is not None:
            found[cell.environment] = version
    return found
