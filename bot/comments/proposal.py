"""The text of a proposal's pull request: verdict first, then the evidence, then what merging does."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from bot.comments import lineage
from bot.comments.markdown import escaped, inert, prose, table
from bot.domain.authorisation import WINDOW
from bot.domain.gates import Fate, ProposedChange, Standing
from bot.domain.instructions import HoldKind
from bot.domain.manifest import Entry
from bot.domain.pipeline import Environment, Merge
from bot.domain.world import LIVE_MARKER, ChangeKind, Evaluation
from policies.evidence import Metric
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
    if len(standing.changes) > 1:
        evidence = "\n\n".join(_sections(standing.changes))
    elif standing.change is not None and standing.change.evaluation is not None:
        picture = [_picture(standing)] if standing.fate is Fate.OPEN and standing.pipeline else []
        evidence = "\n\n".join(
            [
                *_overrides(standing.change, standing.change.evaluation.verdict),
                *picture,
                *_evidence(standing.change, standing.change.evaluation),
                *_origin(standing, standing.change.evaluation),
                *_consequences(standing.change, standing.change.evaluation),
            ]
        )
    else:
        evidence = existing.partition(_END)[2].strip() if _END in existing else ""
    return f"{_START}\n{head}\n{_END}\n\n{evidence}\n"


def _status(standing: Standing) -> Iterator[str]:
    match standing.fate:
        case Fate.OPEN:
            yield from _open(standing)
        case Fate.LIVE:
            since = f" since {standing.since:%Y-%m-%d %H:%M} UTC" if standing.since else ""
            yield f"### 🟢 Merged and live{since}\n{LIVE_MARKER}"
            if standing.went_back:
                yield "\n⏸️ It went back, so nothing newer is proposed until `/resume` or a newer `/promote`."
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


def _picture(standing: Standing) -> str:
    """The pipeline with what is live in each environment, and this promotion's place in it."""
    changes = {change.environment: change for change in (standing.change,) if change is not None}
    boxes, arrows = [], []
    for position, (environment, entry) in enumerate(standing.pipeline):
        live = f"v{entry.version}" if entry else "–"
        change = changes.get(environment)
        if change is not None and change.after is not None:
            live = f"{live} → v{change.after.version}"
            boxes.append(f"  style e{position} stroke-width:3px")
        boxes.insert(position, f'  e{position}["{environment}<br/>{live}"]')
        if position:
            arrows.append(f"  e{position - 1} --> e{position}")
    return "\n".join(["```mermaid", "flowchart LR", *boxes, *arrows, "```"])


def _open(standing: Standing) -> Iterator[str]:
    """What an open proposal says first: its verdict, and what keeps it."""
    if len(standing.changes) > 1:
        yield from _batch(standing.changes)
    elif standing.change is not None and standing.change.evaluation is not None:
        yield from _verdict(standing.change, standing.change.evaluation)
    if standing.request is not None:
        yield f"\nAsked for by {inert(standing.request.by)} in {standing.request.source}."
    if standing.not_merged:
        yield f"\n🙋 GitHub does not let the bot merge this ({prose(standing.not_merged)}), so it is left to people."
    going_back = standing.change is not None and standing.change.kind is ChangeKind.ROLLBACK
    if standing.hold is not None and not (going_back and standing.hold.kind is HoldKind.ROLLBACK):
        yield f"\n⏸️ **On hold**: {prose(str(standing.hold))}. The bot merges nothing here until `/resume`."


def _batch(changes: Sequence[ProposedChange]) -> Iterator[str]:
    """A batch in a line, and what it needs."""
    judged = [change.evaluation for change in changes if change.evaluation is not None]
    passed = sum(evaluation.verdict.status is Status.PASS for evaluation in judged)
    sign = SIGNS[Status.PASS if passed == len(changes) else Status.PENDING].split()[0]
    environments = " and ".join(sorted({change.environment for change in changes}))
    yield f"### {sign} {passed} of {len(changes)} models for **{environments}** passed every required check"
    if changes[0].rules is not None:
        yield from _needs(changes[0].rules, changes[0].rules.approvals.count)


def _sections(changes: Sequence[ProposedChange]) -> Iterator[str]:
    """One section a model, folded."""
    for change in changes:
        if change.evaluation is not None and change.after is not None:
            sign = SIGNS[change.evaluation.verdict.status].split()[0]
            before = f"v{change.before.version}" if change.before else "nothing"
            title = f"{sign} {escaped(change.model)}: {before} → v{change.after.version}"
            text = "\n\n".join((*_evidence(change, change.evaluation), *_consequences(change, change.evaluation)))
            yield f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"


def _verdict(change: ProposedChange, evaluation: Evaluation) -> Iterator[str]:
    verdict = evaluation.verdict
    sign = SIGNS[verdict.status].split()[0]
    version = f"{inert(evaluation.evidence.subject.name)} v{evaluation.entry.version}"
    rules = change.rules
    if change.kind is ChangeKind.ROLLBACK:
        safe = "" if verdict.status is Status.PASS else f", which {_SAYS[verdict.status]}"
        yield f"### ⏪ **{change.environment}** goes back to {version}{safe}"
    else:
        overridden = sum(bool(outcome.override) for outcome in verdict.outcomes)
        says = _SAYS[verdict.status]
        if overridden and verdict.status is Status.PASS:
            says = f"passes with {overridden} check{'' if overridden == 1 else 's'} overridden"
        yield f"### {sign} {version} for **{change.environment}** {says}"
    if rules is None:
        return
    if verdict.status is Status.FAIL:
        yield "\n**Next:** see below what each failed check asks for. Merging as it is has no effect."
        return
    yield from _needs(rules, rules.rollback.approvals if change.kind is ChangeKind.ROLLBACK else rules.approvals.count)


