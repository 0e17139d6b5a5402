"""A model's way to production and back, as its people see it."""

from __future__ import annotations

import pytest

from bot.domain.errors import Unreachable
from bot.domain.keys import ModelKey, PullRequestKey, RepositoryKey
from bot.settings import Secret
from tests.e2e.house import FILES, House, everything, house, killed_after_each_effect, without_names


def test_a_good_version_goes_live_in_staging_by_itself_and_waits_for_people_in_production(world: House) -> None:
    version = world.register()
    world.event()

    staging = world.proposed("staging", version)
    assert staging.merged
    assert staging.title == f"Promote {world.model} v1 to staging"
    assert staging.labels == ["promotion", "environment:staging"]
    assert world.stage(version) == "Staging"
    assert world.aliases() == {"staging": version}

    production = world.proposed("production", version)
    assert production.is_open
    assert production.check("promotion/policy") == "success"
    assert production.check("promotion/approvals") == "in_progress"
    assert production.check("promotion/window") == "success"

    production.approve("alice")
    world.settle()
    assert production.check("promotion/approvals") == "in_progress"
    production.approve("bob")
    world.settle()
    assert production.check("promotion/approvals") == "success"
    assert production.is_open, "merging is the people's decision"

    production.merge("bob")
    world.settle()
    assert world.stage(version) == "Production"
    assert world.aliases() == {"staging": version, "champion": version}
    tags = world.tags(version)
    assert tags["validation_status"] == "passed"
    assert tags["promoted_from"] == "Staging"
    assert tags["promotion.production.status"] == "live"
    assert tags["promotion.production.pr"] == str(production.number)
    assert tags["promotion.production.by"] == "bob"
    assert tags["promotion.release"] == "1.0.0"
    tag = f"model-{world.model}-v1"
    assert world.repository.tags() == {tag: world.repository.head()}
    assert [r["tag_name"] for r in world.repository.releases()] == [tag]
    assert "Merged and live" in production.body
    assert world.repository.branches() == ["main"]
    assert [d["statuses"][-1]["state"] for d in world.repository.deployments()] == ["success", "success"]


def test_the_commit_of_a_proposal_says_what_it_proposes_and_changes_nothing_else(world: House) -> None:
    world.register()
    world.event()
    pull = world.proposed("production", 1)
    commit = world.repository.repo.git.repo[pull.head_sha]
    lines = commit.message.splitlines()
    assert f"Promotion-Model: {world.model}" in lines
    assert "Promotion-Version: 1" in lines
    assert "Promotion-Environment: production" in lines
    assert any(line.startswith("Promotion-Digest: sha256:") for line in lines)
    assert pull.head_ref == f"promotion/production/{world.model}-v1"
    assert len(commit.parent_ids) == 1


def test_a_worse_version_is_refused_with_the_reason(world: House) -> None:
    world.register(accuracy=0.5)
    world.event()
    assert world.repository.pulls("all") == []
    tags = world.tags(1)
    assert tags["validation_status"] == "failed"
    assert tags["promotion.staging.status"] == "refused"
    assert "measured 0.5, required at least 0.92" in tags["promotion.staging.reason"]


def test_metrics_that_come_later_are_waited_for(world: House) -> None:
    version = world.register()
    run_id = world.mlflow.get_model_version(world.model, str(version)).run_id
    world.mlflow.update_run(run_id, "RUNNING")
    world.event()
    assert world.repository.pulls("all") == []
    assert world.tags(1)["promotion.staging.status"] == "waiting"
    world.mlflow.set_terminated(run_id, "FINISHED")
    world.settle()
    assert world.proposed("staging", version).merged


def test_a_newer_version_supersedes_an_open_proposal(world: House) -> None:
    world.register()
    world.event()
    older = world.proposed("production", 1)
    world.register(accuracy=0.96)
    world.event()
    newer = world.proposed("production", 2)
    assert not older.is_open
    assert not older.merged
    assert newer.is_open
    assert f"Supersedes #{older.number}" in newer.body
    assert f"Superseded by #{newer.number}" in older.body
    assert world.tags(2)["promotion.release"] == "1.0.1"


