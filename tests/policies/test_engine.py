from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import schema
from policies.documents import InvalidDocument
from policies.engine import evaluate
from policies.evidence import Evidence, Metric, Run, RunStatus, Unreadable, VersionEvidence
from policies.policy import parse_policy
from policies.verdict import Outcome, Severity, Status, Verdict

NOW = datetime(2026, 11, 23, tzinfo=UTC)
FINISHED = Run("r1", RunStatus.FINISHED, "dana", tags={"git_commit": "0f1e2d3c", "data_version": "v7"})
SUBJECT = VersionEvidence("m", 2, NOW, FINISHED, (Metric("accuracy", 0.905), Metric("f1", 0.8, "test")))
CHAMPION = VersionEvidence("m", 1, NOW, FINISHED, (Metric("accuracy", 0.91), Metric("rmse", 2.0)))
EVIDENCE = Evidence("production", SUBJECT, CHAMPION, NOW)


def outcome(check: str, evidence: Evidence = EVIDENCE, now: datetime = NOW) -> Outcome:
    text = f"apiVersion: promotion-bot/v1\nkind: Policy\nname: p\nchecks:\n  - {{id: c, {check}}}\n"
    return evaluate(parse_policy(text, "p.yaml"), evidence, now).outcomes[0]


def subject(**fields: object) -> Evidence:
    return replace(EVIDENCE, subject=replace(SUBJECT, **fields))  # type: ignore[arg-type]


def against(mine: dict[str, str] | None, champions: dict[str, str] | None) -> Evidence:
    return replace(subject(signature=mine), champion=replace(CHAMPION, signature=champions))


