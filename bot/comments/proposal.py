"""The text of a proposal's pull request: verdict first, then the evidence, then what merging does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from bot.comments.markdown import inert, prose, table
from bot.domain.gates import Fate, ProposedChange, Standing
from bot.domain.manifest import Entry
from bot.domain.pipeline import Environment, Merge
from bot.domain.world import LIVE_MARKER, ChangeKind, Evaluation
from policies.evidence import Metric, Run
from policies.verdict import Outcome, Severity, Status, Verdict

_START: Final = "<!-- promotion-bot:status -->"
_END: Final = "<!-- promotion-bot:evidence -->"

SIGNS: Final[Mapping[Status, str]] = {
    Status.PASS: "✅ pass",
    Status.FAIL: "❌ fail",
    Status.PENDING: "⏳ pending",
    Status.ERROR: "⚠️ error",
    Status.SKIPPED: "⏭️ skipped",
}
_SAYS: Final[Mapping[Status, str]] = {
    Status.PASS: "passed every required check",
    Status.FAIL: "does not pass",
    Status.PENDING: "waits for evidence",
    Status.ERROR: "cannot be judged yet",
}


def body(standing: Standing, existing: str = "") -> str:
    """The whole text. What became of the proposal is said on top; the evidence stays as it was when it was judged."""
    head = "\n".join(_status(standing))
    if standing.change is not None and standing.change.evaluation is not None:
        evidence = "\n\n".join(_evidence(standing.change, standing.change.evaluation))
    else:
        evidence = existing.partition(_END)[2].strip() if _END in existing else ""
    return f"{_START}\n{head}\n{_END}\n\n{evidence}\n"


def _status(standing: Standing) -> Iterator[str]:
    match standing.fate:
        case Fate.OPEN:
            if standing.change is not None and standing.change.evaluation is not None:
                yield from _verdict(standing.change, standing.change.evaluation)
        case Fate.LIVE:
            since = f" since {standing.since:%Y-%m-%d %H:%M} UTC" if standing.since else ""
            yield f"### 🟢 Merged and live{since}\n{LIVE_MARKER}"
        case Fate.LOST:
            yield f"### ⚠️ Merged, but its version is not in the registry any more\n{LIVE_MARKER}"
        case Fate.NO_EFFECT:
            yield f"### ⛔ Merged, but without effect\n{LIVE_MARKER}\n"
            yield "The registry stays as it was. What the change lacked:\n"
            yield from (f"- {prose(reason)}" for reason in standing.reasons)
        case Fate.MERGED:
            yield "### 🔀 Merged: the registry is being brought up to date"
        case Fate.CLOSED:
            yield "### ⚪ Closed without merging"
    if standing.superseded_by:
        yield f"\nSuperseded by #{standing.superseded_by}."
    if standing.supersedes:
        yield f"\nSupersedes #{standing.supersedes}."


def _verdict(change: ProposedChange, evaluation: Evaluation) -> Iterator[str]:
    verdict = evaluation.verdict
    sign = SIGNS[verdict.status].split()[0]
    version = f"{inert(evaluation.evidence.subject.name)} v{evaluation.entry.version}"
    yield f"### {sign} {version} for **{change.environment}** {_SAYS[verdict.status]}"
    rules = change.rules
    if rules is None:
        return
    if rules.approvals.count:
        of = ", ".join(inert(name) for name in rules.approvals.allowed) or "people who may write"
        yield f"\nNeeds {rules.approvals.count} approvals of {of} at the newest commit."
    if rules.merge is Merge.AUTO:
        yield "\nThe bot merges this pull request once every check is green."
    else:
        yield "\nMerging is the decision: the bot leaves it to you."


def _evidence(change: ProposedChange, evaluation: Evaluation) -> Iterator[str]:
    yield _count(evaluation.verdict)
    yield checks_table(evaluation.verdict.outcomes)
    remedies = [o for o in evaluation.verdict.outcomes if o.remedy and o.status is not Status.PASS]
    if remedies:
        yield "\n".join(f"- **{inert(o.check)}**: {prose(o.remedy)}" for o in remedies)
    yield from _metrics(evaluation)
    yield "\n".join(_lineage(evaluation))
    if change.rules is not None:
        yield "\n".join(_effects(change.rules, change.before, evaluation.entry))
    yield "\n".join(_rollback(change))


def _count(verdict: Verdict) -> str:
    required = [o for o in verdict.outcomes if o.severity is Severity.REQUIRED]
    passed = sum(o.status in (Status.PASS, Status.SKIPPED) for o in required)
    return f"Policy {inert(verdict.policy)}: {passed} of {len(required)} required checks passed."


def checks_table(outcomes: tuple[Outcome, ...]) -> str:
    """Every outcome: what was measured, what was required, how it came out."""
    rows = [
        (
            inert(outcome.check) + (" (advisory)" if outcome.severity is Severity.ADVISORY else ""),
            inert(outcome.measured),
            inert(outcome.required),
            SIGNS[outcome.status],
        )
        for outcome in outcomes
    ]
    return table(("Check", "Measured", "Required", "Outcome"), rows)


def _metrics(evaluation: Evaluation) -> Iterator[str]:
    subject, champion = evaluation.evidence.subject, evaluation.evidence.champion
    if not subject.metrics:
        return
    before = {(m.name, m.dataset): m.value for m in champion.metrics} if champion else {}
    rows = [_metric_row(metric, before.get((metric.name, metric.dataset))) for metric in subject.metrics[:50]]
    against = f"v{champion.version} (live)" if champion else "nothing is live yet"
    yield f"#### Metrics\n\n{table(('Metric', against, f'v{subject.version}', 'Change'), rows)}"


def _metric_row(metric: Metric, before: float | None) -> tuple[str, str, str, str]:
    name = inert(metric.name if metric.dataset is None else f"{metric.name} on {metric.dataset}")
    if before is None:
        return name, "–", f"{metric.value:.6g}", "–"
    change = metric.value - before
    arrow = "→" if change == 0 else "↑" if change > 0 else "↓"
    return name, f"{before:.6g}", f"{metric.value:.6g}", f"{arrow} {change:+.4g}"


def _lineage(evaluation: Evaluation) -> Iterator[str]:
    subject = evaluation.evidence.subject
    yield "#### Lineage\n"
    if isinstance(subject.run, Run):
        yield f"- Run: {inert(subject.run.run_id)}"
        yield f"- Trained by: {inert(subject.run.user)}"
    else:
        yield "- Run: none is recorded"
    commit = subject.lineage.get("git_commit") or subject.lineage.get("mlflow.source.git.commit")
    yield f"- Git commit: {inert(commit) if commit else 'not recorded'}"
    data = subject.lineage.get("data_version")
    yield f"- Data version: {inert(data) if data else 'not recorded'}"
    yield f"- Registered: {subject.created_at:%Y-%m-%d %H:%M} UTC"
    yield f"- Digest: {inert(evaluation.entry.digest)}"


def _effects(rules: Environment, before: Entry | None, after: Entry) -> Iterator[str]:
    yield "#### What merging does\n"
    target = rules.registry
    if target.stage:
        yield f"- v{after.version} gets the stage **{target.stage}**" + (
            f"; v{before.version} is archived unless it is live elsewhere" if before and target.archive_existing else ""
        )
    if target.alias:
        moved = f" (from v{before.version})" if before else ""
        yield f"- the alias {inert(target.alias)} points at v{after.version}{moved}"
    yield f"- the manifest, this record of it, and the registry then all say v{after.version}, release {after.release}"


def _rollback(change: ProposedChange) -> Iterator[str]:
    yield "#### How to roll back\n"
    if change.before is None or change.kind is ChangeKind.ADOPTION:
        yield "Revert this pull request: the entry is removed again."
    else:
        yield (
            f"Revert this pull request: v{change.before.version} becomes live again, and the bot proposes nothing newer"
            " until somebody says so."
        )
