"""What people write who may write somewhere but not decide puts nothing live that policy and approvals would not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import redis
import requests

from bot.domain.errors import Refused
from bot.domain.instructions import Answer, Answered, Settled, Told
from bot.domain.instructions import Said as Command
from bot.domain.keys import CommentKey, ModelKey, RepositoryKey
from bot.domain.manifest import Entry
from bot.domain.manifest_editing import set_entry
from bot.gateways.redis_connection import connect
from bot.sandbox.github import SandboxPull
from bot.sandbox.github.git import Person
from bot.settings import Secret
from bot.wiring import build
from tests.e2e.house import FILES, House, house
from tests.e2e.proxy import Write, proxied

NAMES = ("promotion/policy", "promotion/approvals", "promotion/window")
# Staging, where the bot merges by itself, and only with an approval.
GUARDED = FILES["promotion.yaml"].replace(
    "    merge: auto\n", '    merge: auto\n    approvals: {count: 1, from: ["@acme/ml-platform"]}\n'
)
OVERRIDABLE = FILES["promotion.yaml"].replace("    merge: auto\n", "    merge: auto\n    overrides: {from: [carol]}\n")
LOOSE = {path: FILES[path].replace("0.92", "0.1") for path in FILES if path != "promotion.yaml"}
SOAKING = FILES["promotion.yaml"].replace("soak: 0s", "soak: 24h")


def nothing_is_live(world: House, *versions: int) -> None:
    """Neither in the registry, nor in the record, nor in the manifest."""
    assert world.aliases() == {}
    assert {world.stage(version) for version in versions} == {"None"}
    assert world.manifest().entries == {}
    assert [d for d in world.repository.deployments() if d["creator"]["login"] == world.gateways.login()] == []


def as_user(world: House, login: str) -> Callable[..., requests.Response]:
    """Somebody's requests to the API, with a token of their own."""
    token = world.github.add_token(login)
    address = f"{world.github.api_url}/repos/{world.repository.repo.full_name}"

    def post(path: str, **body: object) -> requests.Response:
        answer = requests.post(address + path, json=body, headers={"Authorization": f"token {token}"}, timeout=60)
        answer.raise_for_status()
        return answer

    return post


def forge_tags(world: House, version: int) -> None:
    """Everything that the bot would have written on a version that went all the way."""
    tags = {"validation_status": "passed", "promoted_from": "Staging", "promotion.release": "1.0.0"}
    for environment in ("staging", "production"):
        tags |= {
            f"promotion.{environment}.status": "live",
            f"promotion.{environment}.pr": "1",
            f"promotion.{environment}.commit": world.repository.head(),
            f"promotion.{environment}.digest": f"sha256:{1:064x}",
            f"promotion.{environment}.policy": environment,
            f"promotion.{environment}.at": "2020-01-01T00:00:00Z",
            f"promotion.{environment}.by": "carol",
            f"promotion.{environment}.verdict": '{"status": "pass", "outcomes": []}',
            f"promotion.{environment}.override.accuracy-floor": "carol: it is fine",
            f"promotion.{environment}.override.window": "carol: it is fine",
        }
    for key, value in tags.items():
        world.mlflow.set_model_version_tag(world.model, str(version), key, value)


# --- MLflow's tags ----------------------------------------------------------------------------------------------------


def test_forged_tags_on_a_version_put_nothing_live(world: House) -> None:
    world.register(accuracy=0.5)
    forge_tags(world, 1)
    world.event()
    assert world.repository.pulls("all") == []
    nothing_is_live(world, 1)
    assert world.tags(1)["validation_status"] == "failed", "what the bot shows there is right again"


def test_forged_tags_do_not_shorten_the_soak_nor_let_a_failed_check_pass(registry_url: str, cache_url: Secret) -> None:
    with house(registry_url, cache_url, {"promotion.yaml": SOAKING}) as world:
        world.register()
        world.event()
        assert world.stage(1) == "Staging"
        forge_tags(world, 1)
        world.event()
        assert world.proposal("production", 1) is None
        assert world.aliases() == {"staging": 1}


def test_a_forged_release_changes_what_is_proposed_and_no_two_versions_share_one(
    registry_url: str, cache_url: Secret
) -> None:
    pipeline = FILES["promotion.yaml"].replace("merge: auto", "merge: manual")
    with house(registry_url, cache_url, {"promotion.yaml": pipeline}) as world:
        first = world.register()
        world.mlflow.set_model_version_tag(world.model, "1", "promotion.release", "7.0.0")
        world.event()
        pull = world.proposed("staging", first)
        assert "7.0.0" in pull.body, "its reviewers see it"
        pull.merge("bob")
        world.settle()
        world.mlflow.set_model_version_tag(world.model, "1", "promotion.release", "1.0.0")
        world.register(accuracy=0.96)
        world.mlflow.set_model_version_tag(world.model, "2", "promotion.release", "7.0.0")
        world.event()
        world.proposed("staging", 2).merge("bob")
        world.settle()
        entry = world.manifest().entry(world.model, "staging")
        assert entry is not None
        assert entry.release not in ("7.0.0", "1.0.0")
        assert world.tags(2)["promotion.release"] == entry.release


