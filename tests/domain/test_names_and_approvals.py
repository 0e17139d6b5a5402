from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain import naming
from bot.domain.approvals import ApprovalRule, count_approvals
from bot.domain.keys import EnvironmentKey, ModelKey, PullRequestKey, dump_key, parse_key
from bot.domain.pull_requests import Login, Review, ReviewState

NOW = datetime(2026, 11, 23, tzinfo=UTC)
NAMES = [
    "fraud",
    "a b",
    "a/b",
    "..",
    "a..b",
    "x" * 300,
    "🙂",
    "a\nb",
    "a.lock",
    "@{x",
    "a~^:?*[\\",
    "ends.",
    "/lead",
    "%41",
]


@pytest.mark.parametrize("name", NAMES)
def test_git_accepts_every_branch_name(name: str) -> None:
    branch = naming.branch_name("production", name, 12)
    assert subprocess.run(["git", "check-ref-format", f"refs/heads/{branch}"], check=False).returncode == 0
    assert len(branch.encode()) <= 255
    assert branch.endswith("-v12")


@pytest.mark.parametrize("name", [*NAMES, "-rf", "模" * 180])
def test_git_accepts_every_tag_name(name: str) -> None:
    for template in ("model-{model}-v{version}", "{model}/{release}", "{model}"):
        tag = naming.tag_name(template, name, 12, "1.0.0")
        assert subprocess.run(["git", "check-ref-format", f"refs/tags/{tag}"], check=False).returncode == 0
        assert len(tag.encode()) <= 255
        assert not tag.startswith("-")
    assert naming.tag_name("model-{model}-v{version}", "fraud", 3, "") == "model-fraud-v3"


@given(st.text(max_size=40), st.text(max_size=40))
def test_two_models_never_share_a_branch(one: str, other: str) -> None:
    if one != other:
        assert naming.branch_name("e", one, 1) != naming.branch_name("e", other, 1)


def test_a_plain_name_stays_as_it_is() -> None:
    assert naming.branch_name("production", "fraud-detector", 12) == "promotion/production/fraud-detector-v12"
    assert naming.title("production", "a\nb", 1) == "Promote a b v1 to production"


@pytest.mark.parametrize("key", [ModelKey("o/r", "a\n🙂"), PullRequestKey("o/r", 7), EnvironmentKey("o/r", "prod")])
def test_keys_survive_the_queue(key: object) -> None:
    assert parse_key(dump_key(key)) == key  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["[]", "{}", "[1]", '["model"]', '["pull-request","o/r","7"]', '["nothing","x"]'])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a key"):
        parse_key(text)


def review(login: str, state: str = "APPROVED", commit: str = "head", minutes: int = 0) -> Review:
    return Review(Login(login), ReviewState(state), commit, NOW + timedelta(minutes=minutes))


@pytest.mark.parametrize(
    ("reviews", "approved", "satisfied"),
    [
        ([review("alice"), review("bob")], ["alice", "bob"], True),
        ([review("ALICE"), review("alice", minutes=1)], ["alice"], False),
        ([review("alice"), review("bob", commit="old")], ["alice"], False),
        ([review("alice"), review("stranger")], ["alice"], False),
        ([review("alice"), review("bob"), review("bob", "CHANGES_REQUESTED", minutes=1)], ["alice"], False),
        ([review("alice"), review("bob"), review("bob", "DISMISSED", minutes=1)], ["alice"], False),
        ([review("alice"), review("bob"), review("bob", "COMMENTED", minutes=1)], ["alice", "bob"], True),
        ([review("alice"), review("bob"), review("stranger", "CHANGES_REQUESTED")], ["alice", "bob"], True),
        ([review("alice"), review("bob", minutes=90)], ["alice"], False),
        ([review("alice"), review("trainer")], ["alice"], False),
    ],
)
def test_approvals(reviews: list[Review], approved: list[str], satisfied: bool) -> None:
    rule = ApprovalRule(
        2, frozenset({Login("alice"), Login("bob"), Login("trainer")}), {Login("trainer"): "trained the model"}
    )
    counted = count_approvals(reviews, rule, head="head", writers=(), until=NOW + timedelta(hours=1))
    assert list(counted.approved_by) == approved
    assert counted.satisfied is satisfied


def test_nobody_named_means_whoever_may_write() -> None:
    counted = count_approvals(
        [review("alice"), review("reader")], ApprovalRule(1), head="head", writers={Login("alice")}
    )
    assert list(counted.approved_by) == ["alice"]
    assert counted.not_counted == ("reader: may not write to the repository",)
