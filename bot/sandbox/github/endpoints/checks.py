"""Check runs and commit statuses (https://docs.github.com/en/rest/checks, /commits/statuses)."""

from __future__ import annotations

from bot.sandbox.github.calls import Answer, Call, route
from bot.sandbox.github.errors import ApiError
from bot.sandbox.github.shapes import stamp


@route("POST", "/repos/{owner}/{repo}/check-runs")
def create_check_run(call: Call) -> Answer:
    if call.actor is None or call.actor.app is None:
        raise ApiError(403, "You must authenticate via a GitHub App.")
    body, now = call.body, stamp(call.world.clock())
    done = "conclusion" in body
    run = {
        "id": call.world.next_id(),
        "node_id": "CR",
        "head_sha": call.required("head_sha"),
        "name": call.required("name"),
        "external_id": body.get("external_id", ""),
        "status": "completed" if done else body.get("status", "queued"),
        "conclusion": body.get("conclusion"),
        "started_at": now,
        "completed_at": now if done else None,
        "details_url": body.get("details_url") or call.house.shapes.html(call.at, "/checks"),
        "html_url": call.house.shapes.html(call.at, "/checks"),
        "url": "",
        "output": {
            "title": None,
            "summary": None,
            "text": None,
            "annotations_count": 0,
            "annotations_url": "",
            **body.get("output", {}),
        },
        "app": call.house.shapes.app(call.actor.app),
        "check_suite": {"id": 1},
        "pull_requests": [],
    }
    call.at.check_runs.append(run)
    call.house.webhooks.emit(call.at, "check_run", call.login, action="completed" if done else "created", check_run=run)
    return 201, run


@route("GET", "/repos/{owner}/{repo}/commits/{ref}/check-runs")
def check_runs(call: Call) -> Answer:
    found = [run for run in call.at.check_runs if run["head_sha"] == call.args[0]]
    if call.request.args.get("filter", "latest") == "latest":
        newest = {(run["app"]["id"], run["name"]): run for run in found}
        found = list(newest.values())
    return 200, {"total_count": len(found), "check_runs": found}


@route("POST", "/repos/{owner}/{repo}/statuses/{sha}")
def create_status(call: Call) -> Answer:
    call.needs("write")
    now = stamp(call.world.clock())
    row = {
        "id": call.world.next_id(),
        "node_id": "S",
        "url": "",
        "avatar_url": None,
        "state": call.required("state"),
        "context": call.body.get("context", "default"),
        "description": call.body.get("description"),
        "target_url": call.body.get("target_url"),
        "creator": call.house.shapes.user(call.login),
        "created_at": now,
        "updated_at": now,
    }
    if len(row["description"] or "") > 140:
        raise ApiError(
            422,
            "Validation Failed",
            {"resource": "Status", "field": "description", "code": "custom", "message": "description is too long"},
        )
    call.at.statuses.append({"sha": call.args[0], **row})
    commit = call.house.shapes.commit(call.at, call.at.git.repo[call.args[0]])
    call.house.webhooks.emit(
        call.at,
        "status",
        call.login,
        sha=call.args[0],
        name=call.at.full_name,
        branches=[],
        commit=commit,
        **row,
    )
    return 201, row


@route("GET", "/repos/{owner}/{repo}/commits/{ref}/statuses")
def statuses(call: Call) -> Answer:
    return 200, [row for row in reversed(call.at.statuses) if row["sha"] == call.args[0]]
