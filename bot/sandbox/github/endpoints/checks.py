"""Check runs and commit statuses (https://docs.github.com/en/rest/checks, /commits/statuses)."""

from __future__ import annotations

from bot.sandbox.github.calls import Answer, Call, route
from bot.sandbox.github.errors import ApiError


@route("POST", "/repos/{owner}/{repo}/check-runs")
def create_check_run(call: Call) -> Answer:
    if call.actor is None or call.actor.app is None:
        raise ApiError(403, "You must authenticate via a GitHub App.")
    head, name = call.required("head_sha"), call.required("name")
    return 201, call.house.checks.run(call.at, call.actor.app, head, name, call.body)


@route("GET", "/repos/{owner}/{repo}/commits/{ref}/check-runs")
def check_runs(call: Call) -> Answer:
    found = [run for run in call.at.check_runs if run["head_sha"] == call.args[0]]
    if "check_name" in call.request.args:
        found = [run for run in found if run["name"] == call.request.args["check_name"]]
    if call.request.args.get("filter", "latest") == "latest":
        newest = {(run["app"]["id"], run["name"]): run for run in found}
        found = list(newest.values())
    return 200, {"total_count": len(found), "check_runs": found}


@route("POST", "/repos/{owner}/{repo}/statuses/{sha}")
def create_status(call: Call) -> Answer:
    call.needs("write")
    return 201, call.house.checks.status(call.at, call.login, call.args[0], call.required("state"), call.body)


@route("GET", "/repos/{owner}/{repo}/commits/{ref}/statuses")
def statuses(call: Call) -> Answer:
    return 200, [row for row in reversed(call.at.statuses) if row["sha"] == call.args[0]]
