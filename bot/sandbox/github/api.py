"""The endpoints of GitHub's REST API that a promotion needs (https://docs.github.com/en/rest)."""

from __future__ import annotations

import base64
import secrets
from datetime import timedelta
from typing import Any

from bot.sandbox.github import links
from bot.sandbox.github.git import Person
from bot.sandbox.github.pulls import Pulls
from bot.sandbox.github.server import Answer, ApiError, Call, route
from bot.sandbox.github.shapes import Shapes, person, stamp
from bot.sandbox.github.state import Issue, Token, World
from bot.sandbox.github.webhooks import Webhooks

_SERVED: dict[int, tuple[Shapes, Webhooks, Pulls]] = {}


def serve_world(world: World, shapes: Shapes, webhooks: Webhooks, pulls: Pulls) -> None:
    """Let the endpoints find what belongs to a world."""
    _SERVED[id(world)] = (shapes, webhooks, pulls)


def forget_world(world: World) -> None:
    """The world is gone."""
    _SERVED.pop(id(world), None)


def _shapes(call: Call) -> Shapes:
    return _SERVED[id(call.world)][0]


def _webhooks(call: Call) -> Webhooks:
    return _SERVED[id(call.world)][1]


def _pulls(call: Call) -> Pulls:
    return _SERVED[id(call.world)][2]


def author_of(call: Call) -> Person:
    """The commit author that a token stands for."""
    return Person(
        call.login,
        f"{call.world.users.setdefault(call.login, call.world.next_id())}+{call.login}@users.noreply.github.com",
    )


# --- people and Apps --------------------------------------------------------------------------------------------------


@route("GET", "/user")
def user(call: Call) -> Answer:
    if call.actor and call.actor.app:
        raise ApiError(403, "Resource not accessible by integration")
    return 200, _shapes(call).full_user(call.login)


@route("GET", "/app")
def app(call: Call) -> Answer:
    if call.actor is None or call.actor.app is None:
        raise ApiError(401, "A JSON web token could not be decoded")
    return 200, _shapes(call).app(call.actor.app)


@route("GET", "/repos/{owner}/{repo}/installation")
def installation(call: Call) -> Answer:
    if call.actor is None or call.actor.app is None or call.actor.app not in call.at.apps:
        raise ApiError(404, "Not Found")
    return 200, _shapes(call).installation(call.at, call.actor.app)


@route("POST", "/app/installations/{id}/access_tokens")
def access_token(call: Call) -> Answer:
    if call.actor is None or call.actor.app is None or call.actor.app.id * 10 != int(call.args[0]):
        raise ApiError(404, "Not Found")
    text = f"ghs_{secrets.token_hex(18)}"
    expires = call.world.clock() + timedelta(hours=1)
    call.world.tokens[text] = Token(call.actor.app.login, call.actor.app, expires)
    return 201, {"token": text, "expires_at": stamp(expires), "permissions": {}, "repository_selection": "selected"}


@route("GET", "/repos/{owner}/{repo}/collaborators/{login}/permission")
def permission(call: Call) -> Answer:
    role = call.at.collaborators.get(call.args[0])
    shown = {"triage": "read", "maintain": "write", None: "none" if call.at.private else "read"}.get(role, role)
    return 200, {
        "permission": shown,
        "role_name": role or shown,
        "user": {**_shapes(call).user(call.args[0]), "role_name": role or shown},
    }


@route("GET", "/repos/{owner}/{repo}/collaborators/{login}")
def collaborator(call: Call) -> Answer:
    if call.args[0] not in call.at.collaborators:
        raise ApiError(404, "Not Found")
    return 204, None


@route("GET", "/orgs/{org}/teams/{team}/members")
def members(call: Call) -> Answer:
    found = call.world.teams.get((call.args[0], call.args[1]))
    if found is None:
        raise ApiError(404, "Not Found")
    return 200, [_shapes(call).user(login) for login in found]


# --- git --------------------------------------------------------------------------------------------------------------


@route("GET", "/repos/{owner}/{repo}")
def repository(call: Call) -> Answer:
    return 200, _shapes(call).repository(call.at)


def _ref_shape(call: Call, name: str, sha: str) -> dict[str, Any]:
    url = _shapes(call).api(call.at, f"/git/commits/{sha}")
    return {
        "ref": name,
        "node_id": name,
        "url": _shapes(call).api(call.at, f"/git/{name}"),
        "object": {"type": "commit", "sha": sha, "url": url},
    }