def test_a_hold_is_the_comment_and_not_its_tag(world: House) -> None:
    tag = "promotion.staging.hold"
    issue = world.repository.open_issue("Quiet week")
    world.say(issue, "alice", f"/hold {world.model} in staging because of the audit")
    world.register()
    world.event()
    world.mlflow.delete_registered_model_tag(world.model, tag)
    world.event()
    assert world.repository.pulls("all") == []
    assert "the audit by alice" in world.mlflow.get_registered_model(world.model).tags[tag]
    world.say(issue, "alice", f"/resume {world.model} in staging")
    world.mlflow.set_registered_model_tag(world.model, tag, "held by mallory")
    world.register(accuracy=0.96)
    world.event()
    assert world.proposed("staging", 2).merged, "a forged tag holds nothing"
    assert tag not in world.mlflow.get_registered_model(world.model).tags


# --- comments ---------------------------------------------------------------------------------------------------------


def test_an_override_counts_only_unedited_by_who_may_and_as_the_bot_itself_understood_it(
    registry_url: str, cache_url: Secret
) -> None:
    with house(registry_url, cache_url, {"promotion.yaml": OVERRIDABLE}) as world:
        _tries_to_override(world)


def _tries_to_override(world: House) -> None:
    world.register(accuracy=0.5)
    issue = world.repository.open_issue("Ship it")
    said = f"/override accuracy-floor {world.model}@1 to staging because it is fine"
    told = Told(Command.OVERRIDE, "staging", world.model, 1, "accuracy-floor", "it is fine")

    def asked_again() -> None:
        world.say(issue, "dana-ds", f"/promote {world.model}@1 to staging")
        assert world.proposal("staging", 1) is None
        nothing_is_live(world, 1)

    refused = world.say(issue, "mallory", said)
    assert world.reactions(refused)[-1] == "confused"
    asked_again()
    # mallory gives herself the bot's answer.
    accepted = Answer(refused, {1: Answered(Settled.DONE, told)}).marker()
    world.say(issue, "mallory", f"{accepted}\n@mallory done")
    asked_again()
    # mallory, who may write, rewrites the bot's own answer to her.
    (answer,) = (
        c for c in world.repository.comments(issue) if f'"comment":{refused}' in c.body and c.author != "mallory"
    )
    world.rewrite(answer.id, "mallory", f"{accepted}\ndone")
    asked_again()
    # mallory writes into a comment of carol, who may.
    harmless = world.say(issue, "carol", "I will have a look.")
    world.rewrite(harmless, "mallory", said)
    world.look(CommentKey(world.repository.repo.full_name, issue, harmless))
    asked_again()
    world.say(issue, "carol", said)
    world.say(issue, "dana-ds", f"/promote {world.model}@1 to staging")
    assert world.proposed("staging", 1).merged, "it was hers alone to say"


def test_an_override_that_is_edited_afterwards_counts_no_more(world: House) -> None:
    world.register(accuracy=0.96)
    world.to_production(1)
    world.register(accuracy=0.94)
    world.event()
    issue = world.repository.open_issue("Ship it")
    override = world.say(
        issue, "carol", f"/override beats-champion {world.model}@2 to production because of the outage"
    )
    world.say(issue, "dana-ds", f"/promote {world.model}@2 to production")
    pull = world.proposed("production", 2)
    assert pull.check("promotion/policy") == "success"
    world.rewrite(override, "mallory", "I never said that")
    world.settle()
    assert pull.check("promotion/policy") == "failure"
    world.approve_and_merge(pull)
    world.settle()
    assert world.aliases()["champion"] == 1


# --- GitHub's own records, by somebody else ---------------------------------------------------------------------------


@pytest.mark.parametrize("app", [True, False], ids=["beside check runs", "beside statuses"])
def test_checks_of_our_name_by_somebody_else_merge_nothing(registry_url: str, cache_url: Secret, app: bool) -> None:
    with house(registry_url, cache_url, {"promotion.yaml": GUARDED}, app=app) as world:
        other = world.github.add_app("promotion-b0t")
        world.register()
        world.event()
        pull = world.proposed("staging", 1)
        for name in NAMES:
            world.repository.status("mallory", pull.head_sha, name, "success")
            world.repository.check_run(other, pull.head_sha, name, "success")
        world.settle()
        assert pull.is_open
        assert not pull.merged
        nothing_is_live(world, 1)
        pull.merge("mallory")  # GitHub lets her, where it asks for checks by anybody
        world.settle()
        assert world.aliases() == {}
        (issue,) = world.repository.issues()
        assert "approval" in issue.body


