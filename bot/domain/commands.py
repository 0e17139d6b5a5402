"""Chat-ops: the commands that people write in comments, each read from one line.

`TABLE` is the one list of them: what the parser knows, what `/help` prints and what each needs all come from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bot.domain.errors import Refused
from bot.domain.versions import version_number
from policies.documents import did_you_mean

MOST_COMMANDS: Final = 20  # in one comment
_WORD = re.compile(r'(?:"[^"]*"|\S)+')
# What is copied from one of the bot's answers may hold a space of no width, which keeps names from being mentions.
INVISIBLE: Final = "\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"
_LIKE_A_COMMAND = re.compile(rf"(?:^|[\s{INVISIBLE}])/[A-Za-z]")
_LONGEST_REASON: Final = 500  # characters


class BadCommand(Refused):
    """A line that looks like a command and cannot be carried out as it stands."""


class Needs(StrEnum):
    """What a person must be allowed to do for a command."""

    READ = "read"
    WRITE = "write"
    OVERRIDE = "`overrides.from`"


@dataclass(frozen=True, slots=True)
class Place:
    """What the conversation implies: the promotion of a proposal's pull request, elsewhere nothing."""

    model: str = ""
    environment: str = ""
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Promote:
    """Validate a version now and propose it."""

    model: str
    version: int | None
    environment: str


@dataclass(frozen=True, slots=True)
class Validate:
    """Evaluate again."""


@dataclass(frozen=True, slots=True)
class Compare:
    """Show two versions side by side."""

    model: str
    versions: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Explain:
    """Say how a check came to its outcome."""

    check: str


@dataclass(frozen=True, slots=True)
class AskStatus:
    """Say what is live, proposed, held."""

    model: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Stop automation; without a model for the whole environment."""

    model: str
    environment: str
    reason: str


@dataclass(frozen=True, slots=True)
class Resume:
    """Restart automation."""

    model: str
    environment: str


@dataclass(frozen=True, slots=True)
class OverrideCheck:
    """Let one failed check, or the window, pass."""

    check: str
    model: str
    version: int
    environment: str
    reason: str


@dataclass(frozen=True, slots=True)
class Rollback:
    """Propose the version that was live before, or a named one."""

    model: str
    version: int | None
    environment: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Close the proposal."""


@dataclass(frozen=True, slots=True)
class Help:
    """List the commands."""


Command = Promote | Validate | Compare | Explain | AskStatus | Hold | Resume | OverrideCheck | Rollback | Cancel | Help


class _Words:
    """The words of a line after the command's name; taken out one by one until none is left."""

    def __init__(self, text: str, usage: str) -> None:
        self._usage = usage
        found = list(_WORD.finditer(text))
        because = next((m for m in found if m[0].lower() == "because"), None)
        self.reason = text[because.end() :].strip()[:_LONGEST_REASON] if because else ""
        self._words = [m[0].replace('"', "") for m in (found[: found.index(because)] if because else found)]
        if because is not None and not self.reason:
            raise self.wrong("say why after “because”")

    def wrong(self, what: str) -> BadCommand:
        """The error that says what was expected."""
        return BadCommand(f"{what}; expected `{self._usage}`")

    def after(self, keyword: str) -> str:
        """The word that follows a keyword, both taken out; empty where the keyword is not there."""
        lowered = [word.lower() for word in self._words]
        if keyword not in lowered:
            return ""
        at = lowered.index(keyword)
        if at + 1 >= len(self._words):
            raise self.wrong(f"something must follow “{keyword}”")
        value = self._words[at + 1]
        del self._words[at : at + 2]
        return value

    def next(self) -> str:
        """The next word; empty where there is none."""
        return self._words.pop(0) if self._words else ""

    def end(self) -> None:
        """Raise unless every word was understood."""
        if self._words:
            raise self.wrong(f"“{self._words[0]}” is not understood here")

    def version(self, text: str) -> int:
        """The number of a version, with or without its v."""
        try:
            return version_number(text)
        except ValueError as error:
            raise self.wrong(str(error)) from None

    def subject(self, text: str) -> tuple[str, int | None]:
        """`MODEL` or `MODEL@VERSION`."""
        model, at, version = text.rpartition("@")
        return (model, self.version(version)) if at else (text, None)

    def said_or_implied(self, said: str, implied: str, what: str) -> str:
        """What was said, else what the place implies; raises where neither says it."""
        if said or implied:
            return said or implied
        raise self.wrong(f"outside a promotion's pull request the {what} must be said")


def _promote(words: _Words, place: Place) -> Command:
    environment = words.after("to")
    said, version = words.subject(words.next())
    words.end()
    model = words.said_or_implied(said, place.model, "model")
    return Promote(model, version, environment or (place.environment if model == place.model else ""))


def _validate(words: _Words, _place: Place) -> Command:
    words.end()
    return Validate()