@route("GET", "/repos/{owner}/{repo}/git/ref/{ref*}")
def get_ref(call: Call) -> Answer:
    name = f"refs/{call.args[0]}"
    sha = call.at.git.ref(name)
    if sha is None:
        raise ApiError(404, "Not Found")
    return 200, _ref_shape(call, name, sha)


@route("POST", "/repos/{owner}/{repo}/git/refs")
def create_ref(call: Call) -> Answer:
    call.needs("write")
    name, sha = call.required("ref"), call.required("sha")
    if call.at.git.ref(name) is not None:
        raise ApiError(422, "Reference already exists")
    call.at.git.set_ref(name, sha)
    _pulls(call).after_push(call.at, name, sha, call.login, created=True)
    return 201, _ref_shape(call, name, sha)


@route("PATCH", "/repos/{owner}/{repo}/git/refs/{ref*}")
def update_ref(call: Call) -> Answer:
    call.needs("write")
    name, sha = f"refs/{call.args[0]}", call.required("sha")
    old = call.at.git.ref(name)
    if old is None:
        raise ApiError(422, "Reference does not exist")
    if not call.body.get("force") and not call.at.git.is_ancestor(old, sha):
        raise ApiError(422, "Update is not a fast forward")
    call.at.git.set_ref(name, sha)
    _pulls(call).after_push(call.at, name, sha, call.login)
    return 200, _ref_shape(call, name, sha)


@route("DELETE", "/repos/{owner}/{repo}/git/refs/{ref*}")
def delete_ref(call: Call) -> Answer:
    call.needs("write")
    name = f"refs/{call.args[0]}"
    if call.at.git.ref(name) is None:
        raise ApiError(422, "Reference does not exist")
    call.at.git.delete_ref(name)
    _pulls(call).after_delete(call.at, name, call.login)
    return 204, None


@route("GET", "/repos/{owner}/{repo}/commits")
def commits(call: Call) -> Answer:
    git, arguments = call.at.git, call.request.args
    start = arguments.get("sha", call.at.default_branch)
    sha = git.ref(f"refs/heads/{start}") or start
    path = arguments.get("path")
    try:
        found = list(git.history(sha))
    except (ValueError, KeyError) as error:
        raise ApiError(404, "Not Found") from error
    if path:
        # As git log does: a merge that is the same as one of its parents is no change of the path.
        def changed(commit: Any) -> bool:  # noqa: ANN401 - pygit2's commit
            mine = git.file(str(commit.id), path)
            theirs = [git.file(str(parent), path) for parent in commit.parent_ids] or [None]
            return all(mine != other for other in theirs)

        found = [commit for commit in found if changed(commit)]
    return 200, [_shapes(call).commit(call.at, commit) for commit in found]


@route("GET", "/repos/{owner}/{repo}/commits/{sha}/pulls")
def pulls_of_commit(call: Call) -> Answer:
    repo, sha = call.at, call.args[0]
    found = [p for p in repo.pulls.values() if sha in (p.merge_commit_sha, p.head_sha)]
    return 200, [_shapes(call).pull(repo, pull, full=False) for pull in found]


@route("GET", "/repos/{owner}/{repo}/git/trees/{sha}")
def get_tree(call: Call) -> Answer:
    return 200, _tree_shape(call, call.args[0])


def _tree_shape(call: Call, sha: str) -> dict[str, Any]:
    try:
        tree = call.at.git.repo[sha]
    except (KeyError, ValueError) as error:
        raise ApiError(404, "Not Found") from error
    if tree.type_str == "commit":
        tree = tree.tree
    rows = [
        {
            "path": e.name,
            "mode": f"{e.filemode:06o}",
            "type": e.type_str,
            "sha": str(e.id),
            "url": _shapes(call).api(call.at, f"/git/{e.type_str}s/{e.id}"),
        }
        for e in tree
    ]
    return {
        "sha": str(tree.id),
        "url": _shapes(call).api(call.at, f"/git/trees/{tree.id}"),
        "tree": rows,
        "truncated": False,
    }


@route("POST", "/repos/{owner}/{repo}/git/trees")
def create_tree(call: Call) -> Answer:
    call.needs("write")
    files = {
        row["path"]: row["content"].encode() if row.get("content") is not None else None
        for row in call.required("tree")
    }
    return 201, _tree_shape(call, call.at.git.tree_with(call.body.get("base_tree"), files))


