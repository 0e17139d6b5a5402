"""Lineage as a value: what is recorded, the family among a model's versions, and where a version went."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from bot.domain.lineage import Kin, Lineage, Origin, Training, lineage_of, origin_of
from bot.domain.versions import ModelVersion, RegisteredModel
from policies.evidence import Run, RunStatus, VersionEvidence

NOW = datetime(2026, 11, 23, tzinfo=UTC)
HASH, OTHER = "md5:" + "a" * 32, "md5:" + "b" * 32
RUN = Run(
    "r2",
    RunStatus.FINISHED,
    "os-user",
    {"depth": "3"},
    {"trained_by": "dana", "mlflow.parentRunId": "p", "git_dirty": "false", "data_version": "v1", "framework": " "},
)
EVIDENCE = VersionEvidence("m", 2, NOW, RUN, tags={"git_commit": "0f1e2d3c", "data_hash": HASH})


def version(number: int, run_id: str | None = None, **tags: str) -> ModelVersion:
    return ModelVersion("m", number, NOW, run_id=run_id, tags=tags)


def lineage(*others: ModelVersion, kin: Kin | None = None, **fields: object) -> Lineage:
    mine = replace(version(2, "r2"), **fields)  # type: ignore[arg-type]
    model = RegisteredModel("m", aliases={"champion": 2, "a": 2, "b": 1}, versions=(mine, *others))
    return lineage_of(model, mine, origin_of(EVIDENCE, "r2"), kin or Kin(), None)


def test_an_origin_is_what_tags_of_the_version_and_its_run_say() -> None:
    assert origin_of(EVIDENCE) == Origin(
        data={"data_version": "v1", "data_hash": HASH},
        code={"git_commit": "0f1e2d3c", "git_dirty": "false"},
        model={},
        circumstances={},
        training=Training("r2", "FINISHED", "dana", "p", {"depth": "3"}),
    )
    stood_in = replace(EVIDENCE, tags={}, run=replace(RUN, tags={"mlflow.source.git.commit": "abc1234"}))
    assert origin_of(stood_in).code == {"git_commit": "abc1234"}
    assert origin_of(replace(EVIDENCE, run=None)).training is None


def test_a_run_that_is_gone_leaves_its_id_and_says_so() -> None:
    origin = origin_of(replace(EVIDENCE, run=None), "r2")
    found = replace(lineage(), origin=origin).to_dict()
    assert (found["run"]["run_id"], found["run"]["status"]) == ("r2", "deleted for good")
    assert found["data"] == {"data_hash": HASH}
    assert lineage(kin=Kin(run_is_deleted=True)).to_dict()["run"]["status"] == "FINISHED, deleted"


def test_siblings_share_the_parent_run_or_the_data() -> None:
    kin = Kin(parent_name="sweep", below_parent=frozenset({"r1", "r2"}), on_same_data=frozenset({"r2", "r5"}))
    found = lineage(
        version(1, "r1"),
        version(3, "p"),
        version(4, "r4", data_hash=HASH),
        version(5, "r5"),
        version(6, "r6", data_hash=OTHER, data_version="v1"),
        version(7, "r7", data_version="v1"),
        version(8),
        kin=kin,
    ).to_dict()
    assert found["siblings"] == {"same_parent_run": [1], "same_data": [4, 5, 7]}
    assert found["parents"] == {"run": {"run_id": "p", "name": "sweep", "versions": [3]}}


def test_where_a_version_went_is_in_the_order_in_which_it_went_there() -> None:
    tags = {
        "promotion.release": "1.0.0",
        "promotion.production.status": "live",
        "promotion.production.pr": "7",
        "promotion.production.at": "2026-11-02",
        "promotion.staging.at": "2026-11-01",
        "promotion.staging.pr": "5",
        "promotion.qa.status": "refused",
        "promotion.qa.pr": "@acme",
        "promotion.qa.reason": "x",
        "promotion.staging.override.check": "x",
    }
    found = lineage(tags=tags).to_dict()
    assert list(found["environments"]) == ["staging", "production", "qa"]
    assert found["environments"]["qa"] == {"status": "refused", "pr": "@acme"}
    assert found["pull_requests"] == [5, 7]
    assert found["version"]["release"] == "1.0.0"
    assert found["version"]["aliases"] == ["a", "champion"]


def test_a_copy_names_what_it_is_a_copy_of() -> None:
    copy = replace(lineage(), copied_from=("m-dev", 4)).to_dict()
    assert copy["parents"]["copied_from"] == {"model": "m-dev", "version": 4}
