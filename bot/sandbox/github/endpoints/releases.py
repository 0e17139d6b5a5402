"""Releases (https://docs.github.com/en/rest/releases)."""

from __future__ import annotations

from bot.sandbox.github import links
from bot.sandbox.github.calls import Answer, Call, route
from bot.sandbox.github.errors import ApiError
from bot.sandbox.github.shapes import stamp


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
        "author": call.house.shapes.user(call.login),
        "created_at": stamp(call.world.clock()),
        "updated_at": stamp(call.world.clock()),
        "published_at": stamp(call.world.clock()),
        "assets": [],
        **links.of_release(call.house.shapes.api(repo), call.house.shapes.html(repo), number, tag),
    }
    repo.releases.append(row)
    call.house.webhooks.emit(repo, "release", call.login, action="published", release=row)
    return 201, row


@route("GET", "/repos/{owner}/{repo}/releases")
def releases(call: Call) -> Answer:
    return 200, list(reversed(call.at.releases))
