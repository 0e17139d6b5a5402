"""What the stand-in does as GitHub does it: who asks, what they may, pages, conditions, limits, faults, webhooks."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bot.sandbox.github import GitHubSandbox
from bot.sandbox.github.facade import SandboxRepository
from bot.sandbox.github.state import App, utc_now

FILES = {"versions.yaml": "models: {}\n"}
SECRET = "hush"


@pytest.fixture
def github() -> Iterator[GitHubSandbox]:
    with GitHubSandbox() as sandbox:
        sandbox.add_user("alice", "bob", "carol", "mallory")
        yield sandbox


@pytest.fixture
def app(github: GitHubSandbox) -> App:
    return github.add_app("promotion-bot")


@pytest.fixture
def repository(github: GitHubSandbox, app: App) -> SandboxRepository:
    people = {"alice": "admin", "bob": "triage", "carol": "read"}
    return github.add_repository("acme/models", FILES, people, [app])


def ask(github: GitHubSandbox, token: str | None, method: str, path: str, **more: Any) -> requests.Response:
    headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **more.pop("headers", {})}
    return requests.request(method, github.url + path, headers=headers, timeout=60, **more)


def signed(app: App, key: str | None = None, **claims: int | str) -> str:
    now = int(time.time())
    return jwt.encode(
        {"iat": now - 10, "exp": now + 300, "iss": str(app.id), **claims}, key or app.private_key_pem, "RS256"
    )


def stranger_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem, pkcs8, plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(pem, pkcs8, plain).decode()


# --- who asks ---------------------------------------------------------------------------------------------------------


def test_an_apps_jwt_is_verified(github: GitHubSandbox, app: App) -> None:
    now = int(time.time())
    assert ask(github, signed(app), "GET", "/app").json()["slug"] == "promotion-bot"
    for wrong in (
        signed(app, stranger_key()),
        signed(app, exp=now - 120),
        signed(app, exp=now + 3600),
        signed(app, iss="1"),
        signed(app)[:-3] + "AAA",
    ):
        answer = ask(github, wrong, "GET", "/app")
        assert (answer.status_code, answer.json()["status"]) == (401, "401")


def test_an_installations_token_runs_out_after_an_hour(
    github: GitHubSandbox, app: App, repository: SandboxRepository
) -> None:
    number = ask(github, signed(app), "GET", "/repos/acme/models/installation").json()["id"]
    token = ask(github, signed(app), "POST", f"/app/installations/{number}/access_tokens").json()["token"]
    assert ask(github, token, "GET", "/repos/acme/models").status_code == 200
    assert ask(github, token, "GET", "/user").status_code == 403
    github.world.clock = lambda: utc_now() + timedelta(minutes=61)
    assert ask(github, token, "GET", "/repos/acme/models").status_code == 401


def test_an_app_that_is_not_installed_sees_nothing(github: GitHubSandbox, repository: SandboxRepository) -> None:
    other = github.add_app("other")
    assert ask(github, signed(other), "GET", "/repos/acme/models/installation").status_code == 404


@pytest.mark.parametrize(
    ("login", "read", "label", "write"),
    [("alice", 200, 200, 201), ("bob", 200, 200, 403), ("carol", 200, 403, 403), ("mallory", 404, 404, 404)],
)
def test_each_role_may_what_it_may(
    github: GitHubSandbox, repository: SandboxRepository, login: str, read: int, label: int, write: int
) -> None:
    token, head = github.add_token(login), repository.head()
    repository.push({"a": "1"}, branch="change")
    number = repository.open_pull("change", "Change").number
    path = "/repos/acme/models"
    assert ask(github, token, "GET", path).status_code == read
    assert ask(github, token, "POST", f"{path}/issues/{number}/labels", json={"labels": ["x"]}).status_code == label
    made = ask(github, token, "POST", f"{path}/git/refs", json={"ref": "refs/heads/new", "sha": head})
    assert made.status_code == write


def test_without_a_token_a_private_repository_is_not_there(
    github: GitHubSandbox, repository: SandboxRepository
) -> None:
    assert ask(github, None, "GET", "/repos/acme/models").status_code == 404
    github.add_repository("acme/open", FILES, private=False)
    assert ask(github, None, "GET", "/repos/acme/open").status_code == 200
    assert ask(github, "nonsense", "GET", "/repos/acme/open").status_code == 401


def test_check_runs_are_for_apps(github: GitHubSandbox, repository: SandboxRepository) -> None:
    body = {"name": "c", "head_sha": repository.head()}
    answer = ask(github, github.add_token("alice"), "POST", "/repos/acme/models/check-runs", json=body)
    assert (answer.status_code, answer.json()["message"]) == (403, "You must authenticate via a GitHub App.")


# --- answers ----------------------------------------------------------------------------------------------------------


def test_lists_come_in_pages_that_name_the_next(github: GitHubSandbox, repository: SandboxRepository) -> None:
    token = github.add_token("alice")
    for number in range(5):
        ask(github, token, "POST", "/repos/acme/models/issues", json={"title": f"Issue {number}"})
    seen, url = [], "/repos/acme/models/issues?per_page=2&state=all"
    while url:
        answer = ask(github, token, "GET", url)
        seen += [row["title"] for row in answer.json()]
        url = answer.links.get("next", {}).get("url", "").removeprefix(github.url)
    assert seen == [f"Issue {number}" for number in reversed(range(5))]


def test_what_did_not_change_is_not_sent_again_and_costs_nothing(
    github: GitHubSandbox, repository: SandboxRepository
) -> None:
    token, path = github.add_token("alice"), "/repos/acme/models/git/ref/heads/main"
    first = ask(github, token, "GET", path)
    again = ask(github, token, "GET", path, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["X-RateLimit-Remaining"] == first.headers["X-RateLimit-Remaining"]
    repository.push({"a": "1"})
    changed = ask(github, token, "GET", path, headers={"If-None-Match": first.headers["ETag"]})
    assert changed.status_code == 200
    assert int(changed.headers["X-RateLimit-Remaining"]) == int(first.headers["X-RateLimit-Remaining"]) - 1


def test_whether_a_pull_request_can_be_merged_is_computed_after_the_first_read(
    github: GitHubSandbox, repository: SandboxRepository
) -> None:
    repository.push({"versions.yaml": "models: {a: 1}\n"}, branch="change")
    path = f"/repos/acme/models/pulls/{repository.open_pull('change', 'Change').number}"
    token = github.add_token("alice")

    def mergeable() -> list[Any]:
        return [ask(github, token, "GET", path).json()["mergeable"] for _ in range(2)]

    assert mergeable() == [None, True]
    repository.push({"versions.yaml": "models: {b: 2}\n"})  # the base moves, and the same line with it
    assert mergeable() == [None, False]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("GET", "/nothing", None, 404, "Not Found"),
        ("GET", "/repos/acme/models/pulls/99", None, 404, "Not Found"),
        ("POST", "/repos/acme/models/git/refs", {"ref": "refs/heads/main", "sha": "HEAD"}, 422, "already exists"),
        ("POST", "/repos/acme/models/git/refs", {"ref": "refs/heads/x"}, 422, "sha"),
        ("PATCH", "/repos/acme/models/git/refs/heads/none", {"sha": "HEAD"}, 422, "does not exist"),
        ("PATCH", "/repos/acme/models/git/refs/heads/main", {"sha": "OTHER"}, 422, "fast forward"),
        ("POST", "/repos/acme/models/pulls", {"title": "t", "head": "none", "base": "main"}, 422, "Validation"),
        ("POST", "/repos/acme/models/deployments", {"ref": "HEAD"}, 409, "Commit status checks failed"),
        ("POST", "/repos/acme/models/issues", [1], 400, "Body should be a JSON object"),
    ],
)
def test_errors_are_githubs(
    github: GitHubSandbox,
    repository: SandboxRepository,
    method: str,
    path: str,
    body: Any,
    status: int,
    said: str,
) -> None:
    places = {"HEAD": repository.head(), "OTHER": repository.push({"x": "1"}, branch="other")}
    repository.push({"y": "1"})
    if isinstance(body, dict):
        body = {key: places.get(value, value) for key, value in body.items()}
    answer = ask(github, github.add_token("alice"), method, path, json=body)
    assert answer.status_code == status
    assert said in answer.json()["message"]
    assert answer.json()["documentation_url"].startswith("https://docs.github.com/")


def test_the_head_that_is_merged_is_the_head_that_was_seen(
    github: GitHubSandbox, repository: SandboxRepository
) -> None:
    seen = repository.push({"a": "1"}, branch="change")
    pull = repository.open_pull("change", "Change")
    repository.push({"a": "2"}, branch="change")
    path = f"/repos/acme/models/pulls/{pull.number}/merge"
    assert ask(github, github.add_token("alice"), "PUT", path, json={"sha": seen}).status_code == 409
    assert not pull.merged


def test_a_reaction_is_there_once_for_each_person(github: GitHubSandbox, repository: SandboxRepository) -> None:
    repository.push({"a": "1"}, branch="change")
    comment = repository.open_pull("change", "Change").comment("alice", "/status")
    path, token = f"/repos/acme/models/issues/comments/{comment}/reactions", github.add_token("alice")
    assert ask(github, token, "POST", path, json={"content": "eyes"}).status_code == 201
    assert ask(github, token, "POST", path, json={"content": "eyes"}).status_code == 200
    assert ask(github, token, "POST", path, json={"content": "wave"}).status_code == 422
    assert [row["content"] for row in ask(github, token, "GET", path).json()] == ["eyes"]


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_an_answer_can_be_an_error_before_or_after_its_effect(
    github: GitHubSandbox, repository: SandboxRepository
) -> None:
    token = github.add_token("alice")

    def open_issue() -> int:
        return ask(github, token, "POST", "/repos/acme/models/issues", json={"title": "t"}).status_code

    github.fail("POST .*/issues$")
    assert (open_issue(), len(repository.issues())) == (502, 0)
    github.fail("POST .*/issues$", after=True)
    assert (open_issue(), len(repository.issues())) == (502, 1)
    assert (open_issue(), len(repository.issues())) == (201, 2)


def test_an_answer_can_be_late(github: GitHubSandbox, repository: SandboxRepository) -> None:
    github.hang("GET /user")
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.get(f"{github.url}/user", timeout=(60, 0.2))


def test_the_rate_limit_ends_and_begins_anew(github: GitHubSandbox, repository: SandboxRepository) -> None:
    token = github.add_token("alice")
    github.limit("alice", left=1, reset_in=3600)
    assert ask(github, token, "GET", "/user").headers["X-RateLimit-Remaining"] == "0"
    refused = ask(github, token, "GET", "/user")
    assert (refused.status_code, refused.headers["X-RateLimit-Remaining"]) == (403, "0")
    assert "rate limit exceeded" in refused.json()["message"]
    assert ask(github, github.add_token("bob"), "GET", "/user").status_code == 200
    github.limit("alice", left=0, reset_in=0)
    assert ask(github, token, "GET", "/user").status_code == 200


# --- webhooks ---------------------------------------------------------------------------------------------------------


class Listener:
    """An address that hooks deliver to."""

    def __init__(self) -> None:
        self.heard: list[tuple[dict[str, str], bytes]] = []
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                listener.heard.append((dict(self.headers), body))
                self.send_response(202)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def titles(self) -> list[str]:
        return [json.loads(body)["issue"]["title"] for _, body in self.heard]

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def listener(repository: SandboxRepository) -> Iterator[Listener]:
    listening = Listener()
    repository.add_hook(listening.url, SECRET)
    yield listening
    listening.stop()


def open_issues(github: GitHubSandbox, *titles: str) -> None:
    token = github.add_token("alice")
    for title in titles:
        ask(github, token, "POST", "/repos/acme/models/issues", json={"title": title})


def test_a_delivery_is_signed_and_can_be_sent_again_under_its_id(github: GitHubSandbox, listener: Listener) -> None:
    open_issues(github, "One")
    github.webhooks.wait()
    github.webhooks.redeliver(github.webhooks.deliveries[0])
    github.webhooks.wait()
    (headers, body), (again, same) = listener.heard
    assert headers["X-Hub-Signature-256"] == f"sha256={hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}"
    assert (again["X-GitHub-Delivery"], same) == (headers["X-GitHub-Delivery"], body)
    assert headers["X-GitHub-Event"] == "issues"
    assert github.webhooks.deliveries[0].status == 202


def test_deliveries_can_be_lost_doubled_delayed_and_out_of_order(github: GitHubSandbox, listener: Listener) -> None:
    hooks = github.webhooks

    def heard(*titles: str) -> list[str]:
        listener.heard.clear()
        open_issues(github, *titles)
        hooks.wait()
        return listener.titles()

    hooks.drop(1)
    assert heard("a", "b") == ["b"]
    hooks.duplicate(1)
    assert heard("a", "b") == ["a", "a", "b"]
    hooks.reorder(2)
    assert heard("a", "b", "c") == ["b", "a", "c"]
    hooks.delay(2)
    assert heard("a", "b", "c") == ["c"]
    hooks.release()
    hooks.wait()
    assert listener.titles() == ["c", "a", "b"]


# --- the page ---------------------------------------------------------------------------------------------------------


def test_a_person_comments_approves_and_merges_on_the_page(
    github: GitHubSandbox, repository: SandboxRepository
) -> None:
    repository.push({"a": "1"}, branch="change")
    pull = repository.open_pull("change", "Change", "bob")
    url = f"{github.url}/acme/models/pull/{pull.number}"

    def press(action: str, **fields: str) -> str:
        token = requests.get(url, timeout=60).text.partition('name="token" value="')[2].partition('"')[0]
        return requests.post(url, {"token": token, "as": "alice", "action": action, **fields}, timeout=60).text

    assert "<strong>Fine</strong> &lt;script&gt;" in press("comment", body="**Fine** <script>")
    assert "alice: approved" in press("approve")
    assert "merged" in press("merge")
    assert pull.merged
    assert [comment.author for comment in pull.comments] == ["alice"]
    assert "load it again" in press("comment", body="x", token="forged")
    assert "load it again" in press("comment", body="x", **{"as": "mallory"})