TAKES_A = {"inputs": '[{"type": "double", "name": "a", "required": true}]'}
TAKES_AB = {"inputs": '[{"type": "double", "name": "a"}, {"type": "double", "name": "b", "required": true}]'}
RUNNING = subject(run=replace(FINISHED, status=RunStatus.RUNNING))
TABLE = [
    ("metric: {name: accuracy, at_least: 0.905}", EVIDENCE, Status.PASS),
    ("metric: {name: accuracy, at_least: 0.9051}", EVIDENCE, Status.FAIL),
    ("metric: {name: accuracy, at_most: 0.905}", EVIDENCE, Status.PASS),
    ("metric: {name: accuracy, between: [0.9, 0.91]}", EVIDENCE, Status.PASS),
    ("metric: {name: accuracy, between: [0.91, 0.92]}", EVIDENCE, Status.FAIL),
    ("metric: {name: missing, at_least: 1}", EVIDENCE, Status.PENDING),
    ("metric: {name: f1, at_least: 0.8}", EVIDENCE, Status.PASS),
    ("metric: {name: f1, dataset: test, at_least: 0.8}", EVIDENCE, Status.PASS),
    ("metric: {name: f1, dataset: train, at_least: 0.8}", EVIDENCE, Status.PENDING),
    ("metric: {name: accuracy, at_least: 0}", subject(metrics=(Metric("accuracy", math.nan),)), Status.FAIL),
    ("metric: {name: accuracy, at_least: 0}", subject(metrics=(Metric("accuracy", math.inf),)), Status.FAIL),
    ("metric: {name: accuracy, at_least: 0}", RUNNING, Status.PENDING),
    ("metric: {name: accuracy, at_least: 0}", subject(run=Unreadable("away")), Status.ERROR),
    ("metric: {name: a, at_least: 0}", subject(metrics=(Metric("a", 1, "x"), Metric("a", 1, "y"))), Status.FAIL),
    ("compare: {metric: accuracy, tolerance: 0.005}", EVIDENCE, Status.PASS),
    ("compare: {metric: accuracy, tolerance: 0.0049}", EVIDENCE, Status.FAIL),
    ("compare: {metric: accuracy, tolerance: 1%}", EVIDENCE, Status.PASS),
    ("compare: {metric: accuracy, min_improvement: 0.001}", EVIDENCE, Status.FAIL),
    ("compare: {metric: accuracy, direction: lower}", EVIDENCE, Status.PASS),
    ("compare: {metric: accuracy}", replace(EVIDENCE, champion=None), Status.PASS),
    ("compare: {metric: accuracy, if_absent: fail}", replace(EVIDENCE, champion=None), Status.FAIL),
    ("compare: {metric: f1, if_absent: fail}", EVIDENCE, Status.FAIL),
    ("compare: {metric: nothing}", EVIDENCE, Status.PENDING),
    ("compare: {metric: accuracy}", RUNNING, Status.PENDING),
    ("lineage: {require: [git_commit, data_version]}", EVIDENCE, Status.PASS),
    ("lineage: {require: [owner]}", EVIDENCE, Status.PENDING),
    ("lineage: {require: [owner]}", subject(tags={"owner": " "}), Status.FAIL),
    ("lineage: {require: [git_commit]}", subject(tags={"git_commit": "main"}), Status.FAIL),
    ("lineage: {require: [git_commit]}", subject(run=Unreadable("away")), Status.ERROR),
    ("run: {status: finished}", EVIDENCE, Status.PASS),
    ("run: {}", RUNNING, Status.PENDING),
    ("run: {}", subject(run=replace(FINISHED, status=RunStatus.FAILED)), Status.FAIL),
    ("run: {}", subject(run=None), Status.FAIL),
    ("run: {}", subject(run=Unreadable("away")), Status.ERROR),
    ("expression: 'metrics.accuracy > 0.9'", EVIDENCE, Status.PASS),
    ("expression: 'metrics.accuracy > 0.905'", EVIDENCE, Status.FAIL),
    ("expression: 'metrics.acuracy > 0.9'", EVIDENCE, Status.PENDING),
    ("expression: 'metrics.accuracy > champion.metrics.accuracy'", EVIDENCE, Status.FAIL),
    ("expression: 'metrics.accuracy > champion.metrics.accuracy'", replace(EVIDENCE, champion=None), Status.PASS),
    (
        "expression: {cel: 'metrics.f1 > champion.metrics.f1', if_absent: fail}",
        replace(EVIDENCE, champion=None),
        Status.FAIL,
    ),
    ("expression: 'champion == null || metrics.f1 > 0.0'", replace(EVIDENCE, champion=None), Status.PASS),
    ("expression: 'metrics.accuracy'", EVIDENCE, Status.FAIL),
    ("expression: 'metrics.accuracy + 1 > 1.0'", EVIDENCE, Status.FAIL),
    ("expression: 'metrics.accuracy > 0.9'", RUNNING, Status.PENDING),
    ("expression: 'metrics.accuracy > 0.9'", subject(run=Unreadable("away")), Status.ERROR),
    ("expression: 'version == 2 && environment == \"production\"'", RUNNING, Status.PASS),
    ('expression: \'["v7", "v8"].exists(v, v == tags.data_version)\'', EVIDENCE, Status.PASS),
    ("when: 'version > 5', run: {}", RUNNING, Status.SKIPPED),
    ("when: 'version == 2', run: {}", EVIDENCE, Status.PASS),
    ("when: 'metrics.accuracy + 1 > 5.0', run: {}", EVIDENCE, Status.FAIL),
    ("when: 'metrics.accuracy', run: {}", EVIDENCE, Status.FAIL),
    ("not: {expression: 'metrics.accuracy + 1 > 5.0'}", EVIDENCE, Status.FAIL),
    ("not: {not: {expression: 'metrics.accuracy + 1 > 5.0'}}", EVIDENCE, Status.FAIL),
    ("not: {any: [{expression: 'metrics.accuracy + 1 > 5.0'}]}", EVIDENCE, Status.FAIL),
    ("not: {metric: {name: accuracy, at_least: 0}}", subject(metrics=(Metric("accuracy", math.nan),)), Status.FAIL),
    ("when: 'tags.owner == \"x\"', run: {}", EVIDENCE, Status.PENDING),
    ("when: 'metrics.f1 > 0.0', run: {}", subject(run=Unreadable("away")), Status.ERROR),
    ("all: [{run: {}}, {metric: {name: accuracy, at_least: 0.9}}]", EVIDENCE, Status.PASS),
    ("all: [{run: {}}, {metric: {name: accuracy, at_least: 0.99}}]", EVIDENCE, Status.FAIL),
    ("all: [{run: {}}, {metric: {name: missing, at_least: 0.99}}]", EVIDENCE, Status.PENDING),
    ("any: [{metric: {name: missing, at_least: 1}}, {run: {}}]", EVIDENCE, Status.PASS),
    ("any: [{metric: {name: missing, at_least: 1}}, {metric: {name: f1, at_least: 1}}]", EVIDENCE, Status.PENDING),
    ("any: [{metric: {name: f1, at_least: 1}}]", EVIDENCE, Status.FAIL),
    ("not: {metric: {name: f1, at_least: 1}}", EVIDENCE, Status.PASS),
    ("not: {run: {}}", EVIDENCE, Status.FAIL),
    ("not: {run: {}}", RUNNING, Status.PENDING),
    ("not: {all: [{not: {run: {}}}]}", EVIDENCE, Status.PASS),
    ("tag: {name: owner, present: true}", subject(tags={"owner": "dana"}), Status.PASS),
    ("tag: {name: owner, present: true}", EVIDENCE, Status.PENDING),
    ("tag: {name: owner, present: true}", subject(tags={"owner": ""}), Status.FAIL),
    ("tag: {name: owner, equals: dana}", subject(tags={"owner": "dana"}), Status.PASS),
    ("tag: {name: owner, equals: dana}", subject(tags={"owner": "Dana"}), Status.FAIL),
    ("tag: {name: owner, one_of: [a, b]}", subject(tags={"owner": "b"}), Status.PASS),
    ("tag: {name: owner, one_of: [a, b]}", subject(tags={"owner": "c"}), Status.FAIL),
    ("tag: {name: owner, matches: 'd[a-z]+'}", subject(tags={"owner": "dana"}), Status.PASS),
    ("tag: {name: owner, matches: 'd[a-z]'}", subject(tags={"owner": "dana"}), Status.FAIL),
    ("tag: {name: tier, on: model, equals: gold}", subject(model_tags={"tier": "gold"}), Status.PASS),
    ("tag: {name: data_version, on: run, equals: v7}", EVIDENCE, Status.PASS),
    ("tag: {name: data_version, on: version, equals: v7}", EVIDENCE, Status.PENDING),
    ("tag: {name: data_version, on: run, equals: v7}", subject(run=Unreadable("away")), Status.ERROR),
    ("param: {name: depth, equals: '3'}", subject(run=replace(FINISHED, params={"depth": "3"})), Status.PASS),
    ("param: {name: depth, equals: '3'}", subject(run=replace(FINISHED, params={"depth": "4"})), Status.FAIL),
    ("param: {name: depth, equals: '3'}", EVIDENCE, Status.PENDING),
    ("param: {name: depth, equals: '3'}", RUNNING, Status.PENDING),
    ("param: {name: depth, equals: '3'}", subject(run=Unreadable("away")), Status.ERROR),
    ("age: {not_older_than: 7d}", subject(created_at=NOW - timedelta(days=7)), Status.PASS),
    ("age: {not_older_than: 7d}", subject(created_at=NOW - timedelta(days=7, seconds=1)), Status.FAIL),
    ("signature: {}", EVIDENCE, Status.FAIL),
    ("signature: {}", subject(signature=TAKES_A), Status.PASS),
    ("signature: {compatible_with: champion}", against(TAKES_A, TAKES_A), Status.PASS),
    ("signature: {compatible_with: champion}", against(TAKES_AB, TAKES_A), Status.FAIL),
    ("signature: {compatible_with: champion}", against(TAKES_A, TAKES_AB), Status.FAIL),
    ("signature: {compatible_with: champion}", against(TAKES_A, None), Status.PASS),
    ("signature: {compatible_with: champion, if_absent: fail}", against(TAKES_A, None), Status.FAIL),
    ("signature: {compatible_with: champion}", replace(subject(signature=TAKES_A), champion=None), Status.PASS),
]


