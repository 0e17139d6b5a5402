"""Pipelines, policies, their cases and manifests: whatever stands in the file."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from bot.domain.groups import last_firing, next_firing
from bot.domain.manifest import Entry, Manifest, parse_manifest, parse_manifests
from bot.domain.manifest_editing import remove_entry, set_entry
from bot.domain.naming import tag_name
from bot.domain.pipeline import Pipeline, parse_pipeline
from bot.domain.windows import frozen_by, opens_at
from policies.cases import parse_cases, run_case
from policies.documents import kind_of
from policies.policy import Policy, parse_policy
from tests.fuzz.bounds import drawn, inputs, leaves_nothing_behind, soon, value_or_complaint
from tests.fuzz.strategies import HOSTILE_TEXTS, YAML_PIECES, changed, damaged, texts, values

ROOT: Final = Path(__file__).parents[2]
DIGEST: Final = f"sha256:{'a' * 64}"
PIPELINE: Final = (ROOT / "examples/deploy/promotion.yaml").read_bytes()
MANIFEST: Final = f"""\
# what is live
apiVersion: promotion-bot/v1
kind: ModelVersions
models:
  churn: {{staging: {{version: 3, digest: "{DIGEST}"}}}}
  fraud:
    staging:
      version: 12  # twelve
      digest: {DIGEST}
      release: 1.4.0
    production: {{version: 9, digest: {DIGEST}, release: 1.3.2}}
