"""What the bot answers to commands: short, each quoting what it answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bot.comments.markdown import inert, plain, prose, table
from bot.comments.proposal import SIGNS, checks_table, metric_row
from bot.domain.board import Cell
from bot.domain.commands import TABLE
from bot.domain.comparison import Comparison
from bot.domain.gates import Gate
from bot.domain.instructions import Answer, Answered, Holding, Settled, Told
from bot.domain.world import Evaluation
from policies.verdict import Outcome, Status

_SIGNS: Final[Mapping[Settled, str]] = {Settled.DONE: "🚀", Settled.REFUSED: "😕", Settled.WAITING: "⏳"}
_MOST_ROWS: Final = 50


@dataclass(frozen=True, slots=True)
class Said:
    """One line of a comment as it was written, and its answer in Markdown."""

    number: int
    line: str
    settled: Settled
    text: str
    told: Told | None = None


def reply(comment: int, lines: Sequence[Said]) -> str:
    """The answer to one comment: a hidden marker that names it and its lines, then each line with what came of it.

    A text follows its sign on the same line, so it begins with words: a table would be none there.
    """
    answer = Answer(comment, {said.number: Answered(said.settled, said.told) for said in lines})
    parts = [f"> {inert(said.line)}\n\n{_SIGNS[said.settled]} {said.text}" for said in lines]
    return "\n\n".join([answer.marker(), *parts]) + "\n"


def request_line(told: Told) -> str:
    """A request as somebody would write it; for answers that come later than the comment."""
    return f"/{told.said} {told.model}@{told.version} to {told.environment}"


# --- what came of a request ------------------------------------------------------------------------------------------


def proposed(told: Told, number: int | None) -> str:
    """The version is proposed."""
    where = f" in #{number}" if number else ""
    return f"v{told.version} of {inert(told.model)} is proposed for **{told.environment}**{where}."


def refused(told: Told, reason: str, evaluation: Evaluation | None) -> str:
    """The version is not proposed: why, and how an override would be said."""
    if evaluation is None:
        return f"Not proposed: {prose(reason)}."
    verdict = evaluation.verdict
    failed = verdict.having(Status.FAIL)
    lines = [f"v{told.version} of {inert(told.model)} does not pass the policy of **{told.environment}**:"]
    lines.append(checks_table(failed))
    lines += [f"- **{inert(o.check)}**: {prose(o.remedy)}" for o in failed if o.remedy]
    lines.append(
        "Who may override says, for each of them: "
        + inert(f"/override {failed[0].check} {told.model}@{told.version} to {told.environment} because …")
    )
    lines.append(_folded("All checks", checks_table(verdict.outcomes)))
    return "\n\n".join(lines)


def waiting(told: Told, evaluation: Evaluation | None) -> str:
    """The evidence is not there yet."""
    lines = [
        f"v{told.version} of {inert(told.model)} waits for evidence; it is proposed for **{told.environment}** when it"
        " is there and passes, and this is answered again."
    ]
    if evaluation is not None:
        waits = (*evaluation.verdict.having(Status.PENDING), *evaluation.verdict.having(Status.ERROR))
        lines.append(checks_table(waits))
    return "\n\n".join(lines)


# --- what was carried out at once ------------------------------------------------------------------------------------


def _scope(told: Told) -> str:
    return f"{inert(told.model)} in **{told.environment}**" if told.model else f"everything in **{told.environment}**"


def held(told: Told) -> str:
    """Automation stands still."""
    resume = " ".join(part for part in ("/resume", told.model, "in", told.environment) if part)
    return f"Automation is on hold for {_scope(told)}; {inert(resume)} restarts it."


def resumed(told: Told, still: Holding | None) -> str:
    """Automation goes on, unless something else holds it too."""
    text = f"Automation goes on for {_scope(told)}."
    return f"{text} It is still held: {prose(str(still))}." if still else text


def overridden(told: Told) -> str:
    """A check may fail for this version."""
    return (
        f"{inert(told.check)} may fail for v{told.version} of {inert(told.model)} in **{told.environment}**. It counts"
        " while the comment above stands unedited."
    )


def cancelled(number: int) -> str:
    """The proposal is closed."""
    return f"#{number} is closed. This version is not proposed again until somebody asks for it."


def validated(gates: Iterable[Gate]) -> str:
    """How the checks stand now."""
    rows = [(inert(gate.name), gate.state.replace("_", " "), prose("; ".join(gate.reasons)) or "–") for gate in gates]
    return "Evaluated again.\n\n" + table(("Check", "State", "Why"), rows)


# --- what was asked --------------------------------------------------------------------------------------------------


def status(cells: Sequence[Cell]) -> str:
    """What is live, proposed, held, drifting: a row a model and environment."""
    if not cells:
        return "Nothing is live and nothing is proposed."
    rows = []
    for place in cells[:_MOST_ROWS]:
        since = f" since {place.since:%Y-%m-%d %H:%M} UTC" if place.since else ""
        live = f"v{place.live.version} ({inert(place.live.release)}){since}" if place.live else "–"
        proposals = ", ".join(f"v{p.version} in #{p.pull_request}" for p in place.proposed) or "–"
        notes = [*([f"held: {prose(place.hold)}"] if place.hold else []), *map(prose, place.notes)]
        rows.append((inert(place.model), place.environment, live, proposals, "; ".join(notes) or "–"))
    shown = table(("Model", "Environment", "Live", "Proposed", "Notes"), rows)
    text = f"What is live and what is proposed:\n\n{shown}"
    more = len(cells) - _MOST_ROWS
    return text if more <= 0 else f"{text}\n\n… and {more} more; `/status MODEL` shows one model."


def explained(outcome: Outcome, evaluation: Evaluation) -> str:
    """How a check came to its outcome, with the outcomes that it was composed of."""
    lines = [f"{inert(outcome.check)} is {SIGNS[outcome.status]} ({outcome.kind}, {outcome.severity}):"]
    lines.append(checks_table((outcome,)))
    if outcome.override:
        lines.append(f"Overridden by {prose(outcome.override)}.")
    if outcome.remedy:
        lines.append(f"**What to do.** {prose(outcome.remedy)}")
    if outcome.until:
        lines.append(f"It is waited for until {outcome.until:%Y-%m-%d %H:%M} UTC.")
    subject = evaluation.evidence.subject
    digest = f", digest {inert(evaluation.entry.digest)}" if evaluation.entry.digest else ""
    source = [f"- version {subject.version} of {inert(subject.name)}{digest}"]
    if evaluation.champion:
        source.append(f"- against v{evaluation.champion.version}, which is live")
    source.append(f"- policy blob {inert(evaluation.policy)}, evidence {inert(evaluation.evidence.digest())}")
    lines.append(_folded("What it stands on", "\n".join(source)))
    return "\n\n".join(lines)


def explained_gate(gate: Gate) -> str:
    """How one of the pull request's own checks stands."""
    reasons = "\n".join(f"- {prose(reason)}" for reason in gate.reasons) or "- nothing is missing"
    return f"{inert(gate.name)} is **{gate.state.replace('_', ' ')}**:\n\n{reasons}"