def _compare(words: _Words, place: Place) -> Command:
    said = [words.next(), words.next(), words.next()]
    words.end()
    given = [word for word in said if word]
    if len(given) == 2 and place.model:
        given = [place.model, *given]
    if len(given) != 3:
        raise words.wrong("a model and two versions are compared")
    return Compare(given[0], (words.version(given[1]), words.version(given[2])))


def _explain(words: _Words, place: Place) -> Command:
    check = words.next()
    if not check:
        raise words.wrong("the check must be said")
    words.end()
    if place.version is None:
        raise words.wrong("a check is explained in the pull request of a promotion")
    return Explain(check)


def _status(words: _Words, place: Place) -> Command:
    model = words.next()
    words.end()
    return AskStatus(model or place.model)


def _hold(words: _Words, place: Place) -> Command:
    model, environment = _whose(words, place)
    return Hold(model, environment, words.reason)


def _resume(words: _Words, place: Place) -> Command:
    model, environment = _whose(words, place)
    return Resume(model, environment)


def _whose(words: _Words, place: Place) -> tuple[str, str]:
    """Model and environment of a hold. A model that is neither said nor implied means the whole environment."""
    said = words.after("in")
    model = words.next()
    words.end()
    environment = words.said_or_implied(said, place.environment, "environment")
    return model or place.model, environment


def _override(words: _Words, place: Place) -> Command:
    environment = words.after("to")
    check, subject = words.next(), words.next()
    if not check:
        raise words.wrong("the check must be said")
    words.end()
    if not words.reason:
        raise words.wrong("an override needs a reason: add “because …”")
    model, version = words.subject(subject) if subject else (place.model, place.version)
    if not model or version is None:
        raise words.wrong("outside a promotion's pull request MODEL@VERSION must be said")
    environment = words.said_or_implied(environment, place.environment, "environment")
    return OverrideCheck(check, model, version, environment, words.reason)


def _rollback(words: _Words, place: Place) -> Command:
    to, said = words.after("to"), words.after("in")
    model = words.next()
    words.end()
    return Rollback(
        words.said_or_implied(model, place.model, "model"),
        words.version(to) if to else None,
        words.said_or_implied(said, place.environment, "environment"),
    )


def _cancel(words: _Words, place: Place) -> Command:
    words.end()
    if place.version is None:
        raise words.wrong("a proposal is cancelled in its own pull request")
    return Cancel()


def _help(_words: _Words, _place: Place) -> Command:
    return Help()


@dataclass(frozen=True, slots=True)
class Spec:
    """One row of the table: how a command is written, what it does, what it needs."""

    usage: str
    does: str
    needs: Needs
    read: Callable[[_Words, Place], Command]

    @property
    def name(self) -> str:
        """The command's name with its slash."""
        return self.usage.split()[0]


TABLE: Final = (
    Spec(
        "/promote MODEL[@VERSION] [to ENV]",
        "validates now and proposes; by default the newest version, to the first environment where it is not live",
        Needs.WRITE,
        _promote,
    ),
    Spec("/validate", "evaluates again at the current head", Needs.WRITE, _validate),
    Spec("/compare MODEL vA vB", "metrics, params and signature side by side", Needs.READ, _compare),
    Spec("/explain CHECK", "how that check came to its outcome", Needs.READ, _explain),
    Spec("/status [MODEL]", "what is live, proposed, held", Needs.READ, _status),
    Spec(
        "/hold [MODEL] [in ENV] [because REASON]",
        "stops automation; without a model for the whole environment",
        Needs.WRITE,
        _hold,
    ),
    Spec("/resume [MODEL] [in ENV]", "restarts automation", Needs.WRITE, _resume),
    Spec(
        "/override CHECK [MODEL@VERSION to ENV] because REASON",
        "lets one failed check of the policy, or `window`, pass; it is recorded",
        Needs.OVERRIDE,
        _override,
    ),
    Spec("/rollback [MODEL] [to VERSION] [in ENV]", "proposes the previous (or named) version", Needs.WRITE, _rollback),
    Spec("/cancel", "closes the proposal", Needs.WRITE, _cancel),
    Spec("/help", "lists the commands", Needs.READ, _help),
)
_BY_NAME: Final = {spec.name: spec for spec in TABLE}


@dataclass(frozen=True, slots=True)
class Line:
    """One command as it was written: the number of its line in the comment, from 1, and the line."""

    number: int
    text: str

    @property
    def spec(self) -> Spec | None:
        """The command that it names; None where there is no such command."""
        return _BY_NAME.get(self.text.split()[0].lower())


def parse(line: Line, place: Place) -> Command:
    """The command of a line; raises BadCommand with what was expected."""
    name, rest = (*line.text.split(maxsplit=1), "")[:2]
    spec = line.spec
    if spec is None:
        known = did_you_mean(name.lower(), [s.name for s in TABLE])
        raise BadCommand(f"there is no command {name}{known or '; `/help` lists them'}")
    return spec.read(_Words(rest, spec.usage), place)


def looks_like_commands(comment: str) -> bool:
    """Whether there could be a command: cheap, for any length, and never false for a comment that has one."""
    return _LIKE_A_COMMAND.search(comment) is not None
