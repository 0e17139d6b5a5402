"""`/policies` and `/policy`: what each check asks for, and whom it refused in the last 90 days."""

from __future__ import annotations

from flask import Blueprint, Response, request

from bot.gateways.queue import WorkQueue
from bot.web.board.index import BoardIndex
from bot.web.board.links import Links
from bot.web.board.page import page, pages


def policy_pages(queue: WorkQueue, index: BoardIndex, links: Links) -> Blueprint:
    """The list of policies, and the page of one, which the address names."""
    blueprint = pages("policy", links)

    @blueprint.get("/policies")
    def policies() -> Response:
        repositories = queue.details.repositories(index.repositories)
        return page("policies.html", "Policies", "policies", repositories=repositories)

    @blueprint.get("/policy")
    def policy() -> Response:
        path, repository = request.args.get("path", ""), request.args.get("repository", "")
        for seen in queue.details.repositories([name for name in index.repositories if name == repository]):
            for each in seen.policies:
                if each.path == path:
                    most = max((check.refused for check in each.checks), default=0)
                    return page("policy.html", each.name, "policies", repository=seen, policy=each, most=most)
        return page("unknown.html", "Not on the board", "policies", 404, what="policy", name=path)

    return blueprint