def test_the_previous_version_is_archived_and_a_revert_brings_it_back(world: House) -> None:
    world.register()
    world.to_production(1)
    world.register(accuracy=0.96)
    promotion = world.to_production(2)
    assert (world.stage(1), world.stage(2)) == ("Archived", "Production")

    revert = world.repository.revert(promotion.number, as_user="alice")
    world.settle()
    assert [revert.check(f"promotion/{gate}") for gate in ("policy", "approvals", "window")] == ["success"] * 3
    revert.merge("mallory")
    world.settle()
    assert (world.stage(1), world.stage(2)) == ("Production", "Staging")
    assert world.aliases() == {"staging": 2, "champion": 1}
    assert world.tags(2)["promotion.production.status"] == "rolled back"

    world.register(accuracy=0.97)
    world.event()
    assert world.proposal("production", 3) is None, "nobody fights the one who rolled back"


def test_a_merge_without_the_approvals_has_no_effect_and_an_issue_says_so(world: House) -> None:
    world.register()
    world.event()
    pull = world.proposed("production", 1)
    pull.approve("alice")
    pull.merge("bob")
    world.settle()
    assert world.stage(1) == "Staging"
    assert "champion" not in world.aliases()
    (issue,) = world.repository.issues()
    assert "has no effect" in issue.title
    assert "1 of 2 approvals" in issue.body
    assert "without effect" in pull.body
    checks = [r for r in world.repository.check_runs(world.repository.head()) if r["conclusion"] == "failure"]
    assert [r["name"] for r in checks] == [f"promotion/production/{world.model}"]
    world.settle()
    assert len(world.repository.issues("all")) == 1

    world.repository.revert(pull.number, as_user="alice").merge("alice")
    world.settle()
    assert world.repository.issues() == []


def test_an_approval_of_somebody_else_or_of_an_older_head_does_not_count(world: House) -> None:
    world.register()
    world.event()
    pull = world.proposed("production", 1)
    pull.approve("mallory")
    pull.approve("dana-ds")
    pull.approve("alice")
    world.settle()
    assert pull.check("promotion/approvals") == "in_progress"
    world.repository.push({"note.txt": "hello"}, branch=pull.head_ref, as_user="mallory")
    world.settle()
    pull.approve("bob")
    world.settle()
    assert pull.check("promotion/approvals") == "in_progress"


def test_a_direct_push_to_a_guarded_environment_has_no_effect(world: House) -> None:
    world.register()
    world.event()
    digest = world.tags(1)["promotion.staging.digest"]
    text = world.repository.file("versions.yaml") or ""
    forged = text + f"    production:\n      version: 1\n      digest: {digest}\n      release: 1.0.0\n"
    world.repository.push({"versions.yaml": forged}, as_user="mallory")
    world.settle()
    assert world.stage(1) == "Staging"
    (issue,) = world.repository.issues()
    assert "pushed without a pull request" in issue.body


def test_a_pull_request_that_is_no_promotion_is_green_at_once(world: House) -> None:
    world.repository.push({"README.md": "hello"}, branch="docs", as_user="alice")
    pull = world.repository.open_pull("docs", "Write a README")
    world.settle()
    assert [pull.check(f"promotion/{gate}") for gate in ("policy", "approvals", "window")] == ["success"] * 3
    titles = {r["output"]["title"] for r in world.repository.check_runs(pull.head_sha)}
    assert titles == {"Not a promotion"}


def test_a_pull_request_that_breaks_the_pipeline_says_where(world: House) -> None:
    broken = (world.repository.file("promotion.yaml") or "").replace("merge: manual", "merge: sometimes")
    world.repository.push({"promotion.yaml": broken}, branch="break", as_user="alice")
    pull = world.repository.open_pull("break", "Break it")
    world.settle()
    assert pull.check("promotion/policy") == "failure"
    (run,) = [r for r in world.repository.check_runs(pull.head_sha) if r["name"] == "promotion/policy"]
    assert "promotion.yaml:15:5" in run["output"]["title"]
    assert "auto or manual" in run["output"]["summary"]


def test_broken_files_on_the_default_branch_open_one_issue_and_stop_everything(world: House) -> None:
    world.repository.push({"versions.yaml": "apiVersion: promotion-bot/v1\nkind: Nonsense\nmodels: {}\n"})
    world.register()
    world.event()
    world.settle()
    (issue,) = world.repository.issues()
    assert "versions.yaml" in issue.body
    assert "line 2, column 1" in issue.body
    assert world.repository.pulls("all") == []
    world.repository.push({"versions.yaml": FILES["versions.yaml"]})
    world.event()
    assert world.repository.issues() == []
    assert world.proposed("staging", 1).merged


