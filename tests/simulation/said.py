"""What people told the bot, read from their own words and not from what the bot made of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bot.domain.instructions import Answer, Settled
from tests.simulation.company import PEOPLE

# What only says something, and needs no more than to see the repository.
_READS: Final = ("/status", "/explain", "/compare", "/help")
_COMMAND: Final = re.compile(
    r"/(?P<what>\w+)(?: (?!in |to )(?P<model>[^\s@]+)(?:@(?P<version>\d+))?)?(?: to (?P<back_to>\d+))?"
    r"(?: (?:in|to) (?P<environment>[a-z]+))?(?: because .*)?"
)


@dataclass
class Said:
    """A command that somebody gave in a comment; what was edited is `taken_back`."""

    comment: int
    issue: int
    who: str
    line: str
    at: datetime
    taken_back: bool = False

    @property
    def only_reads(self) -> bool:
        """Whether everybody who sees the repository may say it."""
        return self.line.startswith(_READS)

    @property
    def words(self) -> Mapping[str, str | None]:
        """The command by its parts: what, model, version, environment; a part is None where it was left out."""
        found = _COMMAND.fullmatch(self.line)
        parts = found.groupdict() if found else dict.fromkeys(("what", "model", "version", "back_to", "environment"))
        return {**parts, "version": parts["version"] or parts["back_to"]}

    def concerns(self, model: str, environment: str, *what: str) -> bool:
        """Whether it is one of these commands, and about this place; what it leaves out may be meant."""
        words = self.words
        places = ((words["model"], model), (words["environment"], environment))
        return words["what"] in what and all(there in (None, here) for there, here in places)


def may_write(login: str) -> bool:
    return PEOPLE.get(login) in ("write", "admin")


@dataclass(frozen=True)
class Conversation:
    """Everything that was said, with the bot's answers by the comment that they answer."""

    said: Sequence[Said]
    answers: Mapping[int, Sequence[Answer]]

    def settled(self, said: Said) -> frozenset[Settled]:
        """How it was answered, if it was."""
        return frozenset(answer.lines[1].settled for answer in self.answers.get(said.comment, ()))

    def accepted(self, model: str, environment: str, *what: str) -> Iterator[Said]:
        """These commands about this place by those who may, as far as they were not refused; oldest first."""
        for said in sorted(self.said, key=lambda each: each.comment):
            taken = self.settled(said) - {Settled.REFUSED}
            if taken and may_write(said.who) and said.concerns(model, environment, *what):
                yield said

    def waits(self, model: str, environment: str) -> bool:
        """Whether the newest promotion or rollback that somebody asked for here could not be opened yet."""
        asked = last(self.accepted(model, environment, "promote", "rollback"))
        return asked is not None and self.settled(asked) == {Settled.WAITING}

    def asked_at(self, model: str, environment: str) -> datetime | None:
        """When somebody last asked for a version here, beside which older ones are no candidates."""
        asked = last(self.accepted(model, environment, "promote", "rollback"))
        return asked.at if asked else None

    def is_held(self, model: str, environment: str, went_back_at: datetime | None) -> bool:
        """Whether automation stands still here; `went_back_at` is when what is live was gone back to."""
        held: set[str | None] = set()
        asked_back = False
        for said in self.accepted(model, environment, "hold", "resume", "promote", "rollback"):
            match said.words["what"]:
                case "hold" if not said.taken_back:
                    held.add(said.words["model"])
                case "resume":
                    held.discard(said.words["model"])
                    asked_back = False
                case "promote":
                    asked_back = False
                case "rollback":
                    asked_back = True
        resumed = last(self.accepted(model, environment, "resume", "promote"))
        went_back = went_back_at is not None and (resumed is None or resumed.at <= went_back_at)
        return bool(held) or asked_back or went_back


def last(those: Iterable[Said]) -> Said | None:
    """The newest of them."""
    return next(reversed([*those]), None)
