"""A promotion steered from the pull request: what people say, what they see, and what comes of it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.domain.keys import CommentKey
from bot.settings import Secret
from tests.e2e.house import FILES, House, house


@pytest.fixture
def steered(world: House) -> House:
    """A house whose production carol may override."""
    return world


def live(world: House, environment: str) -> int | None:
    entry = world.manifest().entry(world.model, environment)
    return entry.version if entry else None


def test_promote_validates_now_and_proposes_the_newest_version(steered: House) -> None:
    steered.register()
    steered.event()
    steered.register(accuracy=0.96)
    issue = steered.repository.open_issue("Ship it")
    comment = steered.say(issue, "dana-ds", f"Please.\n\n/promote {steered.model} to production")
    pull = steered.proposed("production", 2)
    assert pull.is_open
    assert f"Asked for by `dana-ds` in #{issue}" in pull.body
    assert not steered.proposed("production", 1).is_open
    assert steered.reactions(comment) == ["eyes", "rocket"]
    (answer,) = steered.answers(issue)
    assert f"v2 of `{steered.model}` is proposed for **production** in #{pull.number}" in answer
    assert f"> `/promote {steered.model} to production`" in answer


def test_promote_says_what_a_refused_version_lacks_and_an_override_lets_it_in(steered: House) -> None:
    steered.register(accuracy=0.96)
    steered.to_production(1)
    steered.register(accuracy=0.5)
    issue = steered.repository.open_issue("Ship it")
    comment = steered.say(issue, "dana-ds", f"/promote {steered.model}@2 to production")
    assert steered.reactions(comment) == ["eyes", "confused"]
    (answer,) = steered.answers(issue)
    assert "does not pass the policy of **production**" in answer
    assert "measured" not in answer or "0.5" in answer
    failed = [line.split("`")[1] for line in answer.splitlines() if "❌" in line]
    assert f"/override {failed[0]} {steered.model}@2 to production because …" in answer.replace("\u200b", "")
    assert steered.proposal("production", 2) is None

    said = "\n".join(
        f"/override {check} {steered.model}@2 to production because the outage is worse"
        for check in dict.fromkeys(failed)
    )
    refused = steered.say(issue, "bob", said)
    assert steered.reactions(refused)[-1] == "confused"
    assert "needs carol" in steered.answers(issue)[-1]
    steered.say(issue, "carol", said)
    steered.say(issue, "dana-ds", f"/promote {steered.model}@2 to production")
    pull = steered.proposed("production", 2)
    assert pull.check("promotion/policy") == "success"
    assert "was overridden by carol" in pull.body
    steered.approve_and_merge(pull)
    steered.settle()
    assert steered.stage(2) == "Production"
    assert any("override" in key and "carol" in value for key, value in steered.tags(2).items())


def test_an_override_that_is_edited_or_deleted_counts_no_more(steered: House) -> None:
    steered.register(accuracy=0.96)
    steered.to_production(1)
    steered.register(accuracy=0.94)
    issue = steered.repository.open_issue("Ship it")
    steered.say(issue, "dana-ds", f"/promote {steered.model}@2 to production")
    failed = next(line.split("`")[1] for line in steered.answers(issue)[0].splitlines() if "❌" in line)
    override = steered.say(issue, "carol", f"/override {failed} {steered.model}@2 to production because it is fine")
    steered.say(issue, "dana-ds", f"/promote {steered.model}@2 to production")
    pull = steered.proposed("production", 2)
    assert pull.check("promotion/policy") == "success"
    steered.repository.delete_comment(override, "carol")
    steered.settle()
    assert pull.check("promotion/policy") == "failure"


def test_a_hold_stops_automation_until_somebody_resumes(steered: House) -> None:
    issue = steered.repository.open_issue("Quiet week")
    steered.say(issue, "alice", f"/hold {steered.model} in staging because the data is being repaired")
    steered.register()
    steered.event()
    assert steered.repository.pulls("all") == []
    tags = steered.mlflow.get_registered_model(steered.model).tags
    assert "because the data is being repaired by alice" in tags["promotion.staging.hold"]
    steered.say(issue, "bob", f"/resume {steered.model} in staging")
    assert steered.proposed("staging", 1).merged
    assert "promotion.staging.hold" not in steered.mlflow.get_registered_model(steered.model).tags


def test_a_whole_environment_is_held_and_an_open_proposal_says_so(steered: House) -> None:
    steered.register()
    steered.event()
    pull = steered.proposed("production", 1)
    issue = steered.repository.open_issue("Freeze")
    steered.say(issue, "alice", "/hold in production because of the audit")
    assert "On hold" in pull.body
    assert pull.is_open
    steered.register(accuracy=0.96)
    steered.event()
    assert steered.proposal("production", 2) is None
    steered.say(issue, "alice", "/resume in production")
    assert "On hold" not in pull.body
    assert steered.proposed("production", 2).is_open


def test_the_label_holds_one_proposal(registry_url: str, cache_url: Secret) -> None:
    pipeline = FILES["promotion.yaml"].replace("merge: auto", "merge: manual")
    with house(registry_url, cache_url, {"promotion.yaml": pipeline}) as world:
        world.register()
        world.event()
        pull = world.proposed("staging", 1)
        pull.label("hold", "bob")
        world.settle()
        assert "On hold" in pull.body
        world.register(accuracy=0.96)
        world.event()
        assert pull.is_open, "nothing takes the place of what is held"
        pull.unlabel("hold", "bob")
        world.settle()
        assert not pull.is_open
        assert world.proposed("staging", 2).is_open


def test_rollback_proposes_what_was_live_before_in_one_look_and_holds(steered: House) -> None:
    steered.register()
    steered.to_production(1)
    steered.register(accuracy=0.96)
    promotion = steered.to_production(2)
    comment = steered.repository.comment(promotion.number, "dana-ds", "It burns.\r\n\r\n/rollback")
    steered.look(CommentKey(steered.repository.repo.full_name, promotion.number, comment))
    pulls = [p for p in steered.repository.pulls() if p.head_ref == f"promotion/production/{steered.model}-v1"]
    assert len(pulls) == 1, "from comment to open pull request in one look"
    steered.settle()
    back = pulls[0]
    assert "goes back to" in back.body
    assert [back.check(f"promotion/{gate}") for gate in ("policy", "approvals", "window")] == ["success"] * 3
    steered.register(accuracy=0.97)
    steered.event()
    assert back.is_open
    assert steered.proposal("production", 3) is None, "a rollback is not overwritten by the next candidate"
    back.merge("dana-ds")
    steered.settle()
    assert steered.stage(1) == "Production"
    assert "nothing newer is proposed until `/resume`" in back.body
    assert live(steered, "production") == 1
    assert steered.proposal("production", 3) is None
    issue = steered.repository.open_issue("Better now")
    steered.say(issue, "alice", f"/promote {steered.model}@3 to production")
    assert steered.proposed("production", 3).is_open


def test_cancel_closes_the_proposal_for_good(steered: House) -> None:
    steered.register()
    steered.event()
    pull = steered.proposed("production", 1)
    comment = steered.say(pull, "bob", "/cancel")
    assert not pull.is_open
    assert pull.head_ref not in steered.repository.branches()
    assert steered.reactions(comment) == ["eyes", "rocket"]
    steered.settle()
    assert not pull.is_open
    steered.say(pull, "bob", f"/promote {steered.model} to production")
    again = [p for p in steered.repository.pulls() if p.head_ref == pull.head_ref]
    assert [p.is_open for p in again] == [True]


def test_the_questions_are_answered(steered: House) -> None:
    steered.register()
    steered.event()
    pull = steered.proposed("production", 1)
    steered.register(accuracy=0.5)
    steered.say(pull, "dana-ds", "/status\n/help\n/validate")
    status = steered.answers(pull)[-1]
    assert f"| `{steered.model}` | staging | v1 (`1.0.0`) since" in status
    assert f"v1 in #{pull.number}" in status
    assert "| `/rollback [MODEL] [to VERSION] [in ENV]` |" in status
    assert "`promotion/approvals`" in status
    steered.say(pull, "dana-ds", "/compare v1 v2\n\n/explain accuracy-floor\n\n/explain approvals")
    said = steered.answers(pull)[-1]
    assert "↓ -0.45" in said
    assert "is **in progress**" in said


@pytest.mark.parametrize(
    ("login", "text", "answer"),
    [
        ("dana-ds", "/hodl", "did you mean “/hold”"),
        ("dana-ds", "/promote nobody", "does not name the model “nobody”"),
        ("dana-ds", "/promote @99", "the registry has no version 99"),
        ("dana-ds", "/promote @1 to staging", "is live in staging already"),
        ("dana-ds", "/promote to moon", "has no environment “moon”"),
        ("dana-ds", "/rollback", "nothing is live in production"),
        ("dana-ds", "/explain acuracy-floor", "did you mean"),
        ("dana-ds", "/override accuracy-floor", "needs a reason"),
        ("carol", "/override nothing because I can", "has no check “nothing”"),
        ("dana-ds", "/compare v1 v77", "no version 77"),
        ("eve", "/status", "for the people of this repository"),
        ("rita", "/cancel", "needs the permission to write"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(steered: House, login: str, text: str, answer: str) -> None:
    steered.repository.repo.collaborators["rita"] = "read"
    steered.register()
    steered.event()
    pull = steered.proposed("production", 1)
    comment = steered.say(pull, login, text)
    assert answer.lower() in steered.answers(pull)[-1].replace("\\", "").lower()
    assert steered.reactions(comment) == ["eyes", "confused"]
    assert pull.is_open


def test_what_is_quoted_old_edited_or_said_by_a_bot_runs_nothing(steered: House) -> None:
    steered.register()
    steered.event()
    pull = steered.proposed("production", 1)
    for text in (
        "> /cancel",
        "```\n/cancel\n```",
        "    /cancel",
        "`/cancel`",
        "<!--\n/cancel\n-->",
        "- /cancel",
        "a /cancel",
    ):
        comment = steered.say(pull, "bob", text)
        assert steered.reactions(comment) == []
    robot = steered.github.add_app("other-bot")
    said = steered.say(pull, robot.login, "/cancel")
    assert steered.reactions(said) == []

    old = steered.repository.comment(pull.number, "bob", "hello")
    clock = steered.github.world.clock
    edited = next(c for c in pull.comments if c.id == old)
    edited.created_at -= timedelta(days=2)
    steered.repository.edit_comment(old, "bob", "/cancel")
    steered.look(CommentKey(steered.repository.repo.full_name, pull.number, old))
    assert steered.reactions(old) == []
    assert clock is steered.github.world.clock

    late = steered.repository.comment(pull.number, "bob", "/cancel")
    found = next(c for c in pull.comments if c.id == late)
    found.created_at = found.updated_at = found.created_at - timedelta(minutes=61)
    steered.look(CommentKey(steered.repository.repo.full_name, pull.number, late))
    assert steered.reactions(late) == ["eyes", "confused"]
    assert "Say it again" in steered.answers(pull)[-1]
    assert pull.is_open


def test_who_may_is_asked_when_the_command_runs(steered: House) -> None:
    steered.register()
    steered.event()
    pull = steered.proposed("production", 1)
    name = steered.repository.repo.full_name
    fired = steered.repository.comment(pull.number, "bob", "/cancel")
    del steered.repository.repo.collaborators["bob"]
    steered.look(CommentKey(name, pull.number, fired))
    assert steered.reactions(fired) == ["eyes", "confused"]
    deleted = steered.repository.comment(pull.number, "alice", "/cancel")
    steered.repository.delete_comment(deleted, "alice")
    steered.look(CommentKey(name, pull.number, deleted))
    steered.repository.repo.private = False
    steered.gateways.cache.connection.flushall()
    steered.gateways._repositories.clear()
    passer_by = steered.repository.comment(pull.number, "eve", "/status")
    steered.look(CommentKey(name, pull.number, passer_by))
    assert "for the people of this repository" in steered.answers(pull)[-1]
    assert pull.is_open


def test_nobody_overrides_for_themselves(steered: House) -> None:
    pipeline = (steered.repository.file("promotion.yaml") or "").replace("[carol]", "[carol, dana-ds]")
    steered.repository.push({"promotion.yaml": pipeline})
    steered.register(accuracy=0.96)
    steered.to_production(1)
    steered.register(accuracy=0.94)
    issue = steered.repository.open_issue("Mine")
    override = f"/override beats-champion {steered.model}@2 to production because it is mine"
    steered.say(issue, "dana-ds", override)
    assert "who trained the model cannot override" in steered.answers(issue)[-1].lower()
    steered.say(issue, "carol", f"/promote {steered.model}@2 to production")
    steered.say(issue, "carol", override)
    assert "who asked for the promotion cannot override" in steered.answers(issue)[-1].lower()
    assert steered.proposal("production", 2) is None


def test_a_comment_whose_webhook_was_lost_is_found_by_the_sweep_and_answered_once(steered: House) -> None:
    steered.register()
    steered.event()
    pull = steered.proposed("production", 1)
    comment = steered.repository.comment(pull.number, "bob", "/cancel")
    steered.settle()
    assert not pull.is_open
    for _ in range(2):
        steered.look(CommentKey(steered.repository.repo.full_name, pull.number, comment))
    assert len(steered.answers(pull)) == 1


def test_the_later_of_two_contrary_commands_wins_in_whatever_order_they_are_found(steered: House) -> None:
    for accuracy in (0.95, 0.96):
        steered.register(accuracy=accuracy)
    steered.event()
    issue = steered.repository.open_issue("Which one?")
    name = steered.repository.repo.full_name
    first = steered.repository.comment(issue, "bob", f"/promote {steered.model}@1 to production")
    second = steered.repository.comment(issue, "bob", f"/promote {steered.model}@2 to production")
    for comment in (second, first):
        steered.look(CommentKey(name, issue, comment))
    steered.settle()
    assert [p.head_ref[-3:] for p in steered.repository.pulls()] == ["-v2"]
    assert "later command" in steered.answers(issue)[-1]
    steered.say(issue, "bob", f"/hold {steered.model} in production\n/resume {steered.model} in production")
    assert "On hold" not in steered.proposed("production", 2).body


def test_a_command_costs_at_most_eight_requests(steered: House) -> None:
    steered.register()
    steered.event()
    pull = steered.proposed("production", 1)
    steered.say(pull, "bob", "/help")
    name = steered.repository.repo.full_name
    for text in ("/hold because of lunch", "/resume", "/status", "/cancel"):
        comment = steered.repository.comment(pull.number, "bob", text)
        with steered.counted() as cost:
            steered.look(CommentKey(name, pull.number, comment))
        assert len(cost.github) <= 8, (text, cost.github)


def test_a_rollback_where_the_bot_merges_needs_nobody_else(steered: House) -> None:
    steered.register()
    steered.event()
    steered.register(accuracy=0.96)
    steered.event()
    assert steered.aliases() == {"staging": 2}
    production = steered.proposed("production", 2)
    issue = steered.repository.open_issue("It burns")
    steered.say(issue, "dana-ds", f"/rollback {steered.model} to v1 in staging")
    assert steered.aliases() == {"staging": 1}
    assert live(steered, "staging") == 1
    assert not production.is_open, "what left staging does not go on to production"
    steered.register(accuracy=0.97)
    steered.event()
    assert steered.aliases() == {"staging": 1}
    steered.say(issue, "dana-ds", f"/resume {steered.model} in staging")
    assert steered.aliases() == {"staging": 3}