@route("GET", "/repos/{owner}/{repo}/git/blobs/{sha}")
def get_blob(call: Call) -> Answer:
    try:
        blob = call.at.git.repo[call.args[0]]
    except (KeyError, ValueError) as error:
        raise ApiError(404, "Not Found") from error
    content = base64.encodebytes(blob.data).decode()
    return 200, {
        "sha": call.args[0],
        "node_id": "B",
        "size": blob.size,
        "url": "",
        "content": content,
        "encoding": "base64",
    }


@route("POST", "/repos/{owner}/{repo}/git/commits")
def create_commit(call: Call) -> Answer:
    call.needs("write")
    sha = call.at.git.commit(
        call.required("tree"), call.body.get("parents", []), call.required("message"), author_of(call)
    )
    return 201, _git_commit_shape(call, sha)


@route("GET", "/repos/{owner}/{repo}/git/commits/{sha}")
def get_commit(call: Call) -> Answer:
    return 200, _git_commit_shape(call, call.args[0])


def _git_commit_shape(call: Call, sha: str) -> dict[str, Any]:
    try:
        commit = call.at.git.repo[sha]
    except (KeyError, ValueError) as error:
        raise ApiError(404, "Not Found") from error
    return {
        "sha": sha,
        "node_id": f"C_{sha}",
        "url": _shapes(call).api(call.at, f"/git/commits/{sha}"),
        "html_url": _shapes(call).html(call.at, f"/commit/{sha}"),
        "author": person(commit.author),
        "committer": person(commit.committer),
        "message": commit.message,
        "tree": {"sha": str(commit.tree_id), "url": _shapes(call).api(call.at, f"/git/trees/{commit.tree_id}")},
        "parents": [{"sha": str(p), "url": "", "html_url": ""} for p in commit.parent_ids],
        "verification": links.UNSIGNED,
    }


# --- pull requests, issues --------------------------------------------------------------------------------------------


def _number(call: Call) -> int:
    number = int(call.args[0]) if call.args[0].isdecimal() else 0
    if number not in call.at.issues:
        raise ApiError(404, "Not Found")
    return number


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
    return 200, [_shapes(call).pull(repo, pull, full=False) for pull in found]


@route("POST", "/repos/{owner}/{repo}/pulls")
def create_pull(call: Call) -> Answer:
    call.needs("write")
    pull = _pulls(call).create(
        call.at,
        call.required("title"),
        call.required("head").rpartition(":")[2],
        call.required("base"),
        call.body.get("body") or "",
        call.login,
    )
    return 201, _shapes(call).pull(call.at, pull)


@route("GET", "/repos/{owner}/{repo}/pulls/{number}")
def get_pull(call: Call) -> Answer:
    number = _number(call)
    if number not in call.at.pulls:
        raise ApiError(404, "Not Found")
    answer = _shapes(call).pull(call.at, call.at.pulls[number])
    _pulls(call).compute(call.at, call.at.pulls[number])
    return 200, answer


@route("PATCH", "/repos/{owner}/{repo}/pulls/{number}")
def update_pull(call: Call) -> Answer:
    call.needs("write")
    number = _number(call)
    _update_issue(call, call.at.issues[number])
    return 200, _shapes(call).pull(call.at, call.at.pulls[number])


@route("PUT", "/repos/{owner}/{repo}/pulls/{number}/merge")
def merge(call: Call) -> Answer:
    call.needs("write")
    pull = call.at.pulls[_number(call)]
    sha = _pulls(call).merge(call.at, pull, call.login, call.body.get("merge_method", "merge"), call.body.get("sha"))
    return 200, {"sha": sha, "merged": True, "message": "Pull Request successfully merged"}


@route("GET", "/repos/{owner}/{repo}/pulls/{number}/reviews")
def reviews(call: Call) -> Answer:
    return 200, list(call.at.pulls[_number(call)].reviews)


@route("POST", "/repos/{owner}/{repo}/pulls/{number}/reviews")
def review(call: Call) -> Answer:
    event = call.body.get("event", "COMMENT")
    return 200, _pulls(call).review(call.at, call.at.pulls[_number(call)], call.login, event, call.body.get("body", ""))


def _update_issue(call: Call, issue: Issue) -> None:
    body = call.body
    issue.title = body.get("title", issue.title)
    issue.body = body.get("body", issue.body) or ""
    if body.get("state", issue.state) != issue.state:
        _pulls(call).set_state(call.at, issue, body["state"], call.login)
    else:
        issue.updated_at = call.world.clock()
        _pulls(call).announce(call.at, issue, "edited", call.login)


