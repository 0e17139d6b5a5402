"""Evaluating a policy: every check on the same evidence, each on its own."""

from __future__ import annotations

from datetime import datetime

from policies.evidence import Evidence
from policies.policy import Policy, PolicyCheck
from policies.verdict import Outcome, Status, Verdict


def evaluate(policy: Policy, evidence: Evidence, now: datetime) -> Verdict:
    """The verdict of `policy` on `evidence` at the moment `now`. A policy that parsed never raises here."""
    return Verdict(policy.name, tuple(_outcome(check, evidence, now) for check in policy.checks))


def _outcome(check: PolicyCheck, evidence: Evidence, now: datetime) -> Outcome:
    finding = check.check.judge(evidence)
    status, measured, until = finding.status, finding.measured, None
    if status is Status.PENDING:
        until = evidence.asked_at + check.timeout
        if now >= until:
            status = Status.FAIL
            measured = f"{measured}; waited until {until:%Y-%m-%d %H:%M} UTC"
            until = None
    remedy = "" if status is Status.PASS else check.remedy or finding.remedy
    return Outcome(
        check=check.id,
        kind=check.kind,
        status=status,
        measured=measured,
        required=finding.required,
        remedy=remedy,
        severity=check.severity,
        until=until,
    )
