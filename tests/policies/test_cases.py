"""Test cases of policies: what an author writes down, run as the bot would judge it."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.cases import given_evidence, never_failing, parse_cases, run_case
from policies.documents import InvalidDocument
from policies.evidence import SignedBy, Unusable, Verified
from policies.policy import Policy, parse_policy
from policies.verdict import Status

LIBRARY = Path("policies/library")
POLICY = """apiVersion: promotion-bot/v1
kind: Policy
name: p
checks:
  - {id: floor, metric: {name: accuracy, at_least: 0.9}}
  - {id: signed, signed: {public_key: keys/a.pub}}
"""
HEAD = "apiVersion: promotion-bot/v1\nkind: PolicyTest\ncases:\n"


def policy() -> Policy:
    return parse_policy(POLICY, "p.yaml")


def from_here(path: str) -> bytes | None:
    found = Path(path)
    return found.read_bytes() if found.is_file() else None


@pytest.mark.parametrize("file", sorted(LIBRARY.glob("*.test.yaml")), ids=lambda file: file.name)
def test_every_policy_of_the_library_does_what_its_cases_say(file: Path) -> None:
    source = str(file).replace(".test.yaml", ".yaml")
    tested = parse_policy(Path(source).read_bytes(), source, from_here)
    results = tuple(run_case(tested, case) for case in parse_cases(file.read_bytes(), str(file), tested))
    assert [(r.case.name, r.wrong) for r in results if r.wrong] == []
    assert never_failing(tested, results) == ()
    assert Status.PASS in {r.verdict.status for r in results} or file.name == "vision.test.yaml"


def test_what_does_not_hold_is_told_with_what_was_found() -> None:
    text = HEAD + "  - {name: low, given: {metrics: {accuracy: 0.8}}, expect: {floor: pass, verdict: fail}}\n"
    (case,) = parse_cases(text, "p.test.yaml", policy())
    result = run_case(policy(), case)
    assert result.wrong == (("floor", Status.PASS, Status.FAIL),)
    outcome = result.outcome("floor")
    assert outcome is not None
    assert outcome.measured == "0.8"
    assert never_failing(policy(), (result,)) == ()
    assert never_failing(policy(), ()) == ("floor", "signed")


def test_what_is_not_given_is_not_there() -> None:
    (case,) = parse_cases(HEAD + "  - {name: n, expect: {floor: pending, signed: fail}}\n", "p.test.yaml", policy())
    assert run_case(policy(), case).wrong == ()


def test_evidence_can_be_given_in_every_form() -> None:
    by = SignedBy("keys/a.pub", "model.sig")
    given = {
        "metrics": {"a": 1, "b": {"test": 2, "train": 3}, "c": "nan"},
        "tags": {"n": 1, "t": "x", "b": True},
        "run": None,
        "files": {"MLmodel": "2KB", "data/m.bin": "1MB"},
        "signed": False,
        "champion": {"version": 7, "metrics": {"a": 2}},
        "live_for": {"staging": "2d"},
    }
    evidence = given_evidence(given, frozenset({by}))
    assert {(m.name, m.dataset) for m in evidence.subject.metrics} == {
        ("a", None),
        ("b", "test"),
        ("b", "train"),
        ("c", None),
    }
    assert evidence.subject.tags == {"n": "1", "t": "x", "b": "true"}
    assert evidence.subject.run is None
    assert evidence.subject.size == 1_002_000
    assert isinstance(evidence.signed[by], Unusable)
    assert isinstance(given_evidence({"signed": True}, frozenset({by})).signed[by], Verified)
    assert evidence.champion is not None
    assert evidence.champion.version == 7
    assert "staging" in evidence.live_since


@pytest.mark.parametrize(
    ("cases", "said"),
    [
        ("  - {name: a, expect: {flor: pass}}\n", "the policy has no check “flor”; did you mean “floor”?"),
        ("  - {name: a, expect: {floor: passed}}\n", "did you mean “pass”?"),
        ("  - {name: a, given: {metric: {}}, expect: {floor: pass}}\n", "did you mean “metrics”?"),
        ("  - {name: a, expect: {floor: pass}}\n  - {name: a, expect: {floor: pass}}\n", "two cases “a”"),
        ("  - {name: a}\n", "lacks the key “expect”"),
    ],
)
def test_a_wrong_case_says_where_and_what(cases: str, said: str) -> None:
    with pytest.raises(InvalidDocument) as invalid:
        parse_cases(HEAD + cases, "p.test.yaml", policy())
    assert said in str(invalid.value)
