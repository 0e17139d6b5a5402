"""The texts of the three checks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bot.comments.markdown import inert, plain, prose, table
from bot.comments.proposal import checks_table
from bot.domain import naming
from bot.domain.authorisation import WINDOW
from bot.domain.backtest import Backtested, Difference, counted
from bot.domain.gates import Gate, ProposedChange
from bot.domain.manifest import Entry
from bot.domain.pull_requests import Check, CheckName, CheckState
from policies.verdict import Status

_MOST_ROWS = 100


def check(gate: Gate) -> Check:
    """The gate as the check that people see."""
    return Check(gate.name, gate.state, _title(gate), "\n\n".join(_summary(gate)), gate.fingerprint)


def backtest(rows: Sequence[Backtested], fingerprint: str) -> Check:
    """Whom changed policies would refuse and accept; for people, so it is green whatever it says."""
    counts = counted(rows)
    refused, accepted = counts[Difference.NEWLY_REFUSED], counts[Difference.NEWLY_ACCEPTED]
    title = f"Of {len(rows)} decisions {refused} newly refused, {accepted} newly accepted"
    changed = [row for row in rows if row.difference in (Difference.NEWLY_REFUSED, Difference.NEWLY_ACCEPTED)]
    cells = [
        (
            f"{inert(row.model)} v{row.version}",
            row.environment,
            row.difference,
            ", ".join(inert(f"{o.check}: {o.measured}", 100) for o in row.verdict.having(Status.FAIL)) or "–",
        )
        for row in changed[:_MOST_ROWS]
    ]
    parts = [
        "What the changed policies would have decided on the versions of the last 90 days, by what MLflow says now."
    ]
    if cells:
        parts.append(table(("Version", "Environment", "Difference", "Why"), cells))
    if len(changed) > _MOST_ROWS:
        parts.append(f"… and {len(changed) - _MOST_ROWS} more.")
    return Check(naming.BACKTEST_CHECK, CheckState.SUCCESS, title, "\n\n".join(parts), fingerprint)


def judging(environment: str, model: str) -> Check:
    """A change pushed to the default branch that waits for its judgement."""
    summary = "The window is judged for the moment at which this check was started."
    return _of_commit(environment, model, CheckState.IN_PROGRESS, "Judging the pushed change", summary)


def takes_effect(environment: str, model: str) -> Check:
    """A change pushed to the default branch that takes effect."""
    return _of_commit(environment, model, CheckState.SUCCESS, "The pushed change takes effect", "")


def has_no_effect(environment: str, model: str, reasons: Sequence[str]) -> Check:
    """A change on the default branch that has no effect, with everything that it lacks."""
    title = reasons[0] if reasons else "This change has no effect"
    summary = "\n".join(f"- {prose(reason)}" for reason in reasons)
    return _of_commit(environment, model, CheckState.FAILURE, plain(title, 250), summary)


def _of_commit(environment: str, model: str, state: CheckState, title: str, summary: str) -> Check:
    return Check(naming.commit_check(environment, model), state, title, summary)


def _title(gate: Gate) -> str:
    warning = "Changes the rules! " if gate.warnings else ""
    if gate.reasons:
        more = f" (+{len(gate.reasons) - 1} more)" if len(gate.reasons) > 1 else ""
        return plain(f"{warning}{gate.reasons[0]}{more}", 250)
    if not gate.changes:
        return warning + "Not a promotion"
    match gate.name:
        case CheckName.POLICY if gate.state is CheckState.SUCCESS:
            return warning + "Every required check passed"
        case CheckName.APPROVALS:
            return warning + _approved_by(gate)
        case CheckName.WINDOW:
            return warning + _window(gate)
        case _:
            return warning + "Waiting for evidence"


def _window(gate: Gate) -> str:
    overrides = {change.overrides[WINDOW].by for change in gate.changes if WINDOW in change.overrides}
    return f"Overridden by {', '.join(sorted(overrides))}" if overrides else "The window is open"


def _approved_by(gate: Gate) -> str:
    logins = sorted({login for change in gate.changes if change.approvals for login in change.approvals.approved_by})
    return f"Approved by {', '.join(logins)}" if logins else "No approval is needed"


def _summary(gate: Gate) -> Iterator[str]:
    if gate.warnings:
        yield "**This pull request changes the rules that later promotions are judged by:**"
        yield "\n".join(f"- {inert(warning)}" for warning in gate.warnings)
    if gate.reasons:
        yield "\n".join(f"- {prose(reason)}" for reason in gate.reasons)
    for change in gate.changes:
        yield f"**{inert(change.model)} in {inert(change.environment)}**: {_move(change)}"
        if gate.name is CheckName.POLICY and change.evaluation is not None:
            yield checks_table(change.evaluation.verdict.outcomes)
        if gate.name is CheckName.APPROVALS and change.approvals is not None and change.approvals.not_counted:
            yield "\n".join(f"- not counted: {prose(reason)}" for reason in change.approvals.not_counted)
    if gate.fingerprint:
        yield f"Evidence fingerprint: `{gate.fingerprint}`"
    if not gate.changes and not gate.reasons:
        yield "This pull request changes no entry of the versions manifest."


def _move(change: ProposedChange) -> str:
    return f"{_version(change.before)} → {_version(change.after)} ({change.kind})"


def _version(entry: Entry | None) -> str:
    return f"v{entry.version}" if entry else "nothing"
