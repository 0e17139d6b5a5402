"""What a policy's author and a model's author write meets: conditions, patterns and globs on any evidence."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import timedelta
from typing import Any, Final

from hypothesis import example, given
from hypothesis import strategies as st

from policies.engine import evaluate
from policies.evidence import Evidence, File, Metric, Run, RunStatus, VersionEvidence
from policies.policy import Policy, parse_policy
from policies.verdict import Verdict
from tests.fuzz.bounds import drawn, inputs, leaves_nothing_behind, soon, value_or_complaint
from tests.fuzz.strategies import HOSTILE_TEXTS, texts
from tests.fuzz.test_documents import CONDITIONS, DURATIONS, GLOBS, PATTERNS, written
from tests.policies.test_properties import NOW, evidences

CEL_PIECES: Final = ("metrics", "params", "tags", "champion", "version", "model", "environment", ".a", ".t", "['a']",
                     "[0]",
                     "==", "!=", "<", ">", "&&", "||", "!", "-", "+", "*", "/", "%", "?", ":", "(", ")", "[", "]",
                     "{", "}",
                     ",", "1", "1.0", "0", "'a'", "true", "null", " in ", ".size()", ".matches('a')", ".all(x, x > 0)",
                     "int(", "double(", "timestamp(", "duration(", "has(", "string(", ".map(x, x)", "'\\n'",
                     "//")  # fmt: skip
conditions = (
    st.sampled_from(CONDITIONS)
    | st.lists(st.sampled_from(CEL_PIECES), min_size=1, max_size=25).map(" ".join)
    | st.lists(st.sampled_from(CEL_PIECES), min_size=1, max_size=120).map("".join)
    | texts
)
patterns = st.sampled_from(PATTERNS) | st.text("ab()[]{}*+?|^$.\\-,0129:=!<>PpLdwsbB", max_size=60) | texts
globs = st.sampled_from(GLOBS) | st.text("ab*/?[]{}!@+(),.|\\-~", min_size=1, max_size=60) | texts
durations = st.sampled_from(DURATIONS)
numbers = (
    st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.sampled_from((10**90, -(10**90), 5e-324))
)
shares = st.sampled_from(("2%", "999999.999999%", "0%", "%")) | numbers
checks = (
    st.builds(lambda text: {"expression": text}, conditions)
    | st.builds(lambda text: {"when": text, "run": {}}, conditions)
    | st.builds(lambda text: {"tag": {"name": "t", "matches": text}}, patterns)
    | st.builds(lambda text: {"param": {"name": "p", "matches": text}}, patterns)
    | st.builds(lambda some: {"artifact": {"forbid": some}}, st.lists(globs, min_size=1, max_size=5))
    | st.builds(lambda some: {"artifact": {"require": some}}, st.lists(globs, min_size=1, max_size=5))
    | st.builds(lambda said: {"age": {"not_older_than": said}}, durations)
    | st.builds(lambda said: {"soak": {"environment": "staging", "for": said}}, durations)
    | st.builds(lambda said: {"metric": {"name": "zz", "at_least": 1}, "evidence_timeout": said}, durations)
    | st.builds(lambda low: {"metric": {"name": "a", "at_least": low}}, numbers)
    | st.builds(lambda far: {"compare": {"metric": "a", "tolerance": far}}, shares)
    | st.builds(lambda far: {"compare": {"metric": "a", "min_improvement": far, "direction": "lower"}}, shares)
)
LONG: Final = Evidence(
    "production",
    VersionEvidence(
        "m",
        3,
        NOW,
        run=Run("r", RunStatus.FINISHED, "", {"p": "a" * 5_000, **{f"p{i}": "" for i in range(2_000)}}, {}),
        metrics=tuple(Metric(f"zz{i}", 1.0) for i in range(5_000)),
        tags={"t": "a" * 5_000, **{f"t{i}": "" for i in range(2_000)}},
        files=tuple(File("/".join("abcdefgh" * 4) + f"/{i}.bin", 3) for i in range(300)),
        requirements="a==1\n" * 5_000 + "b>=\\\n" * 5_000,
    ),
    None,
    NOW,
    live_since={"staging": NOW},
)


def policy(*rows: dict[str, Any]) -> Policy | None:
    """The policy of these checks; None where one of them is none."""
    named = [{"id": f"c{number}", **row} for number, row in enumerate(rows)]
    document = {"apiVersion": "promotion-bot/v1", "kind": "Policy", "name": "p", "checks": named}
    read: Policy | None = value_or_complaint(lambda: parse_policy(written(document), "p.yaml"))
    return read


def judge(check: dict[str, Any], evidence: Evidence) -> None:
    """Read a check and judge by it; what it says can be written down and read back."""
    read = policy(check)
    if read is not None:
        with soon():
            verdict = evaluate(read, evidence, NOW + timedelta(hours=1))
        assert Verdict.from_dict(json.loads(json.dumps(verdict.to_dict()))) == verdict


@inputs(500)
@given(checks, evidences)
@example({"expression": "[1][9] == 1"}, LONG)
@example({"metric": {"name": "zz", "at_least": 1}, "evidence_timeout": "999999999d"}, LONG)
def test_a_check_on_any_evidence(check: dict[str, Any], evidence: Evidence) -> None:
    judge(check, evidence)


@inputs(300)
@given(checks)
def test_a_check_on_a_lot_of_evidence(check: dict[str, Any]) -> None:
    judge(check, LONG)


def test_many_slips_among_many_names() -> None:
    slips = [{"metric": {"name": f"accuracy{i}", "at_least": 1}} for i in range(30)]
    read = policy(*slips, {"tag": {"name": "tt", "present": True}}, {"artifact": {"pinned": True}})
    assert read is not None
    with soon():
        evaluate(read, LONG, NOW)


@inputs(300)
@given(texts | st.sampled_from(HOSTILE_TEXTS), texts)
def test_requirements_of_any_kind(line: str, other: str) -> None:
    read = policy({"artifact": {"pinned": True}})
    assert read is not None
    version = VersionEvidence("m", 1, NOW, requirements=f"{line}\n{other}=={line} \\\n --hash={other}")
    with soon():
        evaluate(read, Evidence("production", version, None, NOW), NOW)


def test_judging_leaves_nothing_behind() -> None:
    pairs = drawn(st.tuples(checks, evidences), 800)
    # Twice, because compiled globs are kept, up to some hundred. Evidence remembers what was looked up in it.
    leaves_nothing_behind(lambda pair: judge(pair[0], deepcopy(pair[1])), [*pairs, *pairs])
