"""Deployments and their statuses (https://docs.github.com/en/rest/deployments)."""

from __future__ import annotations

from bot.sandbox.github.calls import Answer, Call, route
from bot.sandbox.github.errors import ApiError
from bot.sandbox.github.shapes import stamp


@route("POST", "/repos/{owner}/{repo}/deployments")
def create_deployment(call: Call) -> Answer:
    call.needs("write")
    body, now = call.body, stamp(call.world.clock())
    if body.get("required_contexts", ["all"]) != []:
        raise ApiError(409, "Conflict: Commit status checks failed for ref.")
    row = {
        "id": call.world.next_id(),
        "node_id": "D",
        "sha": call.required("ref"),
        "ref": body["ref"],
        "task": body.get("task", "deploy"),
        "payload": body.get("payload", {}),
        "environment": body.get("environment", "production"),
        "original_environment": body.get("environment", "production"),
        "description": body.get("description"),
        "creator": call.house.shapes.user(call.login),
        "created_at": now,
        "updated_at": now,
        "url": "",
        "statuses_url": "",
        "repository_url": call.house.shapes.api(call.at),
    }
    call.at.deployments.append(row)
    call.house.webhooks.emit(
        call.at, "deployment", call.login, action="created", deployment=row, workflow=None, workflow_run=None
    )
    return 201, row


@route("GET", "/repos/{owner}/{repo}/deployments")
def deployments(call: Call) -> Answer:
    filters = {k: v for k, v in call.request.args.items() if k in ("sha", "ref", "task", "environment")}
    return 200, [d for d in reversed(call.at.deployments) if all(d[k] == v for k, v in filters.items())]


@route("POST", "/repos/{owner}/{repo}/deployments/{id}/statuses")
def create_deployment_status(call: Call) -> Answer:
    call.needs("write")
    deployment = int(call.args[0])
    row = {
        "id": call.world.next_id(),
        "node_id": "DS",
        "state": call.required("state"),
        "description": call.body.get("description", ""),
        "creator": call.house.shapes.user(call.login),
        "created_at": stamp(call.world.clock()),
        "updated_at": stamp(call.world.clock()),
        "target_url": "",
        "url": "",
        "deployment_url": "",
        "repository_url": "",
    }
    call.at.deployment_statuses.setdefault(deployment, []).append(row)
    shown = next(each for each in call.at.deployments if each["id"] == deployment)
    call.house.webhooks.emit(
        call.at,
        "deployment_status",
        call.login,
        action="created",
        deployment_status={**row, "environment": shown["environment"]},
        deployment=shown,
        check_run=None,
        workflow=None,
        workflow_run=None,
    )
    return 201, row


@route("GET", "/repos/{owner}/{repo}/deployments/{id}/statuses")
def deployment_statuses(call: Call) -> Answer:
    return 200, list(reversed(call.at.deployment_statuses.get(int(call.args[0]), [])))