@pytest.mark.parametrize(("check", "evidence", "status"), TABLE)
def test_outcomes(check: str, evidence: Evidence, status: Status) -> None:
    found = outcome(check, evidence)
    assert found.status is status, found
    assert found.measured
    assert found.required
    assert bool(found.remedy) == (status not in (Status.PASS, Status.SKIPPED)) or status is Status.PENDING


def test_pending_evidence_times_out() -> None:
    check = "metric: {name: late, at_least: 1}, evidence_timeout: 2h"
    waiting = outcome(check, now=NOW + timedelta(minutes=119))
    assert (waiting.status, waiting.until) == (Status.PENDING, NOW + timedelta(hours=2))
    assert outcome(check, now=NOW + timedelta(hours=2)).status is Status.FAIL


def test_a_slip_of_a_name_is_said_at_once() -> None:
    assert "did you mean “accuracy”?" in outcome("metric: {name: acuracy, at_least: 1}").measured


def test_the_policys_own_remedy_is_shown() -> None:
    assert outcome('metric: {name: accuracy, at_least: 1}, remedy: "Ask Kim."').remedy == "Ask Kim."


def test_an_advisory_failure_does_not_refuse() -> None:
    check = "{id: c, severity: advisory, metric: {name: accuracy, at_least: 1}}"
    text = f"apiVersion: promotion-bot/v1\nkind: Policy\nname: p\nchecks:\n  - {check}\n"
    verdict = evaluate(parse_policy(text, "p.yaml"), EVIDENCE, NOW)
    assert verdict.outcomes[0].status is Status.FAIL
    assert verdict.status is Status.PASS


