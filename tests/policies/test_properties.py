"""Properties of every kind of check on whatever evidence there may be."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from policies.engine import evaluate
from policies.evidence import (
    CiResult,
    CiState,
    Commit,
    Evidence,
    File,
    Metric,
    Run,
    RunStatus,
    Unreadable,
    UnsafeCode,
    Unusable,
    Verified,
    VersionEvidence,
)
from policies.kinds import KINDS
from policies.policy import Policy, parse_policy
from policies.verdict import Severity, Status, Verdict

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
CHECKS = (
    "metric: {name: a, at_least: 0.5}",
    "metric: {name: a, dataset: d, between: [0.1, 0.9]}",
    "compare: {metric: a, tolerance: 0.01}",
    "compare: {metric: a, min_improvement: 2%, direction: lower, if_absent: fail}",
    "compare: {metric: a, significance: {table: t.json, column: c}}",
    "tag: {name: t, present: true}",
    "tag: {name: t, on: model, matches: '[a-z]+'}",
    "param: {name: p, one_of: ['1', '2']}",
    "lineage: {require: [git_commit], git: {repository: o/r, branch: main}}",
    "data: {dvc: d.csv.dvc, repository: o/r}",
    "data: {dvc: dvc.lock, path: m.pkl, of: model, remote: cold, repository: o/r}",
    "signature: {compatible_with: champion}",
    "artifact: {max_size: 1MB, require: [MLmodel], forbid: ['**/*.exe'], pinned: true}",
    "scan: {unknown: fail}",
    "signed: {public_key: k.pub}",
    "github_check: {name: ci, app: github-actions}",
    "github_check: {name: ci, user: ci-bot, on: git_commit, repository: o/r}",
    "run: {status: finished, registered_by: [dana]}",
    "age: {not_older_than: 30d}",
    "soak: {environment: staging, for: 24h, metric: {name: a, at_least: 0.5}}",
    "expression: 'metrics.a > 0.5 && tags.t == \"x\"'",
    "all: [{metric: {name: a, at_least: 0.5}}, {tag: {name: t, present: true}}]",
    "any: [{metric: {name: a, at_least: 0.5}}, {scan: {}}]",
    "not: {tag: {name: t, equals: x}}",
)
HEAD = "apiVersion: promotion-bot/v1\nkind: Policy\nname: p\nchecks:\n"


def policy(*rows: str) -> Policy:
    body = "".join(f"  - {{id: c{number}, {row}}}\n" for number, row in enumerate(rows))
    return parse_policy(HEAD + body, "p.yaml")


WHOLE = policy(*CHECKS)
words = st.text(st.characters(codec="utf-8"), max_size=5) | st.sampled_from(("x", "1", "a" * 40, ""))
unknown = st.builds(Unreadable, st.just("away")) | st.builds(Unusable, st.just("odd"))
metrics = st.builds(
    Metric, st.sampled_from("ab"), st.floats(allow_nan=True, allow_infinity=True), st.sampled_from((None, "d"))
)
tags = st.dictionaries(st.sampled_from(("t", "git_commit")), words, max_size=2)
runs = st.builds(
    Run, st.just("r"), st.sampled_from(RunStatus), words, st.dictionaries(st.just("p"), words, max_size=1), tags
)
signatures = st.none() | st.fixed_dictionaries({"inputs": words | st.just("[]"), "outputs": st.just("[]")})
times = st.integers(-300 * 86_400, 300 * 86_400).map(lambda seconds: NOW + timedelta(seconds=seconds))


def among(needs: st.SearchStrategy, values: st.SearchStrategy) -> st.SearchStrategy:
    return st.dictionaries(needs, values | unknown | st.none(), max_size=3)


def wanted(kind: type) -> st.SearchStrategy:
    found = [need for need in WHOLE.needs if isinstance(need, kind)]
    return st.sampled_from(sorted(found, key=repr))


def _needs(name: str) -> st.SearchStrategy:
    return wanted(next(type(need) for need in WHOLE.needs if type(need).__name__ == name))


versions = st.builds(
    VersionEvidence,
    st.just("m"),
    st.integers(1, 9),
    times,
    run=st.none() | runs,
    metrics=st.lists(metrics, max_size=4).map(tuple),
    tags=tags,
    model_tags=tags,
    signature=signatures,
    flavors=st.lists(words, max_size=2).map(tuple),
    files=st.lists(st.builds(File, words, st.integers(0, 2**40)), max_size=3).map(tuple),
    requirements=st.none() | words,
    scan=st.none() | unknown | st.lists(st.builds(UnsafeCode, words, words, st.booleans()), max_size=2).map(tuple),
    columns=among(_needs("Column"), st.lists(st.floats(), max_size=4).map(tuple)),
)
evidences = st.builds(
    Evidence,
    st.just("production"),
    versions,
    st.none() | versions,
    times,
    proposed_at=st.none() | times,
    signed=among(_needs("SignedBy"), st.builds(Verified, st.integers(0, 9))),
    commits=among(_needs("OnBranch"), st.builds(Commit, words, st.booleans(), st.booleans())),
    ci=st.dictionaries(
        _needs("GithubCheck"),
        st.none() | st.builds(Unreadable, st.just("away")) | st.builds(CiResult, st.sampled_from(CiState), words),
        max_size=2,
    ),
    live_since=st.dictionaries(st.just("staging"), times, max_size=1),
)


def test_every_kind_is_among_the_checks() -> None:
    assert {check.kind for check in WHOLE.checks} == set(KINDS)


@settings(max_examples=300)
@given(evidences, times)
def test_a_policy_that_parses_never_raises_and_its_verdict_reads_back(evidence: Evidence, now: datetime) -> None:
    verdict = evaluate(WHOLE, evidence, now)
    assert len(verdict.outcomes) == len(CHECKS)
    assert Verdict.from_dict(verdict.to_dict()) == verdict
    assert evidence.digest() == evidence.digest()


@settings(max_examples=100)
@given(evidences, st.permutations(range(len(CHECKS))), times)
def test_an_outcome_does_not_depend_on_the_order_of_checks(evidence: Evidence, order: list[int], now: datetime) -> None:
    shuffled = replace(WHOLE, checks=tuple(WHOLE.checks[i] for i in order))
    first, second = evaluate(WHOLE, evidence, now), evaluate(shuffled, evidence, now)
    assert {o.check: o for o in first.outcomes} == {o.check: o for o in second.outcomes}
    assert first.status is second.status
    assert first.status_before_proposal is second.status_before_proposal


@settings(max_examples=100)
@given(evidences, st.sampled_from(WHOLE.checks), times)
def test_an_advisory_check_never_changes_the_verdict(evidence: Evidence, check: object, now: datetime) -> None:
    advisory = replace(check, id="extra", severity=Severity.ADVISORY)  # type: ignore[type-var]
    more = replace(WHOLE, checks=(*WHOLE.checks, advisory))
    assert evaluate(WHOLE, evidence, now).status is evaluate(more, evidence, now).status


@settings(max_examples=50)
@given(evidences)
def test_what_waits_for_evidence_fails_in_the_end(evidence: Evidence) -> None:
    """Only the clock of a soak, a store that is away, and what has nothing to run on may stay open for ever."""
    late = evaluate(WHOLE, evidence, NOW + timedelta(days=4000))
    for outcome in late.having(Status.PENDING):
        assert outcome.kind == "soak" or outcome.needs_proposal, outcome