def _needs(rules: Environment, needed: int) -> Iterator[str]:
    """What the reader has to do next."""
    steps = []
    if needed:
        of = ", ".join(inert(name) for name in rules.approvals.allowed) or "people who may write"
        steps.append(f"{needed} approval{'' if needed == 1 else 's'} of {of} at the newest commit")
    if rules.merge is Merge.AUTO:
        steps.append("the bot merges this pull request once every check is green")
    else:
        steps.append("merging is the decision, and the bot leaves it to you")
    yield f"\n**Next:** {'; then '.join(steps)}."


def _overrides(change: ProposedChange, verdict: Verdict) -> Iterator[str]:
    for outcome in verdict.outcomes:
        if outcome.override:
            yield f"⚠️ {inert(outcome.check)} failed and was overridden by {prose(outcome.override)}"
    if WINDOW in change.overrides:
        override = change.overrides[WINDOW]
        who = f"{inert(override.by)} in {override.source}"
        yield f"⚠️ The window was overridden by {who}: {prose(override.told.reason)}"


def _evidence(change: ProposedChange, evaluation: Evaluation) -> Iterator[str]:
    if change.kind is ChangeKind.ROLLBACK:
        yield "It was approved when it was promoted; only that its files are the same and safe is checked again."
    if evaluation.verdict.outcomes:
        yield _count(evaluation.verdict)
        yield checks_table(evaluation.verdict.outcomes)
    remedies = [o for o in evaluation.verdict.outcomes if o.remedy and o.status is not Status.PASS]
    if remedies:
        yield "\n".join(f"- **{inert(o.check)}**: {prose(o.remedy)}" for o in remedies)
    yield from _metrics(evaluation)
    digest = [f"- Digest: {inert(evaluation.entry.digest)}"] if evaluation.entry.digest else []
    yield "\n".join([*lineage.listed(evaluation.evidence.subject), *digest])


def _origin(standing: Standing, evaluation: Evaluation) -> Iterator[str]:
    """The picture of where an open proposal's version comes from and where it goes."""
    if standing.fate is Fate.OPEN and standing.change is not None:
        version, environment = evaluation.entry.version, standing.change.environment
        live = [name for name, entry in standing.pipeline if entry and entry.version == version and name != environment]
        yield from lineage.picture(evaluation.evidence.subject, environment, live)


def _consequences(change: ProposedChange, evaluation: Evaluation) -> Iterator[str]:
    if change.rules is not None:
        yield "\n".join(_effects(change.model, change.rules, change.before, evaluation.entry))
    yield "\n".join(_rollback(change))


def _count(verdict: Verdict) -> str:
    required = [o for o in verdict.outcomes if o.severity is Severity.REQUIRED]
    passed = sum(o.counts_as in (Status.PASS, Status.SKIPPED) for o in required)
    return f"Policy {inert(verdict.policy)}: {passed} of {len(required)} required checks passed."


def checks_table(outcomes: tuple[Outcome, ...]) -> str:
    """Every outcome: what was measured, what was required, how it came out."""
    rows = [
        (
            "↳ " * depth + inert(outcome.check) + (" (advisory)" if outcome.severity is Severity.ADVISORY else ""),
            inert(outcome.measured),
            inert(outcome.required),
            SIGNS[outcome.status] + (", overridden" if outcome.override else ""),
        )
        for depth, outcome in _flattened(outcomes)
    ]
    return table(("Check", "Measured", "Required", "Outcome"), rows)


def _flattened(outcomes: tuple[Outcome, ...], depth: int = 0) -> Iterator[tuple[int, Outcome]]:
    """Every outcome, each followed by those that it was composed of."""
    for outcome in outcomes:
        yield depth, outcome
        yield from _flattened(outcome.children, depth + 1)


def _metrics(evaluation: Evaluation) -> Iterator[str]:
    subject, champion = evaluation.evidence.subject, evaluation.evidence.champion
    if not subject.metrics:
        return
    before = {(m.name, m.dataset): m.value for m in champion.metrics} if champion else {}
    rows = [metric_row(_metric_name(m), before.get((m.name, m.dataset)), m.value) for m in subject.metrics[:50]]
    against = f"v{champion.version} (live)" if champion else "nothing is live yet"
    yield f"#### Metrics\n\n{table(('Metric', against, f'v{subject.version}', 'Change'), rows)}"


def _metric_name(metric: Metric) -> str:
    return metric.name if metric.dataset is None else f"{metric.name} on {metric.dataset}"


def metric_row(name: str, before: float | None, after: float | None) -> tuple[str, str, str, str]:
    """A row of a table of metrics: what it was, what it is, and by how much it changed."""
    one, other = ("–" if value is None else f"{value:.6g}" for value in (before, after))
    change = after - before if before is not None and after is not None else math.nan
    if not math.isfinite(change):
        return inert(name), one, other, "–"
    arrow = "→" if change == 0 else "↑" if change > 0 else "↓"
    return inert(name), one, other, f"{arrow} {change:+.4g}"


def _effects(model: str, rules: Environment, before: Entry | None, after: Entry) -> Iterator[str]:
    yield "#### What merging does\n"
    target = rules.registry
    if target.copy_to:
        yield f"- v{after.version} is copied to {inert(target.carrier(model))}; stage and alias are those of the copy"
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
    if change.kind is ChangeKind.ROLLBACK and change.before is not None:
        yield f"Going forward to v{change.before.version} again is a promotion, with everything that one needs."
    elif change.before is None or change.kind is ChangeKind.ADOPTION:
        yield "Revert this pull request: the entry is removed again."
    else:
        yield (
            f"Say `/rollback` here or revert this pull request: v{change.before.version} becomes live again, and the"
            " bot proposes nothing newer until somebody says so."
        )
