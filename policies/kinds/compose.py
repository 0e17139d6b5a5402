"""`all`, `any`, `not`: checks made of checks; the outcome is a tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from policies.evidence import Evidence, Need
from policies.kinds.base import Check, Complaint, Finding, Kind
from policies.verdict import Status, worst


@dataclass(frozen=True, slots=True)
class Member:
    """One of the checks that another is made of."""

    name: str
    kind: str
    check: Check


@dataclass(frozen=True, slots=True)
class Composition:
    """Checks that are judged together by `rule`, which is described by `required`."""

    parts: tuple[Member, ...]
    required: str
    rule: Callable[[tuple[Finding, ...]], Status]

    @property
    def needs(self) -> frozenset[Need]:
        """What any of the parts needs."""
        return frozenset().union(*(part.check.needs for part in self.parts))

    def judge(self, evidence: Evidence, now: datetime) -> Finding:
        """What the parts say together; the tree of what each found goes with it."""
        findings = tuple(part.check.judge(evidence, now) for part in self.parts)
        status = self.rule(findings)
        # Only the parts that keep the whole waiting say what it waits for.
        waiting = [finding for finding in findings if finding.status is Status.PENDING]
        by_clock = [finding.until for finding in waiting if finding.until is not None]
        passed = sum(finding.status is Status.PASS for finding in findings)
        remedies = (f.remedy for f in findings if f.status is not Status.PASS and f.remedy)
        return Finding(
            status,
            f"{passed} of {len(findings)} pass",
            self.required,
            " ".join(dict.fromkeys(remedies)),
            until=min(by_clock) if status is Status.PENDING and len(by_clock) == len(waiting) else None,
            since=max((f.since for f in waiting if f.since is not None), default=None),
            needs_proposal=status is Status.PENDING and all(finding.needs_proposal for finding in waiting),
            conclusive=all(finding.conclusive for finding in findings),
            parts=tuple((p.name, p.kind, f) for p, f in zip(self.parts, findings, strict=True)),
        )


def _every(findings: tuple[Finding, ...]) -> Status:
    return worst(finding.status for finding in findings)


def _some(findings: tuple[Finding, ...]) -> Status:
    """One pass is enough; without one, what may still become a pass is waited for."""
    found = {finding.status for finding in findings}
    return next((s for s in (Status.PASS, Status.ERROR, Status.PENDING) if s in found), Status.FAIL)


def _none(findings: tuple[Finding, ...]) -> Status:
    """The opposite of a pass or of a fail that means one; nothing else turns round."""
    (finding,) = findings
    if finding.status is Status.FAIL and finding.conclusive:
        return Status.PASS
    return Status.FAIL if finding.status is Status.PASS else finding.status


@dataclass(frozen=True, slots=True)
class _Opposite:
    """A check whose words are turned round as its outcome is."""

    composition: Composition

    @property
    def needs(self) -> frozenset[Need]:
        return self.composition.needs

    def judge(self, evidence: Evidence, now: datetime) -> Finding:
        found = self.composition.judge(evidence, now)
        ((_, _, inner),) = found.parts
        remedy = "Change what makes the inner check pass." if found.status is Status.FAIL else ""
        return replace(found, measured=inner.measured, required=f"not: {inner.required}", remedy=remedy)


_RULES: Final = {"all": (_every, "every part passes"), "any": (_some, "at least one part passes")}


def compositions(kinds: Mapping[str, Kind]) -> tuple[Kind, ...]:
    """The kinds that are made of `kinds`, which holds these too once they are known."""

    def part(said: Mapping[str, Any], name: str) -> Member:
        kind = next(k for k in kinds if k in said)
        return Member(said.get("id", name), kind, kinds[kind].read(said[kind]))

    def parts(said: list[Mapping[str, Any]]) -> tuple[Member, ...]:
        return tuple(part(each, str(position)) for position, each in enumerate(said, 1))

    def complaints_of(said: Mapping[str, Any]) -> Iterator[Complaint]:
        named = [k for k in kinds if k in said]
        if len(named) != 1:
            yield (), f"a part has exactly one kind of {', '.join(kinds)}; found {' and '.join(named) or 'none'}"
            return
        for below, message in kinds[named[0]].complaints(said[named[0]]):
            yield (named[0], *below), message

    def complaints(said: list[Mapping[str, Any]]) -> Iterator[Complaint]:
        for position, each in enumerate(said):
            for below, message in complaints_of(each):
                yield (position, *below), message

    def read(name: str) -> Callable[[Any], Check]:
        rule, required = _RULES[name]
        return lambda said: Composition(parts(said), required, rule)

    several = {"type": "array", "minItems": 1, "maxItems": 50, "items": {"$ref": "#/$defs/part"}}
    return (
        Kind("all", "Every one of several checks passes.", several, read("all"), complaints),
        Kind("any", "At least one of several checks passes.", several, read("any"), complaints),
        Kind(
            "not",
            "A check does not pass.",
            {"$ref": "#/$defs/part"},
            lambda said: _Opposite(Composition((part(said, "1"),), "the part does not pass", _none)),
            complaints_of,
        ),
    )
