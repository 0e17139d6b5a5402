"""A policy: the checks that a version must pass, read from YAML with every complaint at its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from policies.documents import Document, InvalidDocument, Problem, load
from policies.durations import parse_duration
from policies.evidence import Need, OnBranch
from policies.kinds import KINDS
from policies.kinds.base import Check
from policies.kinds.data import named_repositories, without_repository
from policies.kinds.expression import Expression
from policies.verdict import Severity

DEFAULT_TIMEOUT: Final = timedelta(hours=24)
_SAFETY: Final = frozenset({"scan", "signed"})
_DEEPEST: Final = 5  # policies that extend each other in a line
_MOST_FILES: Final = 20  # that one policy extends, directly or through others; each is read from GitHub

ReadFile = Callable[[str], bytes | None]


@dataclass(frozen=True, slots=True)
class PolicyCheck:
    """One check of a policy; evidence that is missing for `timeout` fails it.

    Where `when` is false the check is skipped. `source` is the file that the check stands in.
    """

    id: str
    kind: str
    check: Check
    severity: Severity = Severity.REQUIRED
    remedy: str = ""
    timeout: timedelta = DEFAULT_TIMEOUT
    when: Expression | None = None
    source: str = ""

    @property
    def needs(self) -> frozenset[Need]:
        """What has to be read for it."""
        return self.check.needs | (self.when.needs if self.when else frozenset())


@dataclass(frozen=True, slots=True)
class Policy:
    """A parsed policy. `sources` are its file and those of the policies that it extends."""

    name: str
    checks: tuple[PolicyCheck, ...]
    sources: tuple[str, ...] = ()

    @property
    def needs(self) -> frozenset[Need]:
        """What has to be read for all its checks."""
        return frozenset().union(*(check.needs for check in self.checks))

    @property
    def safety(self) -> Policy:
        """The checks that also a version has to pass that was live before: whether its files are safe to load."""
        return replace(self, checks=tuple(check for check in self.checks if check.kind in _SAFETY))


def parse_policy(text: str | bytes, source: str, read_file: ReadFile = lambda _: None) -> Policy:
    """The policy that `text` is; raises InvalidDocument with all that is wrong in it.

    `read_file` gives the content of a file of the deploy repository by its path, for the policies that it extends.
    """
    return _parse(text, source, _Files(read_file), (source,))


@dataclass(slots=True)
class _Files:
    """The repository's files, of which one policy may have `left` more read: ten that extend ten each are many."""

    read: ReadFile
    left: int = _MOST_FILES


def _parse(text: str | bytes, source: str, files: _Files, line: tuple[str, ...]) -> Policy:
    document = load(text, source, "policy")
    problems = list(_problems(document))
    data = document.data
    inherited: dict[str, PolicyCheck] = {}
    sources = [source]
    for position, path in enumerate(data.get("extends", ())):
        try:
            base = _extended(document, position, path, files, line)
        except InvalidDocument as invalid:
            problems += invalid.problems
            continue
        inherited |= {check.id: check for check in base.checks}
        sources += base.sources
    problems += _settle_repositories(document, inherited)
    if problems:
        raise InvalidDocument(problems)
    timeout = parse_duration(data["evidence_timeout"]) if "evidence_timeout" in data else DEFAULT_TIMEOUT
    own = {row["id"]: _check(row, timeout, source) for row in data["checks"]}
    return Policy(data["name"], tuple({**inherited, **own}.values()), tuple(dict.fromkeys(sources)))


def _settle_repositories(document: Document, inherited: Mapping[str, PolicyCheck]) -> Iterator[Problem]:
    """Have every `data` check name its repository: the one of the `lineage` checks, where they look into one only."""
    rows = document.data["checks"]
    own = {row["id"] for row in rows}
    named = set[str]().union(*(named_repositories(row) for row in rows))
    for check in inherited.values():
        if check.id not in own:
            named |= {need.repository for need in check.needs if isinstance(need, OnBranch)}
    for position, row in enumerate(rows):
        for place, said in without_repository(row, ("checks", position)):
            if len(named) == 1:
                said["repository"] = next(iter(named))
            else:
                found = f"look into {' and '.join(sorted(named))}" if named else "name none with `git`"
                message = f"lacks the key “repository”: the policy's lineage checks {found}"
                yield document.problem_at(place, message)


def _extended(document: Document, position: int, path: str, files: _Files, line: tuple[str, ...]) -> Policy:
    place = ("extends", position)
    if path in line:
        raise InvalidDocument((document.problem_at(place, f"{' → '.join((*line, path))} go round in a circle"),))
    if len(line) >= _DEEPEST:
        raise InvalidDocument((document.problem_at(place, f"more than {_DEEPEST} policies extend each other"),))
    if files.left == 0:
        raise InvalidDocument((document.problem_at(place, f"more than {_MOST_FILES} policies are extended in all"),))
    files.left -= 1
    content = files.read(path)
    if content is None:
        raise InvalidDocument((document.problem_at(place, f"there is no file “{path}” in this repository"),))
    return _parse(content, path, files, (*line, path))


def _check(row: dict[str, Any], timeout: timedelta, source: str) -> PolicyCheck:
    kind = next(name for name in KINDS if name in row)
    return PolicyCheck(
        id=row["id"],
        kind=kind,
        check=KINDS[kind].read(row[kind]),
        severity=Severity(row.get("severity", "required")),
        remedy=row.get("remedy", ""),
        timeout=parse_duration(row["evidence_timeout"]) if "evidence_timeout" in row else timeout,
        when=Expression(row["when"]) if "when" in row else None,
        source=source,
    )


def _problems(document: Document) -> Iterator[Problem]:
    """What a schema cannot say: double ids, no kind or two, bounds that nothing meets."""
    seen: set[str] = set()
    for i, row in enumerate(document.data["checks"]):
        place = ("checks", i)
        if row["id"] in seen:
            yield document.problem_at((*place, "id"), f"there are two checks “{row['id']}”")
        seen.add(row["id"])
        if "when" in row:
            for below, message in KINDS["expression"].complaints(row["when"]):
                yield document.problem_at((*place, "when", *below), message)
        kinds = [name for name in KINDS if name in row]
        if len(kinds) != 1:
            found = " and ".join(kinds) or "none"
            known = ", ".join(KINDS)
            yield document.problem_at(place, f"a check has exactly one kind of {known}; found {found}")
            continue
        for below, message in KINDS[kinds[0]].complaints(row[kinds[0]]):
            yield document.problem_at((*place, kinds[0], *below), message)
