"""Issues, labels, comments and reactions (https://docs.github.com/en/rest/issues, /reactions)."""

from __future__ import annotations

from bot.sandbox.github.calls import Answer, Call, route
from bot.sandbox.github.errors import ApiError
from bot.sandbox.github.shapes import stamp
from bot.sandbox.github.state import Issue


@route("GET", "/repos/{owner}/{repo}/issues")
def list_issues(call: Call) -> Answer:
    arguments = call.request.args
    state, wanted = arguments.get("state", "open"), set(filter(None, arguments.get("labels", "").split(",")))
    found = [i for i in call.at.issues.values() if state in ("all", i.state) and wanted <= set(i.labels)]
    if "creator" in arguments:
        found = [issue for issue in found if issue.author == arguments["creator"]]
    return 200, [call.house.shapes.issue(call.at, issue) for issue in reversed(found)]


@route("POST", "/repos/{owner}/{repo}/issues")
def create_issue(call: Call) -> Answer:
    repo, now = call.at, call.world.clock()
    issue = Issue(
        repo.next_number(),
        call.required("title"),
        call.body.get("body") or "",
        call.login,
        now,
        now,
        labels=list(call.body.get("labels", [])),
    )
    repo.issues[issue.number] = issue
    call.house.pulls.announce(repo, issue, "opened", call.login)
    return 201, call.house.shapes.issue(repo, issue)


@route("GET", "/repos/{owner}/{repo}/issues/comments")
def all_comments(call: Call) -> Answer:
    arguments = call.request.args
    key = "updated_at" if arguments.get("sort") == "updated" else "created_at"
    since = arguments.get("since", "")
    found = [(issue, comment) for issue in call.at.issues.values() for comment in issue.comments]
    found = [pair for pair in found if (stamp(pair[1].updated_at) or "") >= since]
    found.sort(key=lambda pair: (getattr(pair[1], key), pair[1].id))
    # Without a `sort` GitHub ignores `direction`.
    if "sort" in arguments and arguments.get("direction") == "desc":
        found.reverse()
    return 200, [call.house.shapes.comment(call.at, issue, comment) for issue, comment in found]


@route("GET", "/repos/{owner}/{repo}/issues/{number}")
def get_issue(call: Call) -> Answer:
    return 200, call.house.shapes.issue(call.at, call.at.issues[call.number])


@route("PATCH", "/repos/{owner}/{repo}/issues/{number}")
def update_issue(call: Call) -> Answer:
    issue = call.at.issues[call.number]
    call.house.pulls.edit(call.at, issue, call.body, call.login)
    return 200, call.house.shapes.issue(call.at, issue)


@route("POST", "/repos/{owner}/{repo}/issues/{number}/labels")
def add_labels(call: Call) -> Answer:
    call.needs("triage")
    issue = call.at.issues[call.number]
    issue.labels += [name for name in call.required("labels") if name not in issue.labels]
    issue.updated_at = call.world.clock()
    call.house.pulls.announce(call.at, issue, "labeled", call.login)
    return 200, [call.house.shapes.label(call.at, name) for name in issue.labels]


@route("DELETE", "/repos/{owner}/{repo}/issues/{number}/labels/{name}")
def remove_label(call: Call) -> Answer:
    call.needs("triage")
    issue, name = call.at.issues[int(call.args[0])], call.args[1]
    if name not in issue.labels:
        raise ApiError(404, "Label does not exist")
    call.house.pulls.unlabel(call.at, issue, name, call.login)
    return 200, [call.house.shapes.label(call.at, name) for name in issue.labels]


@route("GET", "/repos/{owner}/{repo}/issues/{number}/comments")
def comments(call: Call) -> Answer:
    issue = call.at.issues[call.number]
    return 200, [call.house.shapes.comment(call.at, issue, comment) for comment in issue.comments]


@route("POST", "/repos/{owner}/{repo}/issues/{number}/comments")
def create_comment(call: Call) -> Answer:
    issue = call.at.issues[call.number]
    comment = call.house.comments.add(call.at, issue, call.login, call.required("body"))
    return 201, call.house.shapes.comment(call.at, issue, comment)


@route("GET", "/repos/{owner}/{repo}/issues/comments/{id}")
def get_comment(call: Call) -> Answer:
    return 200, call.house.shapes.comment(call.at, *call.house.comments.find(call.at, int(call.args[0])))


@route("PATCH", "/repos/{owner}/{repo}/issues/comments/{id}")
def update_comment(call: Call) -> Answer:
    issue, comment = call.house.comments.find(call.at, int(call.args[0]))
    if comment.author != call.login:
        call.needs("write")
    call.house.comments.edit(call.at, comment.id, call.login, call.required("body"))
    return 200, call.house.shapes.comment(call.at, issue, comment)


@route("DELETE", "/repos/{owner}/{repo}/issues/comments/{id}")
def delete_comment(call: Call) -> Answer:
    _, comment = call.house.comments.find(call.at, int(call.args[0]))
    if comment.author != call.login:
        call.needs("write")
    call.house.comments.delete(call.at, comment.id, call.login)
    return 204, None


@route("GET", "/repos/{owner}/{repo}/issues/comments/{id}/reactions")
def reactions(call: Call) -> Answer:
    _, comment = call.house.comments.find(call.at, int(call.args[0]))
    return 200, [call.house.shapes.reaction(reaction) for reaction in comment.reactions]


@route("POST", "/repos/{owner}/{repo}/issues/comments/{id}/reactions")
def create_reaction(call: Call) -> Answer:
    reaction, new = call.house.comments.react(call.at, int(call.args[0]), call.login, call.required("content"))
    return (201 if new else 200), call.house.shapes.reaction(reaction)


@route("DELETE", "/repos/{owner}/{repo}/issues/comments/{id}/reactions/{reaction}")
def delete_reaction(call: Call) -> Answer:
    call.house.comments.take_back(call.at, int(call.args[0]), int(call.args[1]), call.login)
    return 204, None
