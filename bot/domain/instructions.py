"""What people told the bot, as GitHub remembers it: commands that were accepted, and what follows from them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from bot.domain.pull_requests import Login

HOLD_LABEL: Final = "hold"
_ANSWER = re.compile(r"<!-- promotion-bot:answer (\{.*\}) -->", re.ASCII)


class Said(StrEnum):
    """The commands that have an effect which lasts."""

    PROMOTE = "promote"
    ROLLBACK = "rollback"
    CANCEL = "cancel"
    HOLD = "hold"
    RESUME = "resume"
    OVERRIDE = "override"


class Settled(StrEnum):
    """Where a line of a comment stands, as the bot's answer says."""

    DONE = "done"
    REFUSED = "refused"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class Told:
    """What a command was understood as. An empty model stands for every model of the environment."""

    said: Said
    environment: str
    model: str = ""
    version: int | None = None
    check: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """How one line was answered; `told` is there where it has an effect that lasts."""

    settled: Settled
    told: Told | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The hidden part of one of the bot's answers: which comment it answers, and each line by its number."""

    comment: int
    lines: Mapping[int, Answered] = field(default_factory=dict)

    def marker(self) -> str:
        """The hidden line; `parse_answer` reads it back."""
        said = {
            "comment": self.comment,
            "lines": {
                str(number): {
                    "settled": answered.settled.value,
                    **({"told": _told_fields(answered.told)} if answered.told else {}),
                }
                for number, answered in sorted(self.lines.items())
            },
        }
        # In an HTML comment neither two hyphens nor an angle bracket may stand.
        text = json.dumps(said, separators=(",", ":"), ensure_ascii=True)
        return f"<!-- promotion-bot:answer {text.replace('-', chr(92) + 'u002d').replace('>', chr(92) + 'u003e')} -->"


def _told_fields(told: Told) -> dict[str, Any]:
    fields = {
        "said": told.said.value,
        "environment": told.environment,
        "model": told.model,
        "version": told.version,
        "check": told.check,
        "reason": told.reason,
    }
    return {name: value for name, value in fields.items() if value not in ("", None)}


def parse_answer(body: str) -> Answer | None:
    """The answer that a comment of the bot's starts with; None where it is something else."""
    found = _ANSWER.match(body)
    if found is None:
        return None
    try:
        said = json.loads(found[1])
        lines = {
            int(number): Answered(Settled(row["settled"]), _told(row["told"]) if "told" in row else None)
            for number, row in said["lines"].items()
        }
        return Answer(int(said["comment"]), lines)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError):
        return None


def _told(row: Mapping[str, Any]) -> Told:
    version = row.get("version")
    return Told(
        said=Said(row["said"]),
        environment=str(row["environment"]),
        model=str(row.get("model", "")),
        version=None if version is None else int(version),
        check=str(row.get("check", "")),
        reason=str(row.get("reason", "")),
    )


@dataclass(frozen=True, slots=True)
class Instruction:
    """One accepted command: what was told, by whom and when by GitHub's clock, in which line of which comment.

    `waiting` says that it is accepted and still has to be carried out.
    """

    told: Told
    by: Login
    at: datetime
    issue: int
    comment: int
    line: int
    waiting: bool = False

    @property
    def order(self) -> tuple[datetime, int, int]:
        """Later commands win; of one comment the later line."""
        return (self.at, self.comment, self.line)

    @property
    def source(self) -> str:
        """Where it was said: `#12`."""
        return f"#{self.issue}"


class HoldKind(StrEnum):
    """What holds: a command, a label, or a rollback."""

    COMMAND = "command"
    LABEL = "label"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Holding:
    """That automation stands still for a model in an environment: who said so, when, why."""

    kind: HoldKind
    why: str
    by: str = ""
    at: datetime | None = None

    def __str__(self) -> str:
        who = f" by {self.by}" if self.by else ""
        when = f" at {self.at:%Y-%m-%d %H:%M} UTC" if self.at else ""
        return f"{self.why}{who}{when}"


@dataclass(frozen=True, slots=True)
class WentBack:
    """A rollback that took effect, as the manifest's history has it."""

    at: datetime
    by: str
    version: int
    commit: str


def holding(instructions: Iterable[Instruction], rollback: WentBack | None, labelled: int | None) -> Holding | None:
    """What holds automation for one model in one environment now; None where nothing does.

    A rollback, asked for or merged, holds until somebody resumes or asks for a newer promotion; a hold until somebody
    resumes what was held: the model, or the whole environment.
    """
    if labelled is not None:
        return Holding(HoldKind.LABEL, f"the label “{HOLD_LABEL}” on #{labelled}")
    held: dict[str, Holding] = {}  # by what is held: a model, or the whole environment
    went_back: Holding | None = None
    asked_back: Holding | None = None
    if rollback is not None:
        why = f"rolled back to v{rollback.version} ({rollback.commit[:7]})"
        went_back = Holding(HoldKind.ROLLBACK, why, rollback.by, rollback.at)
    for instruction in sorted(instructions, key=lambda i: i.order):
        told = instruction.told
        match told.said:
            case Said.HOLD:
                because = f" because {told.reason}" if told.reason else ""
                held[told.model] = Holding(
                    HoldKind.COMMAND, f"held in {instruction.source}{because}", instruction.by, instruction.at
                )
            case Said.RESUME:
                held.pop(told.model, None)
                went_back, asked_back = _unless_before(went_back, instruction), None
            case Said.PROMOTE:
                went_back, asked_back = _unless_before(went_back, instruction), None
            case Said.ROLLBACK:
                why = f"a rollback was asked for in {instruction.source}"
                asked_back = Holding(HoldKind.ROLLBACK, why, instruction.by, instruction.at)
            case Said.CANCEL:
                asked_back = None
            case Said.OVERRIDE:
                pass
    return next(iter(held.values()), None) or went_back or asked_back


def _unless_before(holding: Holding | None, instruction: Instruction) -> Holding | None:
    """The hold, unless it was there when the instruction was given."""
    return None if holding is None or holding.at is None or holding.at <= instruction.at else holding


def request_of(instructions: Sequence[Instruction]) -> Instruction | None:
    """The newest promotion or rollback that somebody asked for and nobody cancelled since."""
    asked = [i for i in instructions if i.told.said in (Said.PROMOTE, Said.ROLLBACK, Said.CANCEL)]
    newest = max(asked, key=lambda i: i.order, default=None)
    return None if newest is None or newest.told.said is Said.CANCEL else newest


def overrides_of(instructions: Iterable[Instruction], version: int) -> dict[str, Instruction]:
    """The overrides for one version by the check that they let pass; the newest of each."""
    found = [i for i in instructions if i.told.said is Said.OVERRIDE and i.told.version == version]
    return {i.told.check: i for i in sorted(found, key=lambda i: i.order)}