def test_what_the_first_manifest_states_is_live_already(registry_url: str, cache_url: Secret) -> None:
    with house(registry_url, cache_url) as built:
        built.register()
        digest = "sha256:" + "0" * 64
        entry = f"{{version: 1, digest: {digest}, release: 1.0.0}}"
        text = f"apiVersion: promotion-bot/v1\nkind: ModelVersions\nmodels:\n  {built.model}:\n    staging: {entry}\n"
        repository = built.github.add_repository(
            "acme/models",
            {**FILES, "promotion.yaml": FILES["promotion.yaml"].replace("fraud-*", built.model), "versions.yaml": text},
            built.repository.repo.collaborators,
            built.repository.repo.apps,
        )
        built.repository = repository
        built.event()
        assert [d["task"] for d in repository.deployments()] == ["adoption"]
        assert built.stage(1) == "None", "what is live already is not touched"
        assert built.proposal("production", 1) is not None or built.tags(1)


def test_with_a_token_the_checks_are_commit_statuses(registry_url: str, cache_url: Secret) -> None:
    with house(registry_url, cache_url, app=False) as built:
        built.register()
        built.to_production(1)
        assert built.stage(1) == "Production"
        pull = built.proposed("production", 1)
        contexts = {row["context"] for row in built.repository.statuses(pull.head_sha)}
        assert contexts == {"promotion/policy", "promotion/approvals", "promotion/window"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_github_away_at_any_request_costs_only_time(registry_url: str, cache_url: Secret) -> None:
    with house(registry_url, cache_url) as reference:
        reference.register()
        reference.to_production(1)
        wanted = everything(reference)
    patterns = ("POST .*/git/refs", "POST .*/pulls$", "POST .*/labels", "POST .*/deployments$", "POST .*/releases")
    for after in (False, True):
        with house(registry_url, cache_url) as built:
            built.register()
            for pattern in patterns:
                built.github.fail(pattern, after=after)
            away = 0
            for _ in range(12):
                try:
                    built.event()
                except Unreachable:
                    away += 1
                    continue
                pull = built.proposal("production", 1)
                if pull is not None and pull.is_open:
                    built.approve_and_merge(pull)
            assert away >= len(patterns)
            assert without_names(everything(built), built) == without_names(wanted, reference), after


@pytest.mark.slow
def test_killed_after_every_single_effect_it_ends_in_the_same_place(registry_url: str, cache_url: Secret) -> None:
    """The looks that propose, merge and authorise are killed after each of their effects; what is left half done is met
    by the sweep and by the look at each open pull request, and in the end by all of them.
    """
    with house(registry_url, cache_url) as reference:
        reference.register()
        reference.to_production(1)
        wanted = everything(reference)
    with house(registry_url, cache_url) as built:
        repository = built.repository.repo.full_name

        def others() -> None:
            built.look(RepositoryKey(repository))
            for pull in built.repository.pulls():
                built.look(PullRequestKey(repository, pull.number))

        def deaths() -> int:
            return killed_after_each_effect(lambda: built.look(ModelKey(repository, built.model)), others)

        built.register()
        proposed_and_merged = deaths()
        built.event()
        built.approve_and_merge(built.proposed("production", 1))
        authorised = deaths()
        built.settle()
        assert without_names(everything(built), built) == without_names(wanted, reference)
    assert min(proposed_and_merged, authorised) >= 2
    assert proposed_and_merged + authorised >= 12


def test_a_sweep_with_nothing_to_do_costs_three_requests(world: House) -> None:
    world.register()
    world.to_production(1)
    with world.counted() as sweep:
        world.look(RepositoryKey(world.repository.repo.full_name))
    assert len(sweep.github) <= 3, sweep.github
    assert world.keys == {}


def test_the_cost_of_a_promotion(world: House) -> None:
    world.register()
    world.to_production(1)
    world.register(accuracy=0.96)
    key = ModelKey(world.repository.repo.full_name, world.model)
    with world.counted() as opening:
        world.look_and_follow(key)
    assert len(opening.github) <= 12, opening.github
    assert world.proposed("staging", 2).check("promotion/policy") == "success"

    world.event()
    world.approve_and_merge(world.proposed("production", 2))
    with world.counted() as settling:
        world.look_and_follow(key)
    assert len(settling.github) <= 12, settling.github
    assert world.stage(2) == "Production"
