"""Kinds whose evidence comes from files, git, a team's CI and time: each with its boundary values."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from policies.evidence import (
    CheckedCommit,
    CiResult,
    CiState,
    Column,
    Commit,
    Evidence,
    File,
    GithubCheck,
    LiveIn,
    OnBranch,
    Part,
    SignedBy,
    Unreadable,
    UnsafeCode,
    Unusable,
    Verified,
)
from policies.kinds.compare import bootstrap_interval
from policies.policy import parse_policy
from policies.verdict import Status
from tests.policies.test_engine import CHAMPION, EVIDENCE, FINISHED, NOW, SUBJECT, outcome, subject

FILES = (File("MLmodel", 100), File("model.pkl", 900), File("code/run.exe", 0))
BY_KEY = SignedBy("keys/mlops.pub", "model.sig")
IN_TRAINING = OnBranch("acme/training", "main")
ON_PROPOSAL = GithubCheck("tests", "github-actions", None)
ON_COMMIT = GithubCheck("tests", None, "ci", CheckedCommit.GIT_COMMIT, "acme/training")
RESULTS = Column("eval.json", "correct")

LINEAGE = "lineage: {require: [git_commit], git: {repository: acme/training, branch: main}}"
CHECK = "github_check: {name: tests, app: github-actions}"
CHECK_ON_COMMIT = "github_check: {name: tests, user: ci, on: git_commit, repository: acme/training}"
SIGNED = "signed: {public_key: keys/mlops.pub}"
BETTER = "compare: {metric: accuracy, tolerance: 0.01, significance: {table: eval.json, column: correct}}"


def files(**fields: object) -> Evidence:
    return subject(**{"files": FILES, "size": 1000, **fields})


def pinned(requirements: str | None) -> Evidence:
    return files(requirements=requirements)


def proposed(answer: CiResult | Unreadable | None = None) -> Evidence:
    return replace(EVIDENCE, proposed_at=NOW, ci={ON_PROPOSAL: answer})


def committed(found: Commit | Unreadable | Unusable | None) -> Evidence:
    return replace(EVIDENCE, commits={IN_TRAINING: found})


def results(mine: object, champions: object) -> Evidence:
    return replace(
        EVIDENCE,
        subject=replace(SUBJECT, columns={RESULTS: mine}),
        champion=replace(CHAMPION, columns={RESULTS: champions}),
    )


DANGER = UnsafeCode("model.pkl", "os.system", dangerous=True)
STRANGE = UnsafeCode("model.pkl", "acme.features.Scaler", dangerous=False)

TABLE = [
    # artifact
    ("artifact: {max_size: 1000B}", files(), Status.PASS),
    ("artifact: {max_size: 1KB}", files(size=1001), Status.FAIL),
    ("artifact: {max_size: 1KiB}", files(size=1024), Status.PASS),
    ("artifact: {max_size: 0B}", files(size=0), Status.PASS),
    ("artifact: {require: [MLmodel]}", files(), Status.PASS),
    ("artifact: {require: ['**/MLmodel', '*.onnx']}", files(), Status.FAIL),
    ("artifact: {require: [mlmodel]}", files(), Status.FAIL),
    ("artifact: {forbid: ['**/*.exe']}", files(), Status.FAIL),
    ("artifact: {forbid: ['*.exe']}", files(), Status.PASS),
    ("artifact: {forbid: ['**/*.pkl']}", files(), Status.FAIL),
    ("artifact: {flavors: [sklearn, python_function]}", files(flavors=("python_function", "sklearn")), Status.PASS),
    ("artifact: {flavors: [onnx]}", files(flavors=("onnx", "python_function")), Status.FAIL),
    ("artifact: {flavors: [onnx]}", files(flavors=()), Status.FAIL),
    ("artifact: {pinned: true}", pinned("mlflow==3.1.0\n# note\nnumpy===2.0 ; python_version > '3'\n"), Status.PASS),
    ("artifact: {pinned: true}", pinned("--index-url https://x\na==1 \\\n  --hash=sha256:00\n"), Status.PASS),
    ("artifact: {pinned: true}", pinned("a @ https://x/a.whl#sha256=00"), Status.PASS),
    ("artifact: {pinned: true}", pinned("a @ https://x/a.whl"), Status.FAIL),
    ("artifact: {pinned: true}", pinned("numpy>=2\n"), Status.FAIL),
    ("artifact: {pinned: true}", pinned("numpy==2.*\n"), Status.FAIL),
    ("artifact: {pinned: true}", pinned("numpy\n"), Status.FAIL),
    ("artifact: {pinned: true}", pinned("-r other.txt\n"), Status.FAIL),
    ("artifact: {pinned: true}", pinned("not a requirement at all"), Status.FAIL),
    ("artifact: {pinned: true}", pinned(None), Status.FAIL),
    ("artifact: {pinned: true}", pinned(""), Status.PASS),
    # scan
    ("scan: {}", files(scan=()), Status.PASS),
    ("scan: {}", files(scan=(STRANGE,)), Status.PASS),
    ("scan: {}", files(scan=(DANGER,)), Status.FAIL),
    ("scan: {unknown: fail}", files(scan=(STRANGE,)), Status.FAIL),
    ("scan: {unknown: fail, allow: ['acme.features.*']}", files(scan=(STRANGE,)), Status.PASS),
    ("scan: {unknown: fail, allow: ['os.*']}", files(scan=(DANGER,)), Status.FAIL),
    ("scan: {}", files(scan=Unusable("model.bin is packed")), Status.FAIL),
    ("scan: {}", files(scan=Unreadable("away")), Status.ERROR),
    # signed
    (SIGNED, replace(EVIDENCE, signed={BY_KEY: Verified(3)}), Status.PASS),
    (SIGNED, replace(EVIDENCE, signed={BY_KEY: Unusable("it is not valid")}), Status.FAIL),
    (SIGNED, replace(EVIDENCE, signed={BY_KEY: None}), Status.FAIL),
    (SIGNED, replace(EVIDENCE, signed={BY_KEY: Unreadable("away")}), Status.ERROR),
    # lineage, in git
    (LINEAGE, committed(Commit("0f1e2d3c", True, True)), Status.PASS),
    (LINEAGE, committed(Commit("0f1e2d3c", True, False)), Status.FAIL),
    (LINEAGE, committed(Commit("0f1e2d3c", False, False)), Status.FAIL),
    (LINEAGE, committed(Unusable("no such repository")), Status.FAIL),
    (LINEAGE, committed(Unreadable("not installed")), Status.ERROR),
    (LINEAGE, committed(None), Status.PENDING),
    # run
    ("run: {registered_by: [dana, ci]}", EVIDENCE, Status.PASS),
    ("run: {registered_by: [ci]}", EVIDENCE, Status.FAIL),
    ("run: {registered_by: [ci]}", subject(user="ci"), Status.PASS),
    ("run: {registered_by: [ci]}", subject(run=replace(FINISHED, user="")), Status.FAIL),
    # github_check
    (CHECK, EVIDENCE, Status.PENDING),
    (CHECK, proposed(None), Status.PENDING),
    (CHECK, proposed(CiResult(CiState.RUNNING)), Status.PENDING),
    (CHECK, proposed(CiResult(CiState.SUCCESS)), Status.PASS),
    (CHECK, proposed(CiResult(CiState.FAILURE)), Status.FAIL),
    (CHECK, proposed(Unreadable("away")), Status.ERROR),
    (CHECK_ON_COMMIT, EVIDENCE, Status.PENDING),
    (CHECK_ON_COMMIT, replace(EVIDENCE, ci={ON_COMMIT: CiResult(CiState.SUCCESS)}), Status.PASS),
    (CHECK_ON_COMMIT, replace(EVIDENCE, ci={ON_COMMIT: CiResult(CiState.FAILURE)}), Status.FAIL),
    # soak
    ("soak: {environment: staging, for: 24h}", EVIDENCE, Status.PENDING),
    (
        "soak: {environment: staging, for: 24h}",
        replace(EVIDENCE, live_since={"staging": NOW - timedelta(hours=24)}),
        Status.PASS,
    ),
    (
        "soak: {environment: staging, for: 24h}",
        replace(EVIDENCE, live_since={"staging": NOW - timedelta(hours=24) + timedelta(seconds=1)}),
        Status.PENDING,
    ),
    (
        "soak: {environment: staging, for: 1h, metric: {name: accuracy, at_least: 0.99}}",
        replace(EVIDENCE, live_since={"staging": NOW - timedelta(hours=2)}),
        Status.FAIL,
    ),
    (
        "soak: {environment: staging, for: 1h, metric: {name: errors, at_most: 1}}",
        replace(EVIDENCE, live_since={"staging": NOW - timedelta(hours=2)}),
        Status.PENDING,
    ),
    # compare, significant
    (BETTER, results((1.0,) * 50, (1.0,) * 50), Status.PASS),
    (BETTER, results((0.0, 1.0) * 25, (1.0, 0.0) * 25), Status.FAIL),
    (BETTER, results((1.0,) * 50, (1.0,) * 49), Status.FAIL),
    (BETTER, results(None, (1.0,) * 50), Status.PENDING),
    (BETTER, results(Unusable("no table"), (1.0,) * 50), Status.FAIL),
    (BETTER, results(Unreadable("away"), (1.0,) * 50), Status.ERROR),
    (BETTER, results((1.0,) * 50, None), Status.PASS),
    (BETTER.replace("tolerance", "if_absent: fail, tolerance"), results((1.0,) * 50, None), Status.FAIL),
    (BETTER.replace("tolerance", "direction: lower, tolerance"), results((1.0,) * 9, (1.0,) * 9), Status.PASS),
    (BETTER, replace(EVIDENCE, champion=None), Status.PASS),
]


@pytest.mark.parametrize(("check", "evidence", "expected"), TABLE, ids=[f"{c[0]}-{c[2]}" for c in TABLE])
def test_a_check_says(check: str, evidence: Evidence, expected: Status) -> None:
    found = outcome(check, evidence)
    assert found.status is expected, found
    assert found.measured
    assert found.required
    if expected in (Status.FAIL, Status.ERROR):
        assert found.remedy, "what to do about it is missing"


def test_what_only_a_pull_request_can_settle_holds_back_the_merge_alone() -> None:
    for evidence in (EVIDENCE, proposed(None), proposed(CiResult(CiState.RUNNING))):
        assert outcome(CHECK, evidence).needs_proposal
    assert not outcome(CHECK_ON_COMMIT).needs_proposal


def test_a_teams_check_is_waited_for_from_the_proposal_on() -> None:
    later = NOW + timedelta(days=30)
    assert outcome(CHECK, EVIDENCE, later).status is Status.PENDING, "it has nothing to run on yet"
    opened = replace(proposed(None), proposed_at=later)
    assert outcome(CHECK, opened, later).until == later + timedelta(hours=24)
    assert outcome(CHECK, opened, later + timedelta(hours=24)).status is Status.FAIL


def test_a_soak_says_when_it_ends_and_never_times_out() -> None:
    soaking = replace(EVIDENCE, live_since={"staging": NOW})
    check = "soak: {environment: staging, for: 7d}, evidence_timeout: 1h"
    assert outcome(check, soaking, NOW + timedelta(days=6)).until == NOW + timedelta(days=7)
    assert outcome(check, EVIDENCE, NOW + timedelta(days=365)).status is Status.PENDING


def test_the_interval_is_the_same_each_time_and_narrows_with_more_examples() -> None:
    few = bootstrap_interval((1.0, 0.0, 1.0, 1.0) * 10, (1.0, 0.0, 0.0, 1.0) * 10, 0.95)
    many = bootstrap_interval((1.0, 0.0, 1.0, 1.0) * 1000, (1.0, 0.0, 0.0, 1.0) * 1000, 0.95)
    assert few == bootstrap_interval((1.0, 0.0, 1.0, 1.0) * 10, (1.0, 0.0, 0.0, 1.0) * 10, 0.95)
    assert few[0] < many[0] < 0.25 < many[1] < few[1]
    assert "differs by 0 to 0" in outcome(BETTER, results((1.0,) * 50, (1.0,) * 50)).measured


@pytest.mark.parametrize(
    ("check", "needs"),
    [
        ("artifact: {max_size: 1MB}", {Part.FILES}),
        ("artifact: {flavors: [onnx], pinned: true}", {Part.FILES, Part.MODEL_FILE, Part.REQUIREMENTS}),
        ("scan: {}", {Part.SCAN}),
        (SIGNED, {BY_KEY, Part.FILES}),
        (LINEAGE, {Part.RUN, IN_TRAINING}),
        (CHECK, {ON_PROPOSAL}),
        (CHECK_ON_COMMIT, {ON_COMMIT, Part.RUN}),
        ("soak: {environment: staging, for: 1h}", {LiveIn("staging")}),
        (BETTER, {Part.RUN, RESULTS}),
    ],
)
def test_a_check_asks_for_what_it_looks_at(check: str, needs: set[object]) -> None:
    text = f"apiVersion: promotion-bot/v1\nkind: Policy\nname: p\nchecks:\n  - {{id: c, {check}}}\n"
    assert parse_policy(text, "p.yaml").needs == needs
