"""Evaluating a policy: every check on the same evidence, each on its own."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from policies.evidence import Evidence
from policies.kinds.base import Finding
from policies.policy import Policy, PolicyCheck
from policies.verdict import Outcome, Status, Verdict


def evaluate(policy: Policy, evidence: Evidence, now: datetime) -> Verdict:
    """The verdict of `policy` on `evidence` at the moment `now`. A policy that parsed never raises here."""
    return Verdict(policy.name, tuple(_outcome(check, evidence, now) for check in policy.checks))


def _outcome(check: PolicyCheck, evidence: Evidence, now: datetime) -> Outcome:
    finding = _in_time(check, _found(check, evidence, now), evidence, now)
    remedy = "" if finding.status in (Status.PASS, Status.SKIPPED) else check.remedy or finding.remedy
    return Outcome(
        check=check.id,
        kind=check.kind,
        status=finding.status,
        measured=finding.measured,
        required=finding.required,
        remedy=remedy,
        severity=check.severity,
        until=finding.until,
        needs_proposal=finding.needs_proposal,
        children=_children(finding, check),
    )


def _found(check: PolicyCheck, evidence: Evidence, now: datetime) -> Finding:
    """What the check found; skipped where its condition is false, never where nobody can tell."""
    if check.when is not None:
        condition = check.when.judge(evidence, now)
        if condition.status is Status.FAIL and condition.conclusive:
            return Finding(Status.SKIPPED, f"does not apply: {check.when.source}", "only when that is true")
        if condition.status is not Status.PASS:
            return condition
    return check.check.judge(evidence, now)


def _in_time(check: PolicyCheck, finding: Finding, evidence: Evidence, now: datetime) -> Finding:
    """A pending finding with the moment at which its evidence is not waited for any longer, or failed by it."""
    has_nothing_to_run_on = finding.needs_proposal and evidence.proposed_at is None
    if finding.status is not Status.PENDING or finding.until is not None or has_nothing_to_run_on:
        return finding
    until = (finding.since or evidence.asked_at) + check.timeout
    if now < until:
        return replace(finding, until=until)
    measured = f"{finding.measured}; waited until {until:%Y-%m-%d %H:%M} UTC"
    return replace(finding, status=Status.FAIL, measured=measured)


def _children(finding: Finding, check: PolicyCheck) -> tuple[Outcome, ...]:
    return tuple(
        Outcome(
            check=name,
            kind=kind,
            status=part.status,
            measured=part.measured,
            required=part.required,
            remedy="" if part.status is Status.PASS else part.remedy,
            severity=check.severity,
            until=part.until,
            needs_proposal=part.needs_proposal,
            children=_children(part, check),
        )
        for name, kind, part in finding.parts
    )
