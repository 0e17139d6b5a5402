"""What looking at one thing finds: how it stands, and what mends it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from bot.domain.errors import PromotionError, Unreachable


class State(StrEnum):
    """How one thing stands. UNKNOWN is what may be meant so, or what nobody could find out."""

    GOOD = "good"
    BAD = "bad"
    AWAY = "away"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that was looked at, how it stands, and the command or page that mends it where it is not good."""

    what: str
    state: State
    says: str
    mend: str = ""

    @classmethod
    def of_error(cls, what: str, error: PromotionError, mend: str) -> Diagnosis:
        """What an error says of the thing that was looked at."""
        return cls(what, State.AWAY if isinstance(error, Unreachable) else State.BAD, str(error), mend)


def looked(what: str, mend: str, look: Callable[[], str]) -> Diagnosis:
    """Good with what `look` says, else what its error says."""
    try:
        return Diagnosis(what, State.GOOD, look())
    except PromotionError as error:
        return Diagnosis.of_error(what, error, mend)