""".encode()
LIBRARY: Final = tuple(p.read_bytes() for p in sorted((ROOT / "policies/library").glob("*.yaml")))
POLICIES: Final = tuple(text for text in LIBRARY if b"kind: Policy\n" in text)
CASES: Final = tuple(text for text in LIBRARY if b"kind: PolicyTest" in text)
EVERY_DAY: Final = tuple(datetime(2026, month, 28, 3, tzinfo=UTC) for month in range(1, 13))
OLD: Final = parse_policy(POLICIES[0], "policy.yaml")

TIMES: Final = ("Fri 16:00", "Mon 00:00", "Fri 16:00Z", "Fri 24:00", "2026-12-20", "0001-01-01", "9999-12-31",
                "2026-12-20 16:00+14:00", "2026-W01-1", "Fri")  # fmt: skip
ZONES: Final = ("Europe/Berlin", "UTC", "Europe", "../../etc/passwd", "/etc/passwd", "posixrules", "zone.tab", ".", "",
                "Asia/Kolkata", "a\0b", "a/" * 2_000, "Factory", "leapseconds", "CON")  # fmt: skip
CRONS: Final = ("0 6 * * 1", "daily", "@weekly", "@reboot", "0 0 30 2 *", "0 0 29 2 1#5", "R * * * *", "H H * * *",
                "* * * * * *", "*/0 * * * *", "0 0 L * *", "9-1 * * * *", "0-99999999 * * * *", "1," * 40 + "1 * * * *",
                "٣ * * * *", "0 0 * * mon-fri-sat")  # fmt: skip
DURATIONS: Final = ("0s", "999999999s", "999999999d", "99999d", "-1d", "1.5h", "1w", "٣d", "1d\n")
GLOBS: Final = ("**/" * 60, "*a" * 100, "{a,b}" * 40, "{1..99999999}", "+(a|b)" * 30, "!(a)" * 40, "[z-a]", "[" * 150,
                "[[:alpha:]]", "\\", "!x", "/x", "@(" * 60)  # fmt: skip
PATTERNS: Final = ("(a+)+$", "(((a{1,100}){1,100}){1,100})", "(a?){200}a{200}", "(?=a)", r"(a)\1", "(", "[z-a]",
                   "|" * 400,
                   ")|(", r"\pL{500}", "(?x) #", "(" * 240 + ")" * 240)  # fmt: skip
CONDITIONS: Final = ("metrics.a > 0.5", "(" * 450 + "true" + ")" * 450, "!" * 900 + "true", "[" * 450 + "]" * 450,
                     "true ? " * 90 + "true" + " : true" * 90, "1/0 > 0", "1 % 0 > 0", "[1][9] == 1", "{}[1] == 1",
                     "[1][-1] == 1", "9223372036854775807 + 1 > 0", "-9223372036854775808 / -1 > 0", "int(1e300) > 0",
                     "timestamp('9999-12-31T23:59:59Z') + duration('1000000h') > timestamp('2000-01-01T00:00:00Z')",
                     "duration('99999999999999999999h') > duration('1s')", "timestamp('x') > timestamp('y')",
                     "'a'.matches('(((a{1,100}){1,100}){1,100})')", "tags.t.matches(tags.t)", "metrics",
                     "[0].map(x, [0].map(y, y)).size() > 0", "[1].all(1, true)", "all(x, true)",
                     "metrics.?a.orValue(1)",
                     "cel.bind(x, 1, x) == 1", "google.protobuf.Timestamp{} == 1", "a.b{c: 1}", "b'\\xff' == b''",
                     "'\\ud800' == ''", "0xffffffffffffffffffff > 0", "type(1) == int", "has(metrics.a)",
                     "[" + "1," * 200 + "1].all(x, [" + "1," * 200 + "1].all(y, x == y))",
                     "tags[''] == ''")  # fmt: skip

words = st.sampled_from((*TIMES, *ZONES, *CRONS, *DURATIONS, *GLOBS, *PATTERNS, *CONDITIONS, *HOSTILE_TEXTS)) | texts
parts = words | values


def written(document: Any) -> bytes:
    """A document as JSON, which is YAML, with the lone surrogates that a file cannot hold replaced."""
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")


def documents(*originals: bytes) -> st.SearchStrategy[bytes]:
    """Files that are a little or quite unlike real ones."""
    plain = [yaml.safe_load(text) for text in originals]
    return (
        changed(plain, parts).map(written)
        | changed(plain, words).map(written)
        | damaged(originals, YAML_PIECES)
        | st.binary(max_size=60)
        | values.map(written)
    )


pipelines, policies, cases, manifests = (
    documents(PIPELINE), documents(*POLICIES), documents(*CASES), documents(MANIFEST)
)  # fmt: skip


def use_pipeline(text: bytes) -> None:
    """Read a pipeline, and ask it all that looks ask."""
    pipeline: Pipeline | None = value_or_complaint(lambda: parse_pipeline(text))
    if pipeline is None:
        return
    with soon():
        pipeline.owns("a" * 200)
        pipeline.manifest_paths()
        if pipeline.releases is not None:
            tag_name(pipeline.releases.tag, "fraud", 7, "1.2.3")
        for environment in pipeline.environments:
            next_firing(environment, EVERY_DAY[0])
            last_firing(environment, EVERY_DAY[0])
            for moment in EVERY_DAY:
                frozen_by(environment.freeze, moment)
            opens_at(environment.freeze, EVERY_DAY[0])


def use_policy(text: bytes) -> None:
    """Read a policy that may extend others."""
    read: Policy | None = value_or_complaint(lambda: parse_policy(text, "p.yaml", lambda _: text))
    if read is not None:
        assert read.needs is not None


def use_cases(text: bytes) -> None:
    """Read test cases, and run them."""
    found = value_or_complaint(lambda: parse_cases(text, "c.yaml", OLD))
    for case in found or ():
        with soon():
            run_case(OLD, case)


def use_manifest(text: bytes) -> None:
    """Read a manifest, and edit it: what was there stays, what was put in is there, and can be taken out again."""
    before: Manifest | None = value_or_complaint(lambda: parse_manifest(text, "versions.yaml"))
    value_or_complaint(lambda: kind_of(text, "versions.yaml"))
    value_or_complaint(lambda: parse_manifests({"versions.yaml": text}, parse_pipeline(PIPELINE)))
    if before is None:
        return
    entry = Entry(77, f"sha256:{'c' * 64}", "2.0.0")
    edited = value_or_complaint(lambda: set_entry(text.decode("utf-8-sig"), "fraud", "staging", entry))
    if edited is not None:
        assert parse_manifest(edited, "m").entries == {**before.entries, ("fraud", "staging"): entry}
        removed = value_or_complaint(lambda: remove_entry(edited, "fraud", "staging"))
        assert removed is None or parse_manifest(removed, "m").entry("fraud", "staging") is None


@inputs(400)
@given(pipelines)
def test_a_pipeline(text: bytes) -> None:
    use_pipeline(text)


@inputs(400)
@given(policies)
def test_a_policy(text: bytes) -> None:
    use_policy(text)


@inputs(300)
@given(cases)
def test_a_policys_cases(text: bytes) -> None:
    use_cases(text)


@inputs(400)
@given(manifests)
@example(b"apiVersion: promotion-bot/v1\nkind: ModelVersions\nmodels: {a: {s: {version: 1.0, digest: x}}}")
def test_a_manifest(text: bytes) -> None:
    use_manifest(text)


@inputs(400)
@given(texts, st.sampled_from(("staging", "production")), st.sampled_from((MANIFEST, MANIFEST.replace(b"\n", b"\r\n"))))
@example("\ud800", "staging", MANIFEST)
def test_an_entry_of_any_model(model: str, environment: str, text: bytes) -> None:
    entry = Entry(77, f"sha256:{'c' * 64}", "2.0.0")
    edited = value_or_complaint(lambda: set_entry(text.decode(), model, environment, entry, ("staging", "production")))
    if edited is not None:
        assert parse_manifest(edited.encode(), "m").entry(model, environment) == entry
        assert parse_manifest(remove_entry(edited, model, environment), "m").entry(model, environment) is None


FULL = 256 * 1024
LARGE = {
    "braces": b"manifest: " + b"{" * FULL,
    "duplicate keys": b"a: b\n" * (FULL // 5),
    "many keys": b"".join(b"k%d: 1\n" % i for i in range(FULL // 12)),
    "a long list": b"[" + b"a," * (FULL // 2) + b"]",
    "deep lists": b"[" * FULL,
    "deep mappings": b"{a: " * (FULL // 4),
    "deep blocks": b"".join(b" " * i + b"a:\n" for i in range(700)),
    "question marks": b"? " * (FULL // 2),
    "a long key": b"a" * FULL + b": 1",
    "a long number": b"a: " + b"9" * FULL,
    "comments": b"#" * FULL,
    "spaces": b" " * FULL + b"a",
    "tags": b"!a " * (FULL // 3),
    "anchors": b"&a " * (FULL // 3),
    "escapes": b'"' + b"\\u0041" * (FULL // 7) + b'"',
    "an open quote": b'"' * (FULL - 1),
    "checks of no kind": b"apiVersion: promotion-bot/v1\nkind: Policy\nname: p\nchecks:\n"
    + b"- {id: a, metrc: {}}\n" * 11_000,
    "models": b"apiVersion: promotion-bot/v1\nkind: Pipeline\nmodels: [" + b"a," * 120_000 + b"]\nenvironments: []\n",
    "environments": b"apiVersion: promotion-bot/v1\nkind: Pipeline\nmodels: [a]\nenvironments:\n" + b"- {}\n" * 50_000,
}  # fmt: skip


@pytest.mark.parametrize("text", LARGE.values(), ids=LARGE.keys())
def test_a_large_file_of_one_thing(text: bytes) -> None:
    for use in (use_pipeline, use_policy, use_cases):
        use(text)
    # A manifest may be larger, and takes time in proportion: the densest there can be a second for some 200 KB.
    use_manifest(text[: FULL // 2])


def bad_tree(branches: int, depth: int) -> bytes:
    part: Any = {"nothing": 1}
    for _ in range(depth):
        part = {"all": [part] * branches}
    return written({"apiVersion": "promotion-bot/v1", "kind": "Policy", "name": "p", "checks": [{"id": "a", **part}]})


@pytest.mark.parametrize(("branches", "depth"), [(1, 17), (2, 12), (8, 4), (50, 2)])
def test_a_policys_tree(branches: int, depth: int) -> None:
    use_policy(bad_tree(branches, depth))


@pytest.mark.parametrize(
    ("use", "strategy"),
    [(use_pipeline, pipelines), (use_policy, policies), (use_cases, cases), (use_manifest, manifests)],
    ids=("pipeline", "policy", "cases", "manifest"),
)
def test_files_leave_nothing_behind(use: Any, strategy: st.SearchStrategy) -> None:
    leaves_nothing_behind(use, drawn(strategy, 800))
