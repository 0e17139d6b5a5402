"""The GitHub gateway against the stand-in: errors as the product's own, and what people say."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import jwt
import pytest
import redis
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bot.domain.errors import Misconfigured, NotYet, Service, Unreachable
from bot.domain.instructions import Answer, Answered, Said, Settled, Told
from bot.domain.world import LIVE_MARKER
from bot.gateways.cache import Cache
from bot.gateways.github import client as github_client
from bot.gateways.github.client import GitHubClient, GitHubRefusal
from bot.gateways.github.comments import Reaction
from bot.gateways.github.repository import Repository
from bot.sandbox.github import GitHubSandbox
from bot.sandbox.github.facade import SandboxPull, SandboxRepository
from bot.settings import AppCredentials, Secret
from policies.evidence import CiResult, CiState

PATH = "/repos/acme/models"


@pytest.fixture
def github() -> Iterator[GitHubSandbox]:
    with GitHubSandbox() as sandbox:
        sandbox.add_user("alice", "bot")
        yield sandbox


@pytest.fixture
def there(github: GitHubSandbox) -> SandboxRepository:
    return github.add_repository("acme/models", {"a": "1"}, {"alice": "admin", "bot": "write"})


@pytest.fixture
def pull(there: SandboxRepository) -> SandboxPull:
    there.push({"a": "2"}, branch="change")
    return there.open_pull("change", "Change")


@pytest.fixture
def client(github: GitHubSandbox, there: SandboxRepository, valkey: redis.Redis) -> GitHubClient:
    return GitHubClient(github.api_url, Secret(github.add_token("bot")), Cache(valkey))


@pytest.fixture
def repository(client: GitHubClient, valkey: redis.Redis) -> Repository:
    return Repository(client, Cache(valkey), "acme/models")


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["no key", "a broken key", "a public key", "another kind of key"])
def test_what_cannot_sign_is_named_and_not_shown(github: GitHubSandbox, valkey: redis.Redis, what: str) -> None:
    app = github.add_app("promotion-bot")
    pem, pkcs8, plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    known = {
        "no key": "s3cret",
        "a broken key": app.private_key_pem[:200],
        "a public key": app.public_key_pem,
        "another kind of key": ec.generate_private_key(ec.SECP256R1()).private_bytes(pem, pkcs8, plain).decode(),
    }
    client = GitHubClient(github.api_url, AppCredentials(str(app.id), Secret(known[what])), Cache(valkey))
    with pytest.raises(Misconfigured) as wrong:
        client.login()
    assert str(wrong.value) == "GITHUB_APP_PRIVATE_KEY is not an RSA private key in PEM form"


def test_the_apps_key_is_read_once(github: GitHubSandbox, valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    app = github.add_app("promotion-bot")
    github.add_repository("acme/risk", {"a": "1"}, install=[app])
    read: list[object] = []
    prepare = jwt.algorithms.RSAAlgorithm.prepare_key
    monkeypatch.setattr(
        jwt.algorithms.RSAAlgorithm, "prepare_key", lambda self, key: read.append(key) or prepare(self, key)
    )
    client = GitHubClient(github.api_url, AppCredentials(str(app.id), Secret(app.private_key_pem)), Cache(valkey))
    assert client.login() == "promotion-bot[bot]"
    client.prepare("acme/risk")
    client.permissions("acme/risk")
    assert read.count(app.private_key_pem) == 1


def test_a_service_is_away_where_nothing_is_answered_not_where_one_request_of_many_fails(
    github: GitHubSandbox, client: GitHubClient, there: SandboxRepository, valkey: redis.Redis
) -> None:
    github.fail("GET /repos/acme/models", times=2)
    with pytest.raises(Unreachable) as first:
        client.get("acme/models", PATH)
    assert first.value.service is Service.GITHUB
    other = GitHubClient(github.api_url, Secret(github.add_token("bot")), Cache(valkey))
    with pytest.raises(Unreachable) as of_another_look:
        other.get("acme/models", PATH)
    assert of_another_look.value.service is Service.GITHUB

    client.get("acme/models", PATH)
    github.fail("GET /repos/acme/models")
    with pytest.raises(Unreachable) as among_answers:
        client.get("acme/models", PATH)
    assert among_answers.value.service is None


@pytest.mark.parametrize(
    ("status", "headers", "expected", "said"),
    [
        (500, {}, Unreachable, "could not answer GET"),
        (502, {}, Unreachable, "could not answer GET"),
        (503, {"Retry-After": "7"}, Unreachable, "could not answer GET"),
        (429, {"Retry-After": "7"}, Unreachable, "asks for a pause"),
        (403, {"Retry-After": "7"}, Unreachable, "asks for a pause"),
        (403, {"X-RateLimit-Remaining": "0"}, Unreachable, "asks for a pause"),
        (403, {}, Misconfigured, "lacks the permission"),
        (403, {"X-Accepted-GitHub-Permissions": "contents=write"}, Misconfigured, "GitHub asks for contents=write"),
        (401, {}, Misconfigured, "Check GITHUB_TOKEN, or GITHUB_APP_ID"),
        (404, {}, GitHubRefusal, "refused GET /repos/acme/models"),
        (409, {}, GitHubRefusal, r"\(409\)"),
        (422, {}, GitHubRefusal, r"\(422\)"),
    ],
)
def test_githubs_errors_become_the_products_own(
    github: GitHubSandbox,
    client: GitHubClient,
    status: int,
    headers: dict[str, str],
    expected: type[Exception],
    said: str,
) -> None:
    github.fail(f"GET {PATH}$", 1, status, **headers)
    with pytest.raises(expected, match=said) as raised:
        client.get("acme/models", PATH)
    if "Retry-After" in headers:
        assert raised.value.retry_after == 7  # type: ignore[attr-defined]


def test_an_answer_that_does_not_come_is_unreachable(
    github: GitHubSandbox, client: GitHubClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(github_client, "_TIMEOUT", 1)
    github.hang(f"GET {PATH}$")
    with pytest.raises(Unreachable, match=f"could not be reached for GET {PATH}: "):
        client.get("acme/models", PATH)


def test_a_spent_rate_limit_is_a_pause_until_it_starts_anew(
    github: GitHubSandbox, client: GitHubClient, valkey: redis.Redis
) -> None:
    github.limit("bot", left=0, reset_in=100)
    with pytest.raises(Unreachable, match="asks for a pause") as raised:
        client.get("acme/models", PATH)
    assert 50 < (raised.value.retry_after or 0) <= 101
    with pytest.raises(NotYet):
        client.get("acme/models", PATH)
    github.limit("bot", left=0, reset_in=0)
    valkey.flushall()  # the pause is over
    assert client.get("acme/models", PATH)["name"] == "models"


def test_an_installation_token_that_was_taken_back_is_said(github: GitHubSandbox, valkey: redis.Redis) -> None:
    app = github.add_app("promotion-bot")
    github.add_repository("acme/risk", {"a": "1"}, install=[app])
    credentials = AppCredentials(str(app.id), Secret(app.private_key_pem))
    client = GitHubClient(github.api_url, credentials, Cache(valkey))
    assert client.get("acme/risk", "/repos/acme/risk")["name"] == "risk"
    for text in [text for text in github.world.tokens if text.startswith("ghs_")]:
        del github.world.tokens[text]
    with pytest.raises(Misconfigured, match="does not accept"):
        client.get("acme/risk", "/repos/acme/risk", fresh=1)


# --- pull requests ----------------------------------------------------------------------------------------------------


def test_the_texts_of_closed_proposals_do_not_pile_up(there: SandboxRepository, repository: Repository) -> None:
    for branch in ("promotion/staging/a-v1", "promotion/staging/a-v2"):
        there.push({"a": branch}, branch=branch)
    settled = there.open_pull("promotion/staging/a-v1", "One", body=f"{LIVE_MARKER}\nevidence")
    there.open_pull("promotion/staging/a-v2", "Two", body="evidence")
    settled.merge("alice")
    assert [pull.body for pull in repository.pulls.all()] == [LIVE_MARKER, "evidence"]
    alone = repository.pulls.get(settled.number)
    assert alone is not None
    assert alone.body == f"{LIVE_MARKER}\nevidence"


# --- what people say --------------------------------------------------------------------------------------------------


def test_a_comment_is_read_as_it_is_now(repository: Repository, pull: SandboxPull) -> None:
    first, second = pull.comment("alice", "/status"), pull.comment("alice", "Thanks")
    there = pull.repository
    there.github.world.clock = lambda: pull.comments[0].created_at + timedelta(days=1)
    there.edit_comment(first, "alice", "/help")
    there.delete_comment(second, "alice")
    edited = repository.comments.get(first)
    assert edited is not None
    assert (edited.body, edited.issue, edited.author, edited.was_edited) == ("/help", pull.number, "alice", True)
    assert repository.comments.get(second) is None


def test_the_log_holds_what_was_said_to_the_bot_and_what_it_answered(repository: Repository, pull: SandboxPull) -> None:
    told = Told(Said.HOLD, "production", "fraud", reason="lunch")
    first, second = pull.comment("alice", "/hold"), pull.comment("alice", "/status")
    pull.comment("alice", "Thanks")
    marker = Answer(first, {1: Answered(Settled.DONE, told)}).marker()
    pull.comment("mallory", f"{marker}\nnot the bot's")
    assert repository.comments.log().instructions() == ()
    repository.comments.say(pull.number, f"{marker}\nHeld.")
    log = repository.comments.log()
    (instruction,) = log.instructions()
    assert (instruction.told, instruction.by, instruction.comment, instruction.issue) == (
        told,
        "alice",
        first,
        pull.number,
    )
    since = pull.comments[0].created_at
    assert [c.id for c in log.unanswered(since.replace(microsecond=0))] == [second]
    pull.repository.github.world.clock = lambda: since + timedelta(days=1)
    pull.repository.edit_comment(first, "alice", "/hold because of lunch")
    assert repository.comments.log().instructions() == ()


def test_a_reaction_is_there_once(repository: Repository, pull: SandboxPull) -> None:
    number = pull.comment("alice", "/status")
    for reaction in (Reaction.SEEN, Reaction.DONE, Reaction.DONE):
        repository.comments.react(number, reaction)
    assert [r.content for r in pull.comments[0].reactions] == ["eyes", "rocket"]


# --- what others say of commits -----------------------------------------------------------------------------------


def test_a_teams_check_counts_by_its_name_and_its_author(
    github: GitHubSandbox, there: SandboxRepository, repository: Repository
) -> None:
    ci, stranger, head = github.add_app("github-actions"), github.add_app("stranger"), there.head()
    there.repo.apps += [ci, stranger]
    there.check_run(stranger, head, "tests", "success")
    assert repository.checks.by_others(head, "tests", "github-actions") is None
    there.check_run(ci, head, "tests", None)
    assert repository.checks.by_others(head, "tests", "github-actions") == CiResult(CiState.RUNNING)
    for conclusion, state in [("failure", CiState.FAILURE), ("neutral", CiState.FAILURE), ("success", CiState.SUCCESS)]:
        there.check_run(ci, head, "tests", conclusion)
        assert repository.checks.by_others(head, "tests", "GitHub-Actions") == CiResult(state)
    assert repository.checks.by_others(head, "other", "github-actions") is None


def test_a_status_counts_by_its_author(there: SandboxRepository, repository: Repository) -> None:
    head = there.head()
    there.status("mallory", head, "jenkins", "success")
    assert repository.checks.by_others(head, "jenkins", "alice") is None
    for state, expected in [("pending", CiState.RUNNING), ("error", CiState.FAILURE), ("success", CiState.SUCCESS)]:
        there.status("alice", head, "jenkins", state)
        assert repository.checks.by_others(head, "jenkins", "Alice") == CiResult(expected)


def test_whether_a_branch_holds_a_commit(there: SandboxRepository, repository: Repository) -> None:
    first = there.head()
    aside = there.push({"b": "1"}, branch="feature/x")
    there.push({"c": "1"})
    assert repository.git.on_branch(first, "main") == (first, True)
    assert repository.git.on_branch(first[:10], "main") == (first, True)
    assert repository.git.on_branch(aside, "main") == (aside, False)
    assert repository.git.on_branch(aside, "feature/x") == (aside, True)
    assert repository.git.on_branch(first, "no-such-branch") == (first, False)
    assert repository.git.on_branch("0" * 40, "main") is None
