"""Repositories, references, commits, trees and blobs (https://docs.github.com/en/rest/git, /commits)."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import unquote

from bot.sandbox.github import links
from bot.sandbox.github.calls import ROLES, Answer, Call, role_of, route
from bot.sandbox.github.errors import ApiError
from bot.sandbox.github.shapes import person


@route("GET", "/repos/{owner}/{repo}")
def repository(call: Call) -> Answer:
    role = role_of(call.at, call.actor)
    rank = ROLES.index(role) if role else -1
    names = {"pull": "read", "triage": "triage", "push": "write", "maintain": "maintain", "admin": "admin"}
    permissions = {name: rank >= ROLES.index(needed) for name, needed in names.items()}
    return 200, {**call.house.shapes.repository(call.at), "permissions": permissions}


def _ref_shape(call: Call, name: str, sha: str) -> dict[str, Any]:
    url = call.house.shapes.api(call.at, f"/git/commits/{sha}")
    return {
        "ref": name,
        "node_id": name,
        "url": call.house.shapes.api(call.at, f"/git/{name}"),
        "object": {"type": "commit", "sha": sha, "url": url},
    }


@route("GET", "/repos/{owner}/{repo}/git/ref/{ref*}")
def get_ref(call: Call) -> Answer:
    name = f"refs/{call.args[0]}"
    sha = call.at.git.ref(name)
    if sha is None:
        raise ApiError(404, "Not Found")
    return 200, _ref_shape(call, name, sha)


@route("GET", "/repos/{owner}/{repo}/git/matching-refs/{ref*}")
def matching_refs(call: Call) -> Answer:
    prefix = f"refs/{call.args[0]}"
    names = sorted(name for name in call.at.git.repo.references if name.startswith(prefix))
    return 200, [_ref_shape(call, name, call.at.git.ref(name) or "") for name in names]


@route("POST", "/repos/{owner}/{repo}/git/refs")
def create_ref(call: Call) -> Answer:
    call.needs("write")
    name, sha = call.required("ref"), call.required("sha")
    if call.at.git.ref(name) is not None:
        raise ApiError(422, "Reference already exists")
    call.at.git.set_ref(name, sha)
    call.house.pulls.after_push(call.at, name, sha, call.login, created=True)
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
    call.house.pulls.after_push(call.at, name, sha, call.login)
    return 200, _ref_shape(call, name, sha)


@route("DELETE", "/repos/{owner}/{repo}/git/refs/{ref*}")
def delete_ref(call: Call) -> Answer:
    call.needs("write")
    name = f"refs/{call.args[0]}"
    if call.at.git.ref(name) is None:
        raise ApiError(422, "Reference does not exist")
    call.at.git.delete_ref(name)
    call.house.pulls.after_delete(call.at, name, call.login)
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
    return 200, [call.house.shapes.commit(call.at, commit) for commit in found]


@route("GET", "/repos/{owner}/{repo}/commits/{sha}")
def get_listed_commit(call: Call) -> Answer:
    return 200, call.house.shapes.commit(call.at, _commit_named(call, call.args[0]))


@route("GET", "/repos/{owner}/{repo}/commits/tags/{tag*}")
def get_tagged_commit(call: Call) -> Answer:
    sha = call.at.git.ref(f"refs/tags/{call.args[0]}")
    if sha is None:
        raise ApiError(422, f"No commit found for SHA: tags/{call.args[0]}")
    return 200, call.house.shapes.commit(call.at, call.at.git.commit_of(sha))


@route("GET", "/repos/{owner}/{repo}/compare/{basehead*}")
def compare(call: Call) -> Answer:
    base, _, head = unquote(call.args[0]).partition("...")
    one, other = (_commit_named(call, name) for name in (base, head))
    return 200, call.house.shapes.comparison(call.at, one, other)


def _commit_named(call: Call, name: str) -> Any:  # noqa: ANN401 - pygit2's commit
    git = call.at.git
    try:
        found = git.repo.get(git.ref(f"refs/heads/{name}") or name)
    except ValueError:
        found = None
    if found is None or found.type_str != "commit":
        raise ApiError(422, f"No commit found for SHA: {name}") if "..." not in name else ApiError(404, "Not Found")
    return found


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
            "url": call.house.shapes.api(call.at, f"/git/{e.type_str}s/{e.id}"),
            **({"size": e.size} if e.type_str == "blob" else {}),
        }
        for e in tree
    ]
    return {
        "sha": str(tree.id),
        "url": call.house.shapes.api(call.at, f"/git/trees/{tree.id}"),
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
    sha = call.at.git.commit(call.required("tree"), call.body.get("parents", []), call.required("message"), call.author)
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
        "url": call.house.shapes.api(call.at, f"/git/commits/{sha}"),
        "html_url": call.house.shapes.html(call.at, f"/commit/{sha}"),
        "author": person(commit.author),
        "committer": person(commit.committer),
        "message": commit.message,
        "tree": {"sha": str(commit.tree_id), "url": call.house.shapes.api(call.at, f"/git/trees/{commit.tree_id}")},
        "parents": [{"sha": str(p), "url": "", "html_url": ""} for p in commit.parent_ids],
        "verification": links.UNSIGNED,
    }
