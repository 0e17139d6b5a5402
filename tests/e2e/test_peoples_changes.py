"""What people change by hand, rightly and wrongly: pull requests of their own, forks, pushes to the bot's branch."""

from __future__ import annotations

import pytest

from bot.domain import naming
from bot.domain.keys import PullRequestKey
from bot.domain.manifest import Entry, parse_manifests
from bot.domain.manifest_editing import set_entry
from bot.domain.pipeline import parse_pipeline
from bot.sandbox.github import SandboxPull
from bot.settings import Secret
from tests.e2e.house import House, house

GATES = ("policy", "approvals", "window")


def by_hand(world: House, text: str, *, fork: bool = False) -> SandboxPull:
    """mallory edits the manifest in a pull request of her own."""
    if fork:
        pull = world.repository.open_pull_from_fork("patch-1", {"versions.yaml": text}, "By hand", "mallory")
    else:
        world.repository.push({"versions.yaml": text}, branch="mine", as_user="mallory")
        pull = world.repository.open_pull("mine", "By hand", as_user="mallory")
    world.settle()
    return pull


def said(world: House, pull: SandboxPull, gate: str = "policy") -> str:
    runs = [r for r in world.repository.check_runs(pull.head_sha) if r["name"] == f"promotion/{gate}"]
    return f"{runs[-1]['output']['title']}\n{runs[-1]['output']['summary']}"


def promoted(world: House) -> str:
    """The manifest with version 1 in staging and production."""
    world.register()
    world.to_production(1)
    return world.repository.file("versions.yaml") or ""


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text.replace("version: 1\n", "version: 77\n"), "version 77 is not in the registry"),
        (lambda text: text.replace("digest: sha256:", "digest: sha256:0", 1)[:-1], "versions.yaml"),
        (lambda text: text.replace("version: 1", "version: one"), "versions.yaml"),
        (lambda text: text + text.partition("models:\n")[2], "duplicate key"),
    ],
    ids=["no such version", "not a digest", "not a number", "the same key twice"],
)
def test_a_wrong_edit_is_refused_and_says_why(world: House, change: object, says: str) -> None:
    text = promoted(world)
    pull = by_hand(world, change(text))  # type: ignore[operator]
    assert pull.check("promotion/policy") == "failure"
    assert says in said(world, pull)
    assert world.aliases() == {"staging": 1, "champion": 1}


def test_a_wrong_digest_is_refused(world: House) -> None:
    text = promoted(world)
    entry = world.manifest().entry(world.model, "production")
    assert entry is not None
    pull = by_hand(world, text.replace(entry.digest, f"sha256:{1:064x}"))
    assert pull.check("promotion/policy") == "failure"
    assert "have the digest" in said(world, pull)


def test_one_edit_may_move_two_models_and_each_is_judged(registry_url: str, cache_url: Secret) -> None:
    with house(registry_url, cache_url) as built:
        twin = f"{built.model}-twin"
        pipeline = built.repository.file("promotion.yaml") or ""
        built.repository.push({"promotion.yaml": pipeline.replace(f'"{built.model}"', f'"{built.model}*"')})
        built.register()
        built.register(model=twin)
        built.settle()
        text = built.repository.file("versions.yaml") or ""
        for pull in built.repository.pulls():
            pull.close("bob")
        entries = parse_manifests({"versions.yaml": text}, parse_pipeline(pipeline)).entries
        both = text
        for (model, _), entry in entries.items():
            both = set_entry(both, model, "production", entry, ["staging", "production"])
        pull = by_hand(built, both)
        assert pull.check("promotion/policy") == "success", said(built, pull)
        assert said(built, pull).count("nothing → v1") == 2
        built.approve_and_merge(pull)
        built.settle()
        for model in (built.model, twin):
            registered = built.gateways.registry.model(model)
            assert registered is not None
            assert registered.aliases["champion"] == 1


def test_an_entry_may_be_removed_with_its_approvals(world: House) -> None:
    text = promoted(world)
    before, _, _ = text.partition("    production:")
    pull = by_hand(world, before)
    assert [pull.check(f"promotion/{gate}") for gate in GATES] == ["success", "in_progress", "success"]
    world.approve_and_merge(pull)
    world.settle()
    assert world.aliases() == {"staging": 1}
    assert world.stage(1) == "Staging"


