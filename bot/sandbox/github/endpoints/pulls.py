"""Pull requests and their reviews (https://docs.github.com/en/rest/pulls)."""

from __future__ import annotations

from bot.sandbox.github.calls import Answer, Call, route
from bot.sandbox.github.errors import ApiError


@route("GET", "/repos/{owner}/{repo}/commits/{sha}/pulls")
def pulls_of_commit(call: Call) -> Answer:
    repo, sha = call.at, call.args[0]
    found = [p for p in repo.pulls.values() if sha in (p.merge_commit_sha, p.head_sha)]
    return 200, [call.house.shapes.pull(repo, pull, full=False) for pull in found]


@route("GET", "/repos/{owner}/{repo}/pulls")
def list_pulls(call: Call) -> Answer:
    repo, arguments = call.at, call.request.args
    state = arguments.get("state", "open")
    found = [p for p in repo.pulls.values() if state in ("all", repo.issues[p.number].state)]
    if "base" in arguments:
        found = [p for p in found if p.base_ref == arguments["base"]]
    if "head" in arguments:
        found = [p for p in found if f"{repo.owner}:{p.head_ref}" == arguments["head"]]
    key = "updated_at" if arguments.get("sort") == "updated" else "created_at"
    descending = arguments.get("direction", "desc" if "sort" not in arguments else "asc") == "desc"
    found.sort(key=lambda p: (getattr(repo.issues[p.number], key), p.number), reverse=descending)
    return 200, [call.house.shapes.pull(repo, pull, full=False) for pull in found]


@route("POST", "/repos/{owner}/{repo}/pulls")
def create_pull(call: Call) -> Answer:
    call.needs("write")
    pull = call.house.pulls.create(
        call.at,
        call.required("title"),
        call.required("head").rpartition(":")[2],
        call.required("base"),
        call.body.get("body") or "",
        call.login,
    )
    return 201, call.house.shapes.pull(call.at, pull)


@route("GET", "/repos/{owner}/{repo}/pulls/{number}")
def get_pull(call: Call) -> Answer:
    number = call.number
    if number not in call.at.pulls:
        raise ApiError(404, "Not Found")
    answer = call.house.shapes.pull(call.at, call.at.pulls[number])
    call.house.pulls.compute(call.at, call.at.pulls[number])
    return 200, answer


@route("PATCH", "/repos/{owner}/{repo}/pulls/{number}")
def update_pull(call: Call) -> Answer:
    call.needs("write")
    number = call.number
    call.house.pulls.edit(call.at, call.at.issues[number], call.body, call.login)
    return 200, call.house.shapes.pull(call.at, call.at.pulls[number])


@route("PUT", "/repos/{owner}/{repo}/pulls/{number}/merge")
def merge(call: Call) -> Answer:
    call.needs("write")
    pull = call.at.pulls[call.number]
    sha = call.house.pulls.merge(
        call.at, pull, call.login, call.body.get("merge_method", "merge"), call.body.get("sha")
    )
    return 200, {"sha": sha, "merged": True, "message": "Pull Request successfully merged"}


@route("POST", "/repos/{owner}/{repo}/pulls/{number}/requested_reviewers")
def request_reviewers(call: Call) -> Answer:
    call.needs("write")
    pull = call.at.pulls[call.number]
    reviewers, teams = call.body.get("reviewers", []), call.body.get("team_reviewers", [])
    call.house.pulls.request_reviews(call.at, pull, reviewers, teams)
    return 201, call.house.shapes.pull(call.at, pull, full=False)


@route("GET", "/repos/{owner}/{repo}/pulls/{number}/reviews")
def reviews(call: Call) -> Answer:
    return 200, list(call.at.pulls[call.number].reviews)


@route("POST", "/repos/{owner}/{repo}/pulls/{number}/reviews")
def review(call: Call) -> Answer:
    event = call.body.get("event", "COMMENT")
    return 200, call.house.pulls.review(
        call.at, call.at.pulls[call.number], call.login, event, call.body.get("body", "")
    )
