"""What is stated of a registry that was there before the bot: as much as can be said without drift, and no more."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.comments import adoption as text
from bot.domain.adoption import LeftOut, Start, Stated, state, targets_in_use
from bot.domain.manifest import Entry, parse_manifest
from bot.domain.manifest_editing import manifest_of, set_entry
from bot.domain.pipeline import ApprovalsWanted, Manual, Merge, RegistryTarget, parse_pipeline
from bot.domain.versions import ModelVersion, RegisteredModel
from policies.documents import InvalidDocument
from policies.policy import parse_policy

AT = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("staging", "production")
BOTH = {
    "staging": RegistryTarget("Staging", "staging", archive_existing=True),
    "production": RegistryTarget("Production", "champion", archive_existing=True),
}


def model(name: str, stages: dict[int, str], **aliases: int) -> RegisteredModel:
    versions = tuple(ModelVersion(name, number, AT, stage=stage) for number, stage in stages.items())
    return RegisteredModel(name, aliases=aliases, versions=versions)


def test_stages_and_aliases_that_agree_are_stated() -> None:
    churn = model("churn", {1: "Archived", 2: "Production", 3: "Staging"}, champion=2, staging=3)
    assert state([churn], BOTH) == Stated({("churn", "staging"): 3, ("churn", "production"): 2})


def test_a_version_in_two_environments_has_the_stage_of_the_last() -> None:
    churn = model("churn", {2: "Production"}, champion=2, staging=2)
    assert state([churn], BOTH).versions == {("churn", "staging"): 2, ("churn", "production"): 2}


@pytest.mark.parametrize(
    ("registered", "why"),
    [
        (model("m", {1: "Production", 2: "None"}, champion=2), "v2 is in the stage None, and it is live"),
        (model("m", {1: "Production", 2: "Production"}, champion=2), "v1 is in the stage Production, and it is not"),
        (model("m", {1: "Production"}), "the alias champion is not there, and v1 is live"),
    ],
)
def test_what_the_registry_says_twice_and_differently_is_left_out_with_the_reason(
    registered: RegisteredModel, why: str
) -> None:
    stated = state([registered], BOTH)
    assert not stated.versions
    (left,) = stated.left_out
    assert (left.model, left.environment) == ("m", "production")
    assert why in left.why


def test_what_one_environment_leaves_out_does_not_take_the_others_with_it() -> None:
    churn = model("churn", {1: "Production", 2: "Production", 3: "Staging"}, champion=2, staging=3)
    stated = state([churn], BOTH)
    assert stated.versions == {("churn", "staging"): 3}
    assert [left.environment for left in stated.left_out] == ["production"]


def test_a_version_whose_files_cannot_be_read_is_left_out() -> None:
    churn = model("churn", {1: "Production"}, champion=1)
    stated = state([churn], BOTH, {("churn", 1): "its files are gone", ("other", 1): "no matter"})
    assert stated == Stated({}, (LeftOut("churn", "production", "its files are gone"),))


@pytest.mark.parametrize(
    ("models", "staging", "production"),
    [
        ([], RegistryTarget(alias="staging"), RegistryTarget(alias="champion")),
        ([model("a", {1: "None"})], RegistryTarget(alias="staging"), RegistryTarget(alias="champion")),
        (
            [model("a", {1: "Staging", 2: "Production"})],
            RegistryTarget("Staging", archive_existing=True),
            RegistryTarget("Production", archive_existing=True),
        ),
        (
            [model("a", {1: "None", 2: "None"}, challenger=2, prod=1)],
            RegistryTarget(alias="challenger"),
            RegistryTarget(alias="prod"),
        ),
        (
            [model("a", {1: "Production"}, champion=1)],
            RegistryTarget(alias="staging"),
            RegistryTarget("Production", "champion", archive_existing=True),
        ),
        (  # most are marked by an alias alone
            [model("a", {1: "Production"}), *(model(n, {1: "None"}, champion=1) for n in "bcd")],
            RegistryTarget(alias="staging"),
            RegistryTarget(alias="champion"),
        ),
    ],
)
def test_what_marks_live_versions_today_goes_on_marking_them(
    models: list[RegisteredModel], staging: RegistryTarget, production: RegistryTarget
) -> None:
    assert targets_in_use(models, NAMES) == {"staging": staging, "production": production}


def test_the_pipeline_says_what_was_answered_and_lets_the_bot_start_nothing() -> None:
    start = Start(('fr"aud-*', "on"), BOTH, approvals=2, approvers=("@acme/ml", "alice"))
    pipeline = parse_pipeline(text.pipeline(start))
    assert pipeline.models == start.models
    assert [e.name for e in pipeline.environments] == list(NAMES)
    assert {e.name: e.registry for e in pipeline.environments} == BOTH
    assert all(e.propose == Manual() and e.merge is Merge.MANUAL for e in pipeline.environments)
    assert pipeline.last_environment.approvals == ApprovalsWanted(2, ("@acme/ml", "alice"))


def test_what_the_comments_of_the_pipeline_suggest_can_be_written_there() -> None:
    suggested = text.pipeline(Start(("*",), BOTH)).replace("manual # ", "")
    lines = [line.partition(": the bot")[0] if "the bot" in line else line for line in suggested.splitlines()]
    pipeline = parse_pipeline("\n".join(lines))
    assert pipeline.environments[0].merge is Merge.AUTO


def test_environments_that_share_an_alias_make_no_pipeline() -> None:
    target = RegistryTarget(alias="champion")
    pipeline = text.pipeline(Start(("*",), {"a": target, "b": target}))
    with pytest.raises(InvalidDocument, match="two environments use the alias"):
        parse_pipeline(pipeline)


def test_a_whole_manifest_is_what_setting_its_entries_one_by_one_makes() -> None:
    digest = f"sha256:{1:064x}"
    entries = {
        ("b", "production"): Entry(1, digest, "1.0.0"),
        ("a\n“quoted”", "staging"): Entry(3, digest, "1.1.0"),
        ("b", "staging"): Entry(2, digest),
    }
    manifest = manifest_of(entries, NAMES)
    assert parse_manifest(manifest, "versions.yaml").entries == entries
    one_by_one = manifest_of({})
    for (name, environment), entry in entries.items():
        one_by_one = set_entry(one_by_one, name, environment, entry, NAMES)
    assert manifest == one_by_one


def test_the_text_cannot_be_made_to_mention_anybody_and_stays_short() -> None:
    entries = {(f"@acme/everybody-{i}", "staging"): Entry(1, "", "1.0.0") for i in range(300)}
    left = tuple(LeftOut("<!-- x", "staging", "@alice [x](y)") for _ in range(300))
    body = text.body(Start(("*",), BOTH), entries, left)
    assert "@acme" not in body
    assert "@alice" not in body
    assert "<!--" not in body
    assert "and 200 more" in body
    assert len(body) < 60_000


@pytest.mark.parametrize("library", ["baseline", "llm", "regulated", "vision"])
def test_every_policy_to_begin_with_can_be_read(library: str) -> None:
    policy = parse_policy(text.policy("on", library), "policies/on.yaml", lambda path: Path(path).read_bytes())
    assert f"policies/library/{library}.yaml" in policy.sources
    assert policy.checks
