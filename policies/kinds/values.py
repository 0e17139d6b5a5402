"""What `tag` and `param` share: a rule that a recorded text obeys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import cel

from policies.kinds.base import Complaint, Finding
from policies.verdict import Status

# CEL's `matches` is linear in the text and the pattern: no pattern can run away.
_MATCHES: Final = cel.compile("text.matches(pattern)")
_RULES: Final = ("present", "equals", "one_of", "matches")


@dataclass(frozen=True, slots=True)
class ValueRule:
    """Exactly one of the values in `one_of`, or the whole text matches `pattern`; without either: not empty."""

    one_of: tuple[str, ...] = ()
    pattern: str | None = None

    def __str__(self) -> str:
        if self.pattern is not None:
            return f"matches {self.pattern}"
        if self.one_of:
            return "is " + " or ".join(f"“{value}”" for value in self.one_of)
        return "is there"

    def holds(self, text: str) -> bool:
        """Whether a text obeys the rule; an empty one never does, unless it is named."""
        if self.pattern is not None:
            return matches(self.pattern, text)
        return text in self.one_of if self.one_of else bool(text.strip())

    def judge(self, what: str, value: str | None, hint: str) -> Finding:
        """What is found where the text should be; it may still be written, so a missing one is waited for."""
        required = f"{what} {self}"
        if value is None:
            return Finding(Status.PENDING, f"{what} is not there{hint}", required, f"Set {what}.")
        shown = f"{what} is “{value[:100]}”" if value.strip() else f"{what} is empty"
        if self.holds(value):
            return Finding(Status.PASS, shown, required)
        return Finding(Status.FAIL, shown, required, f"Correct {what}.")


def read_rule(said: Mapping[str, Any]) -> ValueRule:
    """The rule that a check states."""
    if "equals" in said:
        return ValueRule((said["equals"],))
    return ValueRule(tuple(said.get("one_of", ())), said.get("matches"))


def rule_complaints(said: Mapping[str, Any]) -> Iterator[Complaint]:
    """No rule or two, or a pattern that is none."""
    given = [name for name in _RULES if name in said]
    if len(given) != 1:
        yield (), f"needs exactly one of {', '.join(_RULES)}; found {' and '.join(given) or 'none'}"
    if "matches" in said:
        try:
            matches(said["matches"], "")
        except ValueError:
            yield ("matches",), "is not a regular expression (RE2 syntax: no look-around, no back references)"


def matches(pattern: str, text: str) -> bool:
    """Whether the whole of `text` matches; raises ValueError for a pattern that is none."""
    try:
        return bool(_MATCHES.execute({"text": text, "pattern": f"^(?:{pattern})$"}))
    except (RuntimeError, TypeError) as error:
        raise ValueError(str(error)) from None


RULE_PROPERTIES: Final[Mapping[str, Any]] = {
    "present": {"const": True, "description": "It is there and not empty."},
    "equals": {"type": "string", "maxLength": 5000, "description": "The one value that passes, in quotes if a number."},
    "one_of": {
        "type": "array",
        "minItems": 1,
        "maxItems": 100,
        "items": {"type": "string", "maxLength": 5000},
        "description": "The values that pass.",
    },
    "matches": {
        "type": "string",
        "minLength": 1,
        "maxLength": 500,
        "description": "A regular expression (RE2 syntax) that the whole value matches.",
    },
}
