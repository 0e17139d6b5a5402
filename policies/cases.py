"""Test cases of a policy: evidence as an author writes it down, and how each check must come out on it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from policies.documents import Document, InvalidDocument, Problem, load, nearest
from policies.durations import parse_duration
from policies.engine import evaluate
from policies.evidence import (
    CiResult,
    CiState,
    Column,
    Commit,
    Evidence,
    File,
    GithubCheck,
    Metric,
    Need,
    OnBranch,
    Recorded,
    Run,
    RunStatus,
    SignedBy,
    StoredDirectory,
    Tracked,
    TrackedOutput,
    Unreadable,
    UnsafeCode,
    Unusable,
    Verified,
    VersionEvidence,
)
from policies.kinds.artifact import parse_size
from policies.policy import Policy
from policies.verdict import Outcome, Status, Verdict

NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)  # any moment will do: cases speak of durations
_VERDICT: Final = "verdict"
_SOON: Final = "1h"


@dataclass(frozen=True, slots=True)
class Case:
    """One case: what is `given`, and the expected outcome of a check by its id, or of the whole as `verdict`."""

    name: str
    given: Mapping[str, Any]
    expect: Mapping[str, Status]


@dataclass(frozen=True, slots=True)
class CaseResult:
    """How one case came out; `wrong` are the expectations that do not hold, with what was found instead."""

    case: Case
    verdict: Verdict
    wrong: tuple[tuple[str, Status, Status], ...]

    def outcome(self, check: str) -> Outcome | None:
        """The outcome of a check; None for the whole."""
        return next((o for o in self.verdict.outcomes if o.check == check), None)


def parse_cases(text: str | bytes, source: str, policy: Policy) -> tuple[Case, ...]:
    """The cases that `text` holds for `policy`; raises InvalidDocument with all that is wrong in it."""
    document = load(text, source, "policy-test")
    problems = list(_problems(document, policy))
    if problems:
        raise InvalidDocument(problems)
    return tuple(
        Case(row["name"], row.get("given", {}), {check: Status(said) for check, said in row["expect"].items()})
        for row in document.data["cases"]
    )


def run_case(policy: Policy, case: Case) -> CaseResult:
    """The verdict of `policy` on what a case gives, held against what it expects."""
    verdict = evaluate(policy, given_evidence(case.given, policy.needs), NOW)
    found = {_VERDICT: verdict.status, **{o.check: o.status for o in verdict.outcomes}}
    wrong = tuple((name, said, found[name]) for name, said in case.expect.items() if found[name] is not said)
    return CaseResult(case, verdict, wrong)


def never_failing(policy: Policy, results: tuple[CaseResult, ...]) -> tuple[str, ...]:
    """The policy's own checks that no case makes fail, nor wait where only time passes: who knows whether they can?"""
    outcomes = [outcome for result in results for outcome in result.verdict.outcomes]
    failed = {o.check for o in outcomes if o.status is Status.FAIL}
    failed |= {o.check for o in outcomes if o.kind == "soak" and o.status is Status.PENDING}
    own = policy.sources[0]
    return tuple(check.id for check in policy.checks if check.source == own and check.id not in failed)


def given_evidence(given: Mapping[str, Any], needs: frozenset[Need]) -> Evidence:
    """What a case gives, as evidence that answers the needs of its policy."""
    subject = _version(given, 2, needs)
    champion = _version(given["champion"], 1, needs) if given.get("champion") else None
    proposed = "ci" in given
    return Evidence(
        environment=given.get("environment", "production"),
        subject=subject,
        champion=champion,
        asked_at=subject.created_at,
        proposed_at=NOW if proposed else None,
        signed={need: _signed(given.get("signed")) for need in needs if isinstance(need, SignedBy)},
        commits={need: _commit(given.get("commit")) for need in needs if isinstance(need, OnBranch)},
        ci={need: _ci(given.get("ci", {}).get(need.name)) for need in needs if isinstance(need, GithubCheck)},
        tracked={need: _tracked(given.get("data"), need, subject) for need in needs if isinstance(need, Tracked)},
        live_since={name: NOW - parse_duration(said) for name, said in given.get("live_for", {}).items()},
    )