outcomes = st.builds(
    Outcome,
    st.text(max_size=5),
    st.text(max_size=5),
    st.sampled_from(Status),
    st.text(max_size=5),
    st.text(max_size=5),
    severity=st.sampled_from(Severity),
    until=st.none() | st.datetimes(timezones=st.just(UTC)),
)


@given(st.lists(outcomes), st.randoms())
def test_the_verdict_does_not_depend_on_the_order(found: list[Outcome], random: object) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert Verdict("p", tuple(found)).status is Verdict("p", tuple(shuffled)).status


@given(st.lists(outcomes), st.sampled_from(Status))
def test_an_advisory_outcome_never_changes_the_verdict(found: list[Outcome], status: Status) -> None:
    more = Outcome("x", "y", status, "", "", severity=Severity.ADVISORY)
    assert Verdict("p", tuple(found)).status is Verdict("p", (*found, more)).status


@given(st.lists(outcomes))
def test_a_verdict_reads_back_as_it_was_written(found: list[Outcome]) -> None:
    verdict = Verdict("p", tuple(found))
    assert Verdict.from_dict(verdict.to_dict()) == verdict


def test_evidence_hashes_alike_only_when_it_is_alike() -> None:
    assert EVIDENCE.digest() == replace(EVIDENCE).digest()
    assert EVIDENCE.digest() != subject(tags={"owner": "kim"}).digest()


BAD = [
    ("{id: a}", "exactly one kind"),
    ("{id: a, run: {}, lineage: {require: [x]}}", "found lineage and run"),
    ("{id: a, metric: {name: x}}", "needs at_least, at_most or between"),
    ("{id: a, metric: {name: x, at_least: 2, at_most: 1}}", "no value is at least 2 and at most 1"),
    ("{id: a, metric: {name: x, between: [2, 1]}}", "no value is"),
    ("{id: a, metric: {nme: x, at_least: 1}}", "did you mean “name”?"),
    ("{id: a, metrc: {}}", "did you mean “metric”?"),
    ("{id: a, compare: {metric: x, direction: up}}", '"up": expected higher or lower'),
    ("{id: a, compare: {metric: x, tolerance: -1}}", "tolerance"),
    ("{id: a, run: {}, evidence_timeout: soon}", "a duration such as"),
    ("{id: a, run: {}, evidence_timeout: 999999999d}", "a duration such as"),
    ('{id: "a\\n", run: {}}', "does not fit “id”"),
    ("{run: {}}", "lacks the key “id”"),
    ("{id: a, run: {}}\n  - {id: a, run: {}}", "two checks “a”"),
    ("{id: a, when: x, run: {}}", "names “x”"),
    ("{id: a, when: 'metrics.a > ', run: {}}", "cannot be read"),
    ("{id: a, expression: 'metric.a > 1.0'}", "did you mean “metrics”"),
    ("{id: a, expression: 'sizes(metrics) > 1'}", "did you mean “size”"),
    ("{id: a, expression: '[1].all(a, [1].all(b, [1].all(c, true)))'}", "walks lists more than 2 times"),
    ("{id: a, all: [{run: {}, tag_: 1}]}", "unknown key “tag_”"),
    ("{id: a, all: [{id: b}]}", "found none"),
    ("{id: a, tag: {name: x}}", "needs exactly one of present, equals, one_of, matches"),
    ("{id: a, tag: {name: x, equals: a, matches: b}}", "found equals and matches"),
    ("{id: a, tag: {name: x, matches: '('}}", "is not a regular expression"),
    ("{id: a, tag: {name: x, equals: 3}}", "is not the string"),
    ("{id: a, age: {not_older_than: long}}", "a duration such as"),
    ("{id: a, signature: {compatible_with: champoin}}", "did you mean “champion”"),
    ("{id: a, any: [{metric: {name: m}}]}", "needs at_least"),
    ("{id: a, not: {expression: 'metrics.'}}", "cannot be read"),
]