@route("GET", "/repos/{owner}/{repo}/issues")
def list_issues(call: Call) -> Answer:
    arguments = call.request.args
    state, wanted = arguments.get("state", "open"), set(filter(None, arguments.get("labels", "").split(",")))
    found = [i for i in call.at.issues.values() if state in ("all", i.state) and wanted <= set(i.labels)]
    if "creator" in arguments:
        found = [issue for issue in found if issue.author == arguments["creator"]]
    return 200, [_shapes(call).issue(call.at, issue) for issue in reversed(found)]


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
    _pulls(call).announce(repo, issue, "opened", call.login)
    return 201, _shapes(call).issue(repo, issue)


@route("GET", "/repos/{owner}/{repo}/issues/{number}")
def get_issue(call: Call) -> Answer:
    return 200, _shapes(call).issue(call.at, call.at.issues[_number(call)])


@route("PATCH", "/repos/{owner}/{repo}/issues/{number}")
def update_issue(call: Call) -> Answer:
    issue = call.at.issues[_number(call)]
    _update_issue(call, issue)
    return 200, _shapes(call).issue(call.at, issue)


@route("POST", "/repos/{owner}/{repo}/issues/{number}/labels")
def add_labels(call: Call) -> Answer:
    call.needs("triage")
    issue = call.at.issues[_number(call)]
    issue.labels += [name for name in call.required("labels") if name not in issue.labels]
    issue.updated_at = call.world.clock()
    _pulls(call).announce(call.at, issue, "labeled", call.login)
    return 200, [_shapes(call).label(call.at, name) for name in issue.labels]


# --- checks, statuses, deployments, releases --------------------------------------------------------------------------


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
        "details_url": body.get("details_url") or _shapes(call).html(call.at, "/checks"),
        "html_url": _shapes(call).html(call.at, "/checks"),
        "url": "",
        "output": {
            "title": None,
            "summary": None,
            "text": None,
            "annotations_count": 0,
            "annotations_url": "",
            **body.get("output", {}),
        },
        "app": _shapes(call).app(call.actor.app),
        "check_suite": {"id": 1},
        "pull_requests": [],
    }
    call.at.check_runs.append(run)
    _webhooks(call).emit(call.at, "check_run", call.login, action="completed" if done else "created", check_run=run)
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
        "creator": _shapes(call).user(call.login),
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
    commit = _shapes(call).commit(call.at, call.at.git.repo[call.args[0]])
    _webhooks(call).emit(
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
        "creator": _shapes(call).user(call.login),
        "created_at": now,
        "updated_at": now,
        "url": "",
        "statuses_url": "",
        "repository_url": _shapes(call).api(call.at),
    }
    call.at.deployments.append(row)
    _webhooks(call).emit(
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
        "creator": _shapes(call).user(call.login),
        "created_at": stamp(call.world.clock()),
        "updated_at": stamp(call.world.clock()),
        "target_url": "",
        "url": "",
        "deployment_url": "",
        "repository_url": "",
    }
    call.at.deployment_statuses.setdefault(deployment, []).append(row)
    shown = next(each for each in call.at.deployments if each["id"] == deployment)
    _webhooks(call).emit(
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


@route("POST", "/repos/{owner}/{repo}/releases")
def create_release(call: Call) -> Answer:
    call.needs("write")
    tag, repo = call.required("tag_name"), call.at
    if any(row["tag_name"] == tag for row in repo.releases):
        raise ApiError(422, "Validation Failed", {"resource": "Release", "code": "already_exists", "field": "tag_name"})
    if repo.git.ref(f"refs/tags/{tag}") is None:
        repo.git.set_ref(f"refs/tags/{tag}", repo.git.ref(f"refs/heads/{repo.default_branch}") or "")
    number = call.world.next_id()
    row = {
        "id": number,
        "node_id": "RE",
        "tag_name": tag,
        "name": call.body.get("name"),
        "body": call.body.get("body"),
        "target_commitish": repo.default_branch,
        "draft": False,
        "prerelease": False,
        "author": _shapes(call).user(call.login),
        "created_at": stamp(call.world.clock()),
        "updated_at": stamp(call.world.clock()),
        "published_at": stamp(call.world.clock()),
        "assets": [],
        **links.of_release(_shapes(call).api(repo), _shapes(call).html(repo), number, tag),
    }
    repo.releases.append(row)
    _webhooks(call).emit(repo, "release", call.login, action="published", release=row)
    return 201, row


@route("GET", "/repos/{owner}/{repo}/releases")
def releases(call: Call) -> Answer:
    return 200, list(reversed(call.at.releases))
