"""A policy: the checks that a version must pass, read from YAML with every complaint at its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from policies.documents import Document, InvalidDocument, Problem, load
from policies.durations import parse_duration
from policies.kinds import KINDS
from policies.kinds.base import Check
from policies.verdict import Severity

DEFAULT_TIMEOUT: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class PolicyCheck:
    """One check of a policy; evidence that is missing for `timeout` fails it."""

    id: str
    kind: str
    check: Check
    severity: Severity = Severity.REQUIRED
    remedy: str = ""
    timeout: timedelta = DEFAULT_TIMEOUT


@dataclass(frozen=True, slots=True)
class Policy:
    """A parsed policy."""

    name: str
    checks: tuple[PolicyCheck, ...]


def parse_policy(text: str | bytes, source: str) -> Policy:
    """The policy that `text` is; raises InvalidDocument with all that is wrong in it."""
    document = load(text, source, "policy")
    problems = list(_problems(document))
    if problems:
        raise InvalidDocument(problems)
    data = document.data
    timeout = parse_duration(data["evidence_timeout"]) if "evidence_timeout" in data else DEFAULT_TIMEOUT
    return Policy(data["name"], tuple(_check(row, timeout) for row in data["checks"]))


def _check(row: dict[str, Any], timeout: timedelta) -> PolicyCheck:
    kind = next(name for name in KINDS if name in row)
    return PolicyCheck(
        id=row["id"],
        kind=kind,
        check=KINDS[kind].read(row[kind]),
        severity=Severity(row.get("severity", "required")),
        remedy=row.get("remedy", ""),
        timeout=parse_duration(row["evidence_timeout"]) if "evidence_timeout" in row else timeout,
    )


def _problems(document: Document) -> Iterator[Problem]:
    """What a schema cannot say: double ids, no kind or two, bounds that nothing meets."""
    seen: set[str] = set()
    for i, row in enumerate(document.data["checks"]):
        place = ("checks", i)
        if row["id"] in seen:
            yield document.problem_at((*place, "id"), f"there are two checks “{row['id']}”")
        seen.add(row["id"])
        kinds = [name for name in KINDS if name in row]
        if len(kinds) != 1:
            found = " and ".join(kinds) or "none"
            known = ", ".join(KINDS)
            yield document.problem_at(place, f"a check has exactly one kind of {known}; found {found}")
            continue
        for below, message in KINDS[kinds[0]].complaints(row[kinds[0]]):
            yield document.problem_at((*place, kinds[0], *below), message)