@pytest.mark.parametrize(("check", "message"), BAD, ids=[message for _, message in BAD])
def test_a_bad_policy_says_what_and_where(check: str, message: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        parse_policy(f"apiVersion: promotion-bot/v1\nkind: Policy\nname: p\nchecks:\n  - {check}\n", "p.yaml")
    assert message in str(caught.value), caught.value
    assert all(problem.line >= 5 for problem in caught.value.problems)


def test_the_schema_for_editors_is_what_the_kinds_say() -> None:
    assert schema.SCHEMA_PATH.read_text(encoding="utf-8") == schema.text(), "run python -m policies.schema"


BASE = """\
apiVersion: promotion-bot/v1
kind: Policy
name: base
checks:
  - {id: finished, run: {}}
  - {id: floor, metric: {name: accuracy, at_least: 0.5}}
"""
STRICT = """\
apiVersion: promotion-bot/v1
kind: Policy
name: strict
extends: [policies/base.yaml]
checks:
  - {id: floor, metric: {name: accuracy, at_least: 0.9}}
  - {id: owner, tag: {name: owner, present: true}}
"""


def test_a_policy_extends_others_and_its_own_ids_replace_theirs() -> None:
    policy = parse_policy(STRICT, "policies/strict.yaml", {"policies/base.yaml": BASE.encode()}.get)
    assert [check.id for check in policy.checks] == ["finished", "floor", "owner"]
    assert evaluate(policy, EVIDENCE, NOW).outcomes[1].required == "at least 0.9"
    assert policy.sources == ("policies/strict.yaml", "policies/base.yaml")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "policies/strict.yaml:4:11: there is no file “policies/base.yaml” in this repository"),
        ({"policies/base.yaml": STRICT.replace("base", "strict").encode()}, "go round in a circle"),
        ({"policies/base.yaml": BASE.replace("run", "runn").encode()}, "policies/base.yaml:5:"),
    ],
)
def test_what_cannot_be_extended_is_said_where_it_stands(files: dict[str, bytes], message: str) -> None:
    with pytest.raises(InvalidDocument) as raised:
        parse_policy(STRICT, "policies/strict.yaml", files.get)
    assert message in str(raised.value)


def test_a_policy_extends_no_more_files_than_it_may_read() -> None:
    """Ten that extend ten each, four times over, would be ten thousand requests."""
    read = []

    def ten_more(path: str) -> bytes:
        read.append(path)
        paths = ", ".join(f"{path.removesuffix('.yaml')}{i}.yaml" for i in range(10))
        return BASE.replace("checks:", f"extends: [{paths}]\nchecks:").encode()

    with pytest.raises(InvalidDocument, match="more than 20 policies are extended in all"):
        parse_policy(ten_more("p.yaml"), "p.yaml", ten_more)
    assert len(read) == 21


@pytest.mark.parametrize("condition", ["[1][9]==1", "[1][-1]==1", "[1][99999999999]==1"])
def test_an_index_that_is_not_there_cannot_be_computed(condition: str) -> None:
    found = outcome(f"expression: '{condition}'")
    assert (found.status, found.measured.partition(":")[0]) == (Status.FAIL, "cannot be computed")