def compared(comparison: Comparison) -> str:
    """Two versions side by side."""
    one, other = f"v{comparison.before}", f"v{comparison.after}"
    parts = [f"{inert(comparison.model)} {one} and {other}:"]
    rows = [metric_row(row.name, row.before, row.after) for row in comparison.metrics]
    parts.append(_first(("Metric", one, other, "Change"), rows) if rows else "Neither has metrics.")
    changed = [row for row in comparison.params if row.before != row.after]
    shown = [(inert(row.name), inert(row.before or "–"), inert(row.after or "–")) for row in changed]
    parts.append(_first(("Param", one, other), shown) if shown else "Their params are the same.")
    facts = [(inert(row.name), inert(row.before or "–"), inert(row.after or "–")) for row in comparison.data]
    facts += [(row.name.capitalize(), _count(row.before), _count(row.after)) for row in comparison.size]
    if facts:
        parts.append(table(("Data and size", one, other), facts))
    differences = "\n".join(f"- {prose(difference)}" for difference in comparison.signature)
    same = "Their signatures are the same." if comparison.has_signature else "Neither has a signature."
    parts.append(f"Signature:\n\n{differences}" if differences else same)
    return "\n\n".join(parts)


def _first(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of the first rows, and how many more there are."""
    more = f"\n\n… and {len(rows) - _MOST_ROWS} more" if len(rows) > _MOST_ROWS else ""
    return table(header, rows[:_MOST_ROWS]) + more


def _count(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"


def commands() -> str:
    """Every command, from the table that the parser reads by."""
    rows = [(f"`{spec.usage}`", spec.does, spec.needs) for spec in TABLE]
    return f"What a line of a comment can say:\n\n{table(('Command', 'Does', 'Needs'), rows)}"


# --- what cannot be done ---------------------------------------------------------------------------------------------


def cannot(reason: str) -> str:
    """Why a line is not carried out."""
    text = plain(reason, 600)
    return f"{prose(text[:1].upper() + text[1:])}{'' if text.endswith(('.', '`')) else '.'}"


def too_late() -> str:
    """The comment was found more than an hour after it was written."""
    return "This was found more than an hour late, so nothing was done. Say it again if it still holds."


def _folded(summary: str, text: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{text}\n\n</details>"
