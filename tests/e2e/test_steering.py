"""Windows, drift, approvals, overrides after the fact: what keeps a promotion in or out besides its policy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.keys import CommentKey, ModelKey, PullRequestKey, RecheckKey
from bot.settings import Secret
from tests.e2e.house import FILES, House, everything, house, killed_after_each_effect, without_names

MANUAL = "    merge: manual\n"


def frozen(until: datetime) -> str:
    """A pipeline whose production is frozen now."""
    since = datetime.now(UTC) - timedelta(days=2)
    freeze = f'    freeze: [{{from: "{since:%Y-%m-%d}", until: "{until:%Y-%m-%d %H:%M}", reason: year end}}]\n'
    return FILES["promotion.yaml"].replace(MANUAL, MANUAL + freeze)


@pytest.fixture
def closed(registry_url: str, cache_url: Secret) -> Iterator[House]:
    """A house whose production is frozen until tomorrow."""
    with house(registry_url, cache_url, {"promotion.yaml": frozen(datetime.now(UTC) + timedelta(days=1))}) as built:
        yield built


def with_drift(drift: str) -> dict[str, str]:
    return {"promotion.yaml": FILES["promotion.yaml"].replace(MANUAL, f"{MANUAL}    drift: {drift}\n")}


# --- windows ----------------------------------------------------------------------------------------------------------


def test_a_closed_window_is_shown_and_an_override_opens_it(closed: House) -> None:
    closed.register()
    closed.event()
    pull = closed.proposed("production", 1)
    assert pull.check("promotion/window") == "action_required"
    comment = closed.say(pull, "dana-ds", "/override window because we lose money")
    assert closed.reactions(comment)[-1] == "confused"
    assert pull.check("promotion/window") == "action_required"
    closed.say(pull, "carol", "/override window because we lose money")
    assert pull.check("promotion/window") == "success"
    assert "The window was overridden by `carol`" in pull.body
    closed.approve_and_merge(pull)
    closed.settle()
    assert closed.stage(1) == "Production"
    assert closed.tags(1)["promotion.production.override.window"] == "carol: we lose money"


def test_a_merge_in_a_closed_window_has_no_effect_until_it_is_overridden(closed: House) -> None:
    closed.register()
    closed.event()
    pull = closed.proposed("production", 1)
    closed.approve_and_merge(pull)
    closed.settle()
    assert closed.stage(1) == "Staging"
    (issue,) = closed.repository.issues()
    assert "the window was closed" in issue.body
    closed.say(issue.number, "carol", f"/override window {closed.model}@1 to production because we lose money")
    assert closed.stage(1) == "Production"
    assert closed.repository.issues() == []
    assert "Merged and live" in pull.body
    states = [d["statuses"][-1]["state"] for d in closed.repository.deployments() if d["environment"] == "production"]
    assert states == ["inactive", "success"]


def test_missing_reviews_cannot_be_overridden(world: House) -> None:
    world.register()
    world.event()
    world.proposed("production", 1).merge("bob")
    world.settle()
    (issue,) = world.repository.issues()
    world.say(issue.number, "carol", f"/override window {world.model}@1 to production because I say so")
    assert world.stage(1) == "Staging"
    assert world.repository.issues() == [issue]


def test_a_rollback_takes_the_fast_lane_through_a_closed_window(registry_url: str, cache_url: Secret) -> None:
    with house(registry_url, cache_url) as world:
        world.register()
        world.to_production(1)
        world.register(accuracy=0.96)
        promotion = world.to_production(2)
        world.repository.push(
            {"promotion.yaml": frozen(datetime.now(UTC) + timedelta(days=1)).replace("fraud-*", world.model)}
        )
        world.say(promotion, "dana-ds", "/rollback")
        back = next(p for p in world.repository.pulls() if p.head_ref.endswith("-v1"))
        assert [back.check(f"promotion/{gate}") for gate in ("policy", "approvals", "window")] == ["success"] * 3
        back.merge("dana-ds")
        world.settle()
        assert world.stage(1) == "Production"


# --- approvals --------------------------------------------------------------------------------------------------------


def test_reviews_are_asked_for_once_and_nobody_approves_their_own_work(world: House) -> None:
    world.register()
    world.event()
    pull = world.proposed("production", 1)
    assert pull.pull.team_reviewers == ["ml-platform"]
    asked = [r for r in world.github.requests if r.path.endswith("/requested_reviewers")]
    assert len(asked) == 1
    world.register(accuracy=0.5)
    world.say(pull, "alice", f"/promote {world.model}@1 to production")
    pull.approve("alice")
    pull.approve("bob")
    world.settle()
    assert pull.check("promotion/approvals") == "in_progress"
    runs = [r for r in world.repository.check_runs(pull.head_sha) if r["name"] == "promotion/approvals"]
    assert "alice: asked for the promotion" in runs[-1]["output"]["summary"]


def test_a_merge_queues_commit_gets_the_checks_too(world: House) -> None:
    world.register()
    world.event()
    pull = world.proposed("production", 1)
    pull.approve("alice")
    pull.approve("bob")
    queued = pull.enqueue("bob")
    world.settle()
    runs = {run["name"]: run["conclusion"] for run in world.repository.check_runs(queued)}
    assert runs == {f"promotion/{gate}": "success" for gate in ("policy", "approvals", "window")}


def test_the_re_run_button_evaluates_again_and_writes_the_checks_anew(world: House) -> None:
    world.register()
    world.event()
    pull = world.proposed("production", 1)
    before = len(world.repository.check_runs(pull.head_sha))
    world.look(PullRequestKey(world.repository.repo.full_name, pull.number))
    assert len(world.repository.check_runs(pull.head_sha)) == before
    world.look(RecheckKey(world.repository.repo.full_name, pull.number))
    assert len(world.repository.check_runs(pull.head_sha)) == before + 3


# --- the repository's rules -------------------------------------------------------------------------------------------


def test_a_proposal_that_must_be_up_to_date_is_made_anew(world: House) -> None:
    world.repository.repo.strict = True
    world.register()
    world.event()
    pull = world.proposed("production", 1)
    pull.approve("alice")
    before = pull.head_sha
    world.repository.push({"README.md": "Hello\n"})
    world.settle()
    assert pull.head_sha != before
    assert pull.check("promotion/policy") == "success"
    assert pull.check("promotion/approvals") == "in_progress", "approvals are asked again"
    world.approve_and_merge(pull)
    world.settle()
    assert world.stage(1) == "Production"


def test_a_refresh_after_a_moved_base_costs_at_most_twelve_requests(world: House) -> None:
    world.repository.repo.strict = True
    world.register()
    world.event()
    pull = world.proposed("production", 1)
    world.repository.push({"README.md": "Hello\n"})
    key = ModelKey(world.repository.repo.full_name, world.model)
    before = pull.head_sha
    world.look(key)  # GitHub computes whether it can be merged only when it is asked
    assert pull.head_sha == before
    with world.counted() as cost:
        world.look_and_follow(key)
    assert pull.head_sha != before
    assert len(cost.github) <= 12, cost.github


def test_what_the_bot_may_not_merge_is_left_to_people(world: House) -> None:
    world.repository.repo.reviews_required = 1
    world.register()
    world.event()
    pull = world.proposed("staging", 1)
    assert pull.is_open
    assert "GitHub does not let the bot merge this (At least 1 approving review" in pull.body
    pull.approve("alice")
    world.settle()
    assert pull.merged
    assert world.stage(1) == "Staging"


def test_a_persons_edit_of_the_manifest_gets_one_comment_that_is_kept_current(world: House) -> None:
    world.register()
    world.to_production(1)
    world.register(accuracy=0.96)
    world.event()
    proposal = world.proposed("production", 2)
    text = world.repository.file("versions.yaml", proposal.head_ref) or ""
    proposal.close("bob")
    world.settle()
    world.repository.push({"versions.yaml": text}, branch="mine", as_user="mallory")
    pull = world.repository.open_pull("mine", "By hand", as_user="mallory")
    world.settle()
    (comment,) = pull.comments
    assert comment.author == world.gateways.login()
    assert "v2 for **production** passed every required check" in comment.body
    world.say(pull, "dana-ds", "/hold because I want to look")
    assert "On hold" in pull.comments[0].body
    assert [c.author for c in pull.comments].count(world.gateways.login()) == 2, "the text and the answer"
    for person in ("alice", "bob"):
        pull.approve(person)
    pull.merge("bob")
    world.settle()
    assert world.stage(2) == "Production"


# --- drift ------------------------------------------------------------------------------------------------------------


def test_drift_is_reported_once_and_the_issue_closes_when_it_is_mended(world: House) -> None:
    world.register()
    world.to_production(1)
    world.mlflow.set_registered_model_alias(world.model, "champion", "1")
    world.register(accuracy=0.5)
    world.mlflow.set_registered_model_alias(world.model, "champion", "2")
    world.mlflow.transition_model_version_stage(world.model, "2", "Production")
    world.settle()
    (issue,) = world.repository.issues()
    assert "the alias champion points at v2, and v1 is live" in issue.body
    assert "v2 is in the stage Production, and it is not live" in issue.body
    assert world.aliases()["champion"] == 2
    edits = issue.updated_at
    world.settle()
    assert issue.updated_at == edits
    world.mlflow.set_registered_model_alias(world.model, "champion", "1")
    world.mlflow.transition_model_version_stage(world.model, "2", "None")
    world.settle()
    assert world.repository.issues() == []


def test_drift_is_repaired_twice_and_then_left_to_people(registry_url: str, cache_url: Secret) -> None:
    with house(registry_url, cache_url, with_drift("repair")) as world:
        world.register()
        world.to_production(1)
        for _ in range(2):
            world.mlflow.transition_model_version_stage(world.model, "1", "Archived")
            world.settle()
            assert world.stage(1) == "Production"
            assert world.repository.issues() == []
        world.mlflow.transition_model_version_stage(world.model, "1", "Archived")
        world.settle()
        assert world.stage(1) == "Archived"
        (issue,) = world.repository.issues()
        assert "put it right 2 times" in issue.body


# --- soaking ----------------------------------------------------------------------------------------------------------


def test_while_soaking_wait_lets_the_older_version_reach_production(registry_url: str, cache_url: Secret) -> None:
    waiting = FILES["promotion.yaml"].replace(MANUAL, f"{MANUAL}    while_soaking: wait\n").replace("0s", "1h")
    with house(registry_url, cache_url, {"promotion.yaml": waiting}) as world:
        world.register()
        world.event()
        assert world.aliases() == {"staging": 1}
        world.register(accuracy=0.97)
        world.event()
        assert world.aliases() == {"staging": 1}, "v1 still soaks"
        assert world.proposal("staging", 2) is None


# --- killed half way --------------------------------------------------------------------------------------------------


def test_a_worker_killed_after_each_effect_of_a_command_ends_in_the_same_place(
    registry_url: str, cache_url: Secret
) -> None:
    def story(built: House, look: Callable[[Callable[[], None]], int]) -> tuple[str, int]:
        built.register()
        built.to_production(1)
        built.register(accuracy=0.96)
        promotion = built.to_production(2)
        comment = built.repository.comment(promotion.number, "dana-ds", "/rollback")
        key = CommentKey(built.repository.repo.full_name, promotion.number, comment)
        deaths = look(lambda: built.look(key))
        built.look(key)
        built.settle()
        return without_names(everything(built), built), deaths

    with house(registry_url, cache_url) as built:
        undisturbed, _ = story(built, lambda _look: 0)
    with house(registry_url, cache_url) as built:
        state, deaths = story(built, killed_after_each_effect)
    assert deaths >= 1
    assert state == undisturbed


def test_the_whole_of_redis_may_be_lost_and_a_hold_still_holds(world: House) -> None:
    issue = world.repository.open_issue("Wait")
    world.say(issue, "alice", f"/hold {world.model} in staging because of the audit")
    world.gateways.cache.connection.flushall()
    world.register()
    world.look(ModelKey(world.repository.repo.full_name, world.model))
    world.settle()
    assert world.repository.pulls("all") == []
