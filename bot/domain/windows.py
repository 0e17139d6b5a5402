"""When an environment is frozen: weekly and dated freezes, each in its own time zone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

_MOST_CHAINED: Final = 20  # times that each freeze may follow others without a gap: twenty weeks of a weekly one


@dataclass(frozen=True, slots=True)
class WeekTime:
    """A moment of every week; `weekday` counts from Monday, 0."""

    weekday: int
    time: time


@dataclass(frozen=True, slots=True)
class Freeze:
    """No promotion from `start` up to, but not at, `end`: both of every week, or both dated, in local time of `zone`.

    A dated end without a time is the start of that day.
    """

    start: WeekTime | datetime
    end: WeekTime | datetime
    zone: str
    reason: str

    def interval_around(self, at: datetime) -> tuple[datetime, datetime] | None:
        """The freeze that holds `at`, in UTC; None where it does not hold then."""
        zone = ZoneInfo(self.zone)
        if isinstance(self.start, datetime) and isinstance(self.end, datetime):
            intervals = [(self.start, self.end)]
        elif isinstance(self.start, WeekTime) and isinstance(self.end, WeekTime):
            intervals = _weekly(self.start, self.end, at.astimezone(zone))
        else:
            raise ValueError("a freeze is weekly or dated, not both")
        for start, end in intervals:
            # Local times become moments one by one, so that a clock change inside the freeze is counted.
            opened, closed = start.replace(tzinfo=zone).astimezone(UTC), end.replace(tzinfo=zone).astimezone(UTC)
            if opened <= at < closed:
                return opened, closed
        return None


def _weekly(start: WeekTime, end: WeekTime, local: datetime) -> list[tuple[datetime, datetime]]:
    """The freezes of this week and of the last in local time, either of which may hold `local`."""
    monday = (local - timedelta(days=local.weekday())).date()
    intervals = []
    for weeks in (-1, 0):
        first = monday + timedelta(weeks=weeks)
        opened = datetime.combine(first + timedelta(days=start.weekday), start.time)
        closed = datetime.combine(first + timedelta(days=end.weekday), end.time)
        intervals.append((opened, closed if closed > opened else closed + timedelta(weeks=1)))
    return intervals


def frozen_by(freezes: Sequence[Freeze], at: datetime) -> Freeze | None:
    """The first freeze that holds at the aware moment `at`; None where the window is open."""
    return next((freeze for freeze in freezes if freeze.interval_around(at)), None)


def opens_at(freezes: Sequence[Freeze], at: datetime) -> datetime | None:
    """When the last of the freezes that follow each other without a gap ends; None where none holds at `at`.

    Freezes that together never end give None too: then no moment is known.
    """
    moment = at
    for _ in range(len(freezes) * _MOST_CHAINED + 1):
        ends = [interval[1] for freeze in freezes if (interval := freeze.interval_around(moment))]
        if not ends:
            return None if moment == at else moment
        moment = max(ends)
    return None
