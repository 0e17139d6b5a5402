"""Every answer of the stand-in, and every webhook, read with the models of GitHub's own description."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
import requests
from githubkit.webhooks import parse
from githubkit_schemas.latest import models as m
from pydantic import TypeAdapter

from bot.sandbox.github import GitHubSandbox, apps
from bot.sandbox.github.calls import ROUTES

REPO = "/repos/acme/models"


@dataclass
class Client:
    """A person's or an App's requests, each answer parsed."""

    url: str
    token: str
    seen: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, method: str, path: str, model: Any, **body: Any) -> Any:
        answer = requests.request(
            method,
            self.url + path,
            json=body or None,
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=60,
        )
        assert answer.status_code < 300, (method, path, answer.text)
        self.seen.append((method, path.partition("?")[0]))
        if answer.status_code == 204:
            assert model is None
            return None
        TypeAdapter(model).validate_python(answer.json())
        return answer.json()


@pytest.fixture
def github() -> Iterator[GitHubSandbox]:
    with GitHubSandbox() as sandbox:
        yield sandbox


def test_every_answer_and_every_webhook_is_as_github_describes_it(github: GitHubSandbox) -> None:
    github.add_user("alice", "bob")
    github.add_team("acme", "ml", ["alice"])
    app = github.add_app("promotion-bot", "http://127.0.0.1:9/webhooks", "secret")
    people = {"alice": "admin", "bob": "write"}
    repository = github.add_repository("acme/models", {"versions.yaml": "models: {}\n"}, people, [app])
    alice = Client(github.api_url, github.add_token("alice"))
    as_app = Client(github.api_url, _jwt(app.id, app.private_key_pem), alice.seen)
    as_app("GET", "/app", m.Integration)
    installation = as_app("GET", f"{REPO}/installation", m.Installation)
    token = as_app("POST", f"/app/installations/{installation['id']}/access_tokens", m.InstallationToken)["token"]
    bot = Client(github.api_url, token, alice.seen)

    as_app("GET", "/app/hook/config", m.WebhookConfig)
    hook = repository.add_hook("http://127.0.0.1:9/hook", "secret")

    alice("GET", "/user", m.PublicUser)
    alice("GET", f"{REPO}/collaborators/bob/permission", m.RepositoryCollaboratorPermission)
    alice("GET", f"{REPO}/collaborators/bob", None)
    alice("GET", "/orgs/acme/teams/ml/members", list[m.SimpleUser])
    alice("GET", REPO, m.FullRepository)

    head = alice("GET", f"{REPO}/git/ref/heads/main", m.GitRef)["object"]["sha"]
    commits = alice("GET", f"{REPO}/commits?sha=main", list[m.Commit])
    alice("GET", f"{REPO}/commits/{head}", m.Commit)
    alice("GET", f"{REPO}/compare/main...{head}", m.CommitComparison)
    tree = alice("GET", f"{REPO}/git/trees/{commits[0]['commit']['tree']['sha']}", m.GitTree)
    alice("GET", f"{REPO}/git/blobs/{tree['tree'][0]['sha']}", m.Blob)
    entry = {"path": "versions.yaml", "mode": "100644", "type": "blob", "content": "models: {a: 1}\n"}
    made = bot("POST", f"{REPO}/git/trees", m.GitTree, base_tree=tree["sha"], tree=[entry])
    commit = bot("POST", f"{REPO}/git/commits", m.GitCommit, message="Change", tree=made["sha"], parents=[head])["sha"]
    alice("GET", f"{REPO}/git/commits/{commit}", m.GitCommit)
    bot("POST", f"{REPO}/git/refs", m.GitRef, ref="refs/heads/change", sha=commit)
    bot("PATCH", f"{REPO}/git/refs/heads/change", m.GitRef, sha=commit, force=True)

    number = bot("POST", f"{REPO}/pulls", m.PullRequest, title="Change", head="change", base="main", body="")["number"]
    bot("PATCH", f"{REPO}/pulls/{number}", m.PullRequest, body="New text")
    bot("POST", f"{REPO}/issues/{number}/labels", list[m.Label], labels=["promotion"])
    alice("GET", f"{REPO}/pulls", list[m.PullRequestSimple])
    alice("POST", f"{REPO}/pulls/{number}/reviews", m.PullRequestReview, event="APPROVE", commit_id=commit)
    alice("GET", f"{REPO}/pulls/{number}/reviews", list[m.PullRequestReview])
    output = {"title": "Green", "summary": "All well"}
    bot("POST", f"{REPO}/check-runs", m.CheckRun, name="c", head_sha=commit, status="in_progress", output=output)
    bot("POST", f"{REPO}/check-runs", m.CheckRun, name="c", head_sha=commit, conclusion="success", output=output)
    alice("POST", f"{REPO}/statuses/{commit}", m.Status, state="success", context="ci", description="ok")
    alice("GET", f"{REPO}/commits/{commit}/statuses", list[m.Status])
    for run in alice("GET", f"{REPO}/commits/{commit}/check-runs", dict[str, Any])["check_runs"]:
        TypeAdapter(m.CheckRun).validate_python(run)
    alice("GET", f"{REPO}/pulls/{number}", m.PullRequest)
    bot("POST", f"{REPO}/pulls/{number}/requested_reviewers", m.PullRequestSimple, reviewers=["bob"])
    bot("DELETE", f"{REPO}/issues/{number}/labels/promotion", list[m.Label])
    repository.pull(number).enqueue("alice")
    alice("GET", f"{REPO}/git/matching-refs/heads/gh-readonly-queue/", list[m.GitRef])
    merged = alice("PUT", f"{REPO}/pulls/{number}/merge", m.PullRequestMergeResult, sha=commit)["sha"]
    alice("GET", f"{REPO}/commits/{merged}/pulls", list[m.PullRequestSimple])
    bot("DELETE", f"{REPO}/git/refs/heads/change", None)

    deployment = bot(
        "POST", f"{REPO}/deployments", m.Deployment,
        ref=merged, environment="staging", task="promotion", payload={"a": 1}, auto_merge=False, required_contexts=[],
    )["id"]  # fmt: skip
    bot("POST", f"{REPO}/deployments/{deployment}/statuses", m.DeploymentStatus, state="success")
    alice("GET", f"{REPO}/deployments", list[m.Deployment])
    alice("GET", f"{REPO}/deployments/{deployment}/statuses", list[m.DeploymentStatus])
    bot("POST", f"{REPO}/git/refs", m.GitRef, ref="refs/tags/v1", sha=merged)
    alice("GET", f"{REPO}/commits/tags/v1", m.Commit)
    bot("POST", f"{REPO}/releases", m.Release, tag_name="v1", name="One", body="Notes")
    alice("GET", f"{REPO}/releases", list[m.Release])
    issue = bot("POST", f"{REPO}/issues", m.Issue, title="Wrong", body="Text", labels=["promotion"])["number"]
    alice("GET", f"{REPO}/issues?state=all", list[m.Issue])
    alice("GET", f"{REPO}/issues/{issue}", m.Issue)
    comment = alice("POST", f"{REPO}/issues/{issue}/comments", m.IssueComment, body="/status")["id"]
    alice("GET", f"{REPO}/issues/{issue}/comments", list[m.IssueComment])
    alice("GET", f"{REPO}/issues/comments?sort=updated&since=2020-01-01T00:00:00Z", list[m.IssueComment])
    alice("PATCH", f"{REPO}/issues/comments/{comment}", m.IssueComment, body="/help")
    eyes = bot("POST", f"{REPO}/issues/comments/{comment}/reactions", m.Reaction, content="eyes")["id"]
    alice("GET", f"{REPO}/issues/comments/{comment}/reactions", list[m.Reaction])
    bot("DELETE", f"{REPO}/issues/comments/{comment}/reactions/{eyes}", None)
    alice("GET", f"{REPO}/issues/comments/{comment}", m.IssueComment)
    alice("DELETE", f"{REPO}/issues/comments/{comment}", None)
    bot("PATCH", f"{REPO}/issues/{issue}", m.Issue, state="closed")
    repository.push({"versions.yaml": "models: {b: 2}\n"})
    github.webhooks.wait()
    assert as_app("GET", "/app/hook/deliveries", list[m.HookDeliveryItem])
    alice("GET", f"{REPO}/hooks", list[m.Hook])
    assert alice("GET", f"{REPO}/hooks/{hook.id}/deliveries", list[m.HookDeliveryItem])

    manifest = {
        "name": "another", "hook_attributes": {"url": "http://127.0.0.1:9/hook"}, "redirect_url": "http://127.0.0.1:9/",
        "default_permissions": {"checks": "write"}, "default_events": ["push"],
    }  # fmt: skip
    back = apps.register_manifest(github.world, json.dumps(manifest), "state")
    code = parse_qs(urlsplit(back).query)["code"][0]
    alice("POST", f"/app-manifests/{code}/conversions", m.AppManifestsCodeConversionsPostResponse201)

    assert [route for route in _routes() if not any(_hits(route, call) for call in alice.seen)] == []
    events = {delivery.event for delivery in github.webhooks.deliveries}
    assert events >= {"push", "pull_request", "pull_request_review", "issues", "check_run", "status", "merge_group"}
    for delivery in github.webhooks.deliveries:
        parse(delivery.event, json.dumps(delivery.payload))


def _jwt(app: int, key: str) -> str:
    now = int(time.time())
    return jwt.encode({"iat": now - 10, "exp": now + 300, "iss": str(app)}, key, algorithm="RS256")


def _routes() -> list[tuple[str, re.Pattern[str]]]:
    return [(method, pattern) for method, pattern, _ in ROUTES]


def _hits(route: tuple[str, re.Pattern[str]], call: tuple[str, str]) -> bool:
    """Whether a call is answered by this route: the first that fits, as the server looks them up."""
    first = next(r for r in _routes() if r[0] == call[0] and r[1].fullmatch(call[1]))
    return first == route