def test_a_fork_that_edits_manifest_and_policy_together_is_judged_by_the_default_branch(world: House) -> None:
    text = promoted(world)
    world.register(accuracy=0.5)
    world.event()
    found = world.gateways.registry.model(world.model)
    assert found is not None
    version = found.version(2)
    assert version is not None
    digest = world.gateways.artifacts.digest(version).digest
    mine = set_entry(text, world.model, "production", Entry(2, digest, "1.0.1"), ["staging", "production"])
    loose = (world.repository.file("policies/production.yaml") or "").replace("at_least: 0.92", "at_least: 0.1")
    # Named like a proposal of the bot's: it is none.
    branch = naming.branch_name("production", world.model, 2)
    files = {"versions.yaml": mine, "policies/production.yaml": loose}
    pull = world.repository.open_pull_from_fork(branch, files, "Trust me", "mallory")
    world.settle()
    assert pull.check("promotion/policy") == "failure"
    assert "Changes the rules!" in said(world, pull)
    assert "required at least 0.92" in said(world, pull)
    assert pull.is_open, "it is not the bot's to close"
    assert [p.number for p in world.repository.pulls()] == [pull.number]
    pull.merge("bob")
    world.settle()
    assert world.aliases()["champion"] == 1
    assert world.repository.issues()


def test_a_push_to_the_bots_branch_voids_the_evidence_and_the_approvals(world: House) -> None:
    world.register()
    world.event()
    pull = world.proposed("production", 1)
    for person in ("alice", "bob"):
        pull.approve(person)
    world.settle()
    text = world.repository.file("versions.yaml", pull.head_ref) or ""
    world.repository.push({"versions.yaml": text + "# mine\n"}, branch=pull.head_ref, as_user="alice")
    world.settle()
    assert [pull.check(f"promotion/{gate}") for gate in GATES] == ["success", "in_progress", "success"]
    assert "approved an older commit" in said(world, pull, "approvals")


def test_a_pull_request_on_the_branch_of_a_proposal_is_left_to_who_opened_it(world: House) -> None:
    """As the proposals of the bot itself are, after it got another name."""
    version = world.register()
    branch = naming.branch_name("staging", world.model, version)
    world.repository.push({"notes.md": "mine"}, branch=branch, as_user="mallory")
    mallorys = world.repository.open_pull(branch, "Mine", as_user="mallory")
    world.event()
    assert [pull.number for pull in world.repository.pulls()] == [mallorys.number]
    assert (mallorys.head_sha, mallorys.labels) == (world.repository.head(branch), [])
    issue = world.repository.open_issue("Now, please")
    world.say(issue, "alice", f"/promote {world.model}@{version} to staging")
    (answer,) = world.answers(issue)
    assert f"#{mallorys.number}, which mallory opened, has the branch of this proposal" in answer.replace("\u200b", "")
    with world.counted() as cost:
        world.settle()
    assert not [asked for asked in cost.github if not asked.startswith("GET")]
    mallorys.close("mallory")
    world.settle()
    assert world.stage(version) == "Staging"


def test_what_is_not_the_bots_own_commit_is_not_merged_by_the_bot(registry_url: str, cache_url: Secret) -> None:
    with house(registry_url, cache_url) as world:
        world.register()
        version = world.gateways.registry.model(world.model)
        assert version is not None
        world.repository.push({"policies/staging.yaml": (world.repository.file("policies/staging.yaml") or "") + "\n"})
        issue = world.repository.open_issue("Wait")
        world.say(issue, "alice", f"/hold {world.model} in staging")
        world.say(issue, "alice", f"/promote {world.model} to staging")
        pull = world.proposed("staging", 1)
        text = world.repository.file("versions.yaml", pull.head_ref) or ""
        world.repository.push({"versions.yaml": text + "# mine\n"}, branch=pull.head_ref, as_user="alice")
        world.say(issue, "alice", f"/resume {world.model} in staging")
        assert pull.check("promotion/policy") == "success"
        assert pull.is_open


def test_a_merge_while_a_check_is_pending_takes_effect_when_the_evidence_comes(world: House) -> None:
    world.register()
    world.event()
    pull = world.proposed("production", 1)
    run_id = world.mlflow.get_model_version(world.model, "1").run_id
    world.mlflow.update_run(run_id, "RUNNING")
    policy = (world.repository.file("policies/production.yaml") or "") + "  - {id: done, run: {status: finished}}\n"
    world.repository.push({"policies/production.yaml": policy})
    for person in ("alice", "bob"):
        pull.approve(person)
    world.look(PullRequestKey(world.repository.repo.full_name, pull.number))
    pull.merge("bob")
    world.settle()
    assert world.stage(1) == "Staging"
    world.mlflow.set_terminated(run_id, "FINISHED")
    world.settle()
    assert world.stage(1) == "Production"
