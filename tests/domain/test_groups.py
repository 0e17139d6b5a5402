"""Tables: when a batch is due, and what stays in it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bot.domain.actions import CloseGroup, OpenGroup, RenewGroup
from bot.domain.groups import Batch, decide_batch, last_firing, next_firing
from bot.domain.instructions import Instruction, Said, Told
from bot.domain.manifest import Entry
from bot.domain.pipeline import Pipeline, parse_pipeline
from bot.domain.pull_requests import Login, PullRequest
from bot.domain.versions import ModelVersion, RegisteredModel
from bot.domain.world import EnvironmentState, Evaluation, Observation
from policies.documents import InvalidDocument
from policies.evidence import Evidence, VersionEvidence
from policies.verdict import Outcome, Status, Verdict

EARLY = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)


def pipeline(group: str) -> Pipeline:
    return parse_pipeline(f"""\
apiVersion: promotion-bot/v1
kind: Pipeline
models: ["*"]
environments:
  - {{name: production, policy: p.yaml, propose: on_registration, group: "{group}", registry: {{alias: champion}}}}
""")


@pytest.mark.parametrize(
    ("group", "at", "branch", "following"),
    [
        ("daily", "2026-11-23T00:00", "group-2026-11-23", "2026-11-24T00:00"),
        ("0 6 * * 1", "2026-11-23T06:00", "group-2026-11-23", "2026-11-30T06:00"),
        ("0 6 * * 2", "2026-11-17T06:00", "group-2026-11-17", "2026-11-24T06:00"),
        ("0 */6 * * *", "2026-11-23T12:00", "group-2026-11-23-1200", "2026-11-23T18:00"),
        ("30 12 * * *", "2026-11-23T12:30", "group-2026-11-23", "2026-11-24T12:30"),
    ],
)
def test_a_schedule_fires(group: str, at: str, branch: str, following: str) -> None:
    (environment,) = pipeline(group).environments
    firing = last_firing(environment, NOW)
    assert firing.at == datetime.fromisoformat(at).replace(tzinfo=UTC)
    assert firing.branch == f"promotion/production/{branch}"
    assert next_firing(environment, NOW) == datetime.fromisoformat(following).replace(tzinfo=UTC)


@pytest.mark.parametrize("group", ["hourly", "0 6 * *", "61 * * * *"])
def test_what_is_no_schedule_is_said(group: str) -> None:
    with pytest.raises(InvalidDocument, match="cron expression"):
        pipeline(group)


def entry(version: int) -> Entry:
    return Entry(version, f"sha256:{version:064x}", f"1.0.{version}")


def evaluation(model: str, version: int, status: Status) -> Evaluation:
    evidence = Evidence("production", VersionEvidence(model, version, EARLY), None, EARLY)
    verdict = Verdict("p", (Outcome("c", "metric", status, "1", "2"),))
    return Evaluation(entry(version), verdict, evidence, "policy", "pipeline", None)


def world(model: str, status: Status = Status.PASS, registered: datetime = EARLY) -> Observation:
    rules = pipeline("daily")
    state = EnvironmentState(rules.environments[0], evaluations={1: evaluation(model, 1, status)})
    version = ModelVersion(model, 1, registered)
    return Observation(
        "o/r", model, "h" * 40, rules, RegisteredModel(model, versions=(version,)), {"production": state}
    )


def group(number: int = 7, branch: str = "group-2026-11-23", *, is_open: bool = True) -> PullRequest:
    return PullRequest(
        number=number,
        title="",
        body="",
        author=Login("bot"),
        is_open=is_open,
        head_sha="h" * 40,
        head_ref=f"promotion/production/{branch}",
        head_repository="o/r",
        base_ref="main",
        labels=frozenset(),
        created_at=EARLY,
    )


def batch(*worlds: Observation, groups: tuple[PullRequest, ...] = (), entries: tuple[str, ...] = ()) -> Batch:
    (rules,) = pipeline("daily").environments
    return Batch("o/r", rules, worlds, groups, {name: entry(1) for name in entries})


def done(found: Batch) -> list[object]:
    return [a for a in decide_batch(found, NOW) if isinstance(a, OpenGroup | RenewGroup | CloseGroup)]


def test_the_candidates_of_the_firing_are_opened_together() -> None:
    late = world("late", registered=NOW)
    (opened,) = done(batch(world("a"), world("b"), world("bad", Status.FAIL), late))
    assert isinstance(opened, OpenGroup)
    assert opened.branch == "promotion/production/group-2026-11-23"
    assert list(opened.members) == ["a", "b"]


def test_nothing_is_opened_without_candidates_or_twice() -> None:
    assert done(batch(world("bad", Status.FAIL))) == []
    assert done(batch(world("a"), groups=(group(is_open=False),))) == []


def test_an_older_batch_makes_way() -> None:
    older = group(3, "group-2026-11-20")
    closed, opened = done(batch(world("a"), groups=(older,), entries=("a",)))
    assert isinstance(closed, CloseGroup)
    assert closed.number == 3
    assert isinstance(opened, OpenGroup)


def test_a_model_that_fails_later_drops_out_and_the_others_stay() -> None:
    (renewed,) = done(batch(world("a"), world("b", Status.FAIL), groups=(group(),), entries=("a", "b")))
    assert isinstance(renewed, RenewGroup)
    assert list(renewed.entries) == ["a"]
    assert done(batch(world("a"), world("b"), groups=(group(),), entries=("a", "b"))) == []
    (again,) = done(replace(batch(world("a"), groups=(group(),), entries=("a",)), conflicts=True))
    assert isinstance(again, RenewGroup)


def test_what_a_person_refused_is_not_in_the_next_batch() -> None:
    (opened,) = done(replace(batch(world("a"), world("b")), refused={"a": 1, "b": 0}))
    assert isinstance(opened, OpenGroup)
    assert list(opened.members) == ["b"]


def test_a_held_model_drops_out_and_an_empty_batch_is_closed() -> None:
    told = Told(Said.HOLD, "production", "a")
    held = world("a")
    hold = Instruction(told, Login("alice"), EARLY, 1, 2, 1)
    held = held.with_state(replace(held.environments["production"], instructions=(hold,)))
    (closed,) = done(batch(held, groups=(group(),), entries=("a",)))
    assert isinstance(closed, CloseGroup)