def _version(given: Mapping[str, Any], number: int, needs: frozenset[Need]) -> VersionEvidence:
    files = tuple(File(path, parse_size(said)) for path, said in sorted(given.get("files", {}).items()))
    results = given.get("results", {})
    return VersionEvidence(
        name=given.get("model", "model"),
        version=given.get("version", number),
        created_at=NOW - parse_duration(given.get("registered", _SOON)),
        run=_run(given),
        metrics=tuple(_metrics(given.get("metrics", {}))),
        tags=_texts(given.get("tags", {})),
        model_tags=_texts(given.get("model_tags", {})),
        signature=_signature(given.get("signature")),
        digest="sha256:" + "0" * 64,
        size=sum(file.size for file in files),
        user=given.get("user", ""),
        files=files,
        flavors=tuple(given.get("flavors", ())),
        requirements=given.get("requirements"),
        scan=_scan(given.get("scan", [])),
        columns={
            need: tuple(map(float, results[need.column])) if need.column in results else None
            for need in needs
            if isinstance(need, Column)
        },
    )


def _run(given: Mapping[str, Any]) -> Run | None:
    said = given.get("run", {})
    if said is None:
        return None
    status = RunStatus(said.get("status", "FINISHED"))
    return Run("run", status, said.get("user", ""), _texts(given.get("params", {})), _texts(said.get("tags", {})))


def _metrics(said: Mapping[str, Any]) -> Iterator[Metric]:
    for name, value in said.items():
        if isinstance(value, Mapping):
            yield from (Metric(name, float(each), dataset) for dataset, each in value.items())
        else:
            yield Metric(name, float(value))


def _texts(said: Mapping[str, Any]) -> dict[str, str]:
    """Tags and parameters are texts in MLflow, whatever YAML takes them for."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in said.items()}


def _signature(said: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    return None if said is None else {part: json.dumps(columns) for part, columns in said.items()}


def _scan(said: str | list[Mapping[str, Any]]) -> tuple[UnsafeCode, ...] | Unusable:
    if isinstance(said, str):
        return Unusable(said)
    return tuple(UnsafeCode(row["path"], row["what"], row.get("dangerous", False)) for row in said)


def _signed(said: bool | None) -> Verified | Unusable | None:
    return {True: Verified(1), False: Unusable("it is not valid"), None: None}[said]


def _commit(said: str | None) -> Commit | None:
    answers = {"on_branch": (True, True), "elsewhere": (True, False), "missing": (False, False)}
    return Commit("0" * 40, *answers[said]) if said else None


def _tracked(said: str | None, need: Tracked, subject: VersionEvidence) -> TrackedOutput | Unreadable | Unusable | None:
    """What DVC has, told by how it differs from what the version says."""
    tag = "data_hash" if need.of is Recorded.DATA else "model_hash"
    recorded, other = subject.lineage.get(tag, ""), "md5:" + "0" * 32
    found = TrackedOutput(subject.commit or "", need.output or need.file, recorded, recorded, "the remote", stored=True)
    match said:
        case "as_recorded":
            return found
        case "changed":
            return replace(found, hash=other)
        case "other_version":
            return replace(found, hash_at_version=other)
        case "deleted":
            return replace(found, stored=False)
        case "incomplete":
            return replace(found, stored=StoredDirectory(files=2, looked_for=2, missing="a/file"))
        case "untracked":
            return Unusable(f"{need.file} is not in {need.repository} at the training commit")
        case "unreachable":
            return Unreadable("the DVC remote does not answer")
        case _:
            return None


def _ci(said: str | None) -> CiResult | None:
    return CiResult(CiState(said)) if said else None


def _problems(document: Document, policy: Policy) -> Iterator[Problem]:
    known = [_VERDICT, *(check.id for check in policy.checks)]
    seen: set[str] = set()
    for i, row in enumerate(document.data["cases"]):
        if row["name"] in seen:
            yield document.problem_at(("cases", i, "name"), f"there are two cases “{row['name']}”")
        seen.add(row["name"])
        for check in row["expect"]:
            if check not in known:
                message = f"the policy has no check “{check}”{nearest(check, known)}"
                yield document.problem_at(("cases", i, "expect", check), message)