def test_a_deployment_by_somebody_else_is_no_judgement(world: House) -> None:
    world.register(accuracy=0.5)
    digest = _digest(world, 1)
    text = set_entry(world.repository.file("versions.yaml") or "", world.model, "production", Entry(1, digest, "1.0.0"))
    commit = world.repository.push({"versions.yaml": text}, as_user="mallory")
    post = as_user(world, "mallory")
    payload = {
        "model": world.model,
        "version": 1,
        "digest": digest,
        "release": "1.0.0",
        "ruling": "authorised",
        "kind": "promotion",
        "pull_request": None,
        "reasons": [],
        "lacking": [],
        "by": "bob",
        "policy": "production",
    }
    made = [
        post("/deployments", ref=commit, task=task, environment=environment, payload=payload, required_contexts=[])
        for task, environment in (("promotion", "production"), ("promotion", "staging"), ("adoption", "adoption"))
    ]
    for each in made:
        post(f"/deployments/{each.json()['id']}/statuses", state="success")
    world.settle()
    assert world.aliases() == {}
    assert world.stage(1) == "None"
    own = [d for d in world.repository.deployments() if d["creator"]["login"] == world.gateways.login()]
    assert [d["statuses"][-1]["state"] for d in own] == ["failure"]


def test_a_back_dated_commit_does_not_shorten_the_soak(registry_url: str, cache_url: Secret) -> None:
    with house(registry_url, cache_url, {"promotion.yaml": SOAKING}) as world:
        world.register()
        git, text = world.repository.repo.git, world.repository.file("versions.yaml") or ""
        changed = set_entry(text, world.model, "staging", Entry(1, _digest(world, 1), "1.0.0"))
        tree = git.tree_with(str(git.repo[world.repository.head()].tree_id), {"versions.yaml": changed.encode()})
        sha = git.commit(tree, [world.repository.head()], "Long ago", _LongAgo("mallory", "mallory@example.com"))
        git.set_ref("refs/heads/main", sha)
        world.settle()
        assert world.stage(1) == "Staging", "a push is enough for staging"
        assert world.proposal("production", 1) is None
        world.gateways.clock = lambda: datetime.now(UTC) + timedelta(hours=25)
        world.event()
        assert world.proposed("production", 1).is_open, "a day after it went live, by GitHub's clock"


class _LongAgo(Person):
    def signature(self, at: datetime) -> object:  # type: ignore[override]
        return super().signature(at - timedelta(days=30))


def _digest(world: House, version: int) -> str:
    found = world.gateways.registry.model(world.model)
    assert found is not None
    registered = found.version(version)
    assert registered is not None
    return world.gateways.artifacts.digest(registered).digest


# --- merges -----------------------------------------------------------------------------------------------------------


def test_a_push_between_the_look_and_the_merge_is_not_merged(registry_url: str, cache_url: Secret) -> None:
    with house(registry_url, cache_url) as world, proxied("github", world.github.url) as github:
        world.gateways = build(replace(world.gateways.settings, github_api_url=github.url))
        pushed: list[SandboxPull] = []

        def push_first(write: Write) -> None:
            if write.method == "PUT" and write.path.endswith("/merge") and not pushed:
                pull = world.proposed("staging", 1)
                assert [pull.check(name) for name in NAMES] == ["success"] * 3
                assert json.loads(write.body)["sha"], "the head that was judged"
                pushed.append(pull)
                world.repository.push({"policies/staging.yaml": "checks: []"}, "Quickly", pull.head_ref, "mallory")

        github.before = push_first
        world.register()
        world.event()
        (pull,) = pushed
        assert not pull.merged
        assert pull.is_open
        refused = [r.status for r in world.github.requests if r.path.endswith("/merge")]
        assert refused == [409]
        nothing_is_live(world, 1)
        assert "at_least" in (world.repository.file("policies/staging.yaml") or "")


# --- Redis ------------------------------------------------------------------------------------------------------------


def test_a_poisoned_redis_changes_nothing_that_is_decided(world: House, cache_url: Secret) -> None:
    """Everything in the cache is replaced, by another entry's value or by a forged one, before each next step."""
    stolen = connect(cache_url)
    world.register()
    world.event()
    assert poison(stolen) > 10
    world.to_production(1)
    poison(stolen)
    world.register(accuracy=0.5)
    world.event()
    assert world.proposal("production", 2) is None
    assert world.aliases() == {"staging": 1, "champion": 1}
    assert world.stage(1) == "Production"
    poison(stolen)
    before = len(world.repository.deployments())
    world.settle()
    assert len(world.repository.deployments()) == before


def test_a_key_of_a_repository_that_is_not_served_is_refused(world: House) -> None:
    """Somebody installed the App on a repository of their own too, and writes its name into the queue."""
    files = {"promotion.yaml": world.repository.file("promotion.yaml") or "", **LOOSE}
    app = next(iter(world.github.world.apps.values()))
    world.github.add_repository("mallory/models", files, {"mallory": "admin"}, [app])
    world.register(accuracy=0.5)
    for key in (RepositoryKey("mallory/models"), ModelKey("mallory/models", world.model)):
        with pytest.raises(Refused, match="PROMOTION_REPOSITORIES"):
            world.look(key)
    nothing_is_live(world, 1)


def poison(stolen: redis.Redis) -> int:
    """Change every entry of the cache; how many there were."""
    names = sorted(stolen.scan_iter("promotion:cache:*"))
    values = [stolen.get(name) for name in names]
    for name, value in zip(names, [*values[1:], b"\0" * 200], strict=True):
        assert isinstance(value, bytes)
        stolen.set(name, value)
    return len(names)
