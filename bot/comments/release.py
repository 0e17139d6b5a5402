"""The notes of a release: what went live, where it came from, who let it in, and what changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bot.comments.lineage import listed
from bot.comments.markdown import inert, plain, prose, table
from bot.comments.proposal import metric_row
from bot.domain.comparison import Comparison, Row
from bot.domain.instructions import Instruction
from bot.domain.manifest import Entry
from policies.evidence import VersionEvidence

_MOST_ROWS = 50


@dataclass(frozen=True, slots=True)
class Notes:
    """What is told of a release. `comparison` is against the release before; None for the first.

    `evidence` is None where the registry does not have the version any more.
    """

    model: str
    environment: str
    entry: Entry
    pull_request: int | None
    approved_by: tuple[str, ...] = ()
    overrides: tuple[Instruction, ...] = ()
    evidence: VersionEvidence | None = None
    comparison: Comparison | None = None


def release(notes: Notes) -> tuple[str, str]:
    """Title and text of a release."""
    entry = notes.entry
    return plain(f"{notes.model} v{entry.version} ({entry.release})", 200), "\n\n".join(_parts(notes)) + "\n"


def _parts(notes: Notes) -> Iterator[str]:
    entry = notes.entry
    source = f"#{notes.pull_request}" if notes.pull_request else "a direct push"
    facts = [
        f"{inert(notes.model)} version {entry.version} is live in **{notes.environment}** by {source}.\n",
        f"- Release: {inert(entry.release)}",
        f"- Digest: {inert(entry.digest)}",
        f"- Approved by: {', '.join(map(inert, notes.approved_by)) or 'nobody had to'}",
    ]
    facts += [
        f"- Overridden: {inert(o.told.check)} by {inert(o.by)} in {o.source}, because {prose(o.told.reason)}"
        for o in notes.overrides
    ]
    yield "\n".join(facts)
    yield from _metrics(notes)
    if notes.evidence is not None:
        yield "\n".join(listed(notes.evidence))
    if notes.comparison is not None:
        yield f"#### Since v{notes.comparison.before}"
        changed = [row for row in notes.comparison.params if row.before != row.after]
        lines = [f"- {inert(row.name)}: {inert(row.before or '–')} → {inert(row.after or '–')}" for row in changed]
        lines += [f"- {prose(difference)}" for difference in notes.comparison.signature]
        yield "\n".join(lines[:_MOST_ROWS]) or "Neither params nor signature changed."


def _metrics(notes: Notes) -> Iterator[str]:
    rows: tuple[Row[float], ...] = ()
    if notes.comparison is not None:
        rows = notes.comparison.metrics
    elif notes.evidence is not None:
        rows = tuple(Row(m.name, None, m.value) for m in notes.evidence.metrics)
    if rows:
        before = f"v{notes.comparison.before}" if notes.comparison else "before"
        cells = [metric_row(row.name, row.before, row.after) for row in rows[:_MOST_ROWS]]
        yield f"#### Metrics\n\n{table(('Metric', before, f'v{notes.entry.version}', 'Change'), cells)}"
