"""The board: how each model stands in each environment, as one value that every page and answer draws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from bot.domain.drift import drift_of
from bot.domain.instructions import Holding
from bot.domain.manifest import Entry
from bot.domain.pipeline import After
from bot.domain.world import EnvironmentState, Observation

DRIFTING: Final = "drifting: "  # how a note about drift begins
_STARVED_AFTER: Final = 3  # versions in a row that were replaced before they had soaked


@dataclass(frozen=True, slots=True)
class Cell:
    """One model in one environment. `proposed` are versions with their pull requests, the oldest open since
    `proposed_since`; `notes` what is out of order.
    """

    model: str
    environment: str
    live: Entry | None = None
    since: datetime | None = None
    proposed: tuple[tuple[int, int], ...] = ()
    proposed_since: datetime | None = None
    hold: Holding | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The cell as JSON values."""
        live = self.live
        return {
            "model": self.model,
            "environment": self.environment,
            "live": {"version": live.version, "digest": live.digest, "release": live.release} if live else None,
            "since": self.since.isoformat() if self.since else None,
            "proposed_since": self.proposed_since.isoformat() if self.proposed_since else None,
            "proposed": [{"version": version, "pull_request": number} for version, number in self.proposed],
            "hold": str(self.hold) if self.hold else None,
            "notes": list(self.notes),
        }


def row(world: Observation) -> tuple[Cell, ...]:
    """How one model stands in every environment of its pipeline."""
    return tuple(
        Cell(
            model=world.model,
            environment=state.rules.name,
            live=state.live,
            since=state.last.completed_at if state.last and state.live else None,
            proposed=tuple((p.version, p.pull_request.number) for p in state.open_proposals),
            proposed_since=min((p.pull_request.created_at for p in state.open_proposals), default=None),
            hold=state.hold,
            notes=tuple(_notes(world, state)),
        )
        for state in world.states
    )


def _notes(world: Observation, state: EnvironmentState) -> Iterator[str]:
    request = state.request
    if request is not None and request.waiting:
        yield f"v{request.told.version}, asked for by {request.by}, waits for evidence"
    if state.change is not None:
        yield "a change of the manifest is being judged"
    elif state.desired != state.live:
        yield "the manifest says something else, which did not take effect"
    for drifted in drift_of(world, state):
        yield f"{DRIFTING}{drifted.what}"
    if _is_starved(world, state):
        yield "starved: versions before it are replaced faster than they soak"


def _is_starved(world: Observation, state: EnvironmentState) -> bool:
    """Whether nothing comes here because what should soak first is replaced again and again."""
    rule = state.rules.propose
    if not isinstance(rule, After):
        return False
    earlier = world.environments[rule.environment].authorised
    here = max((j.at for j in state.authorised), default=None)
    lived = [newer.at - older.at for older, newer in pairwise(earlier) if here is None or newer.at > here]
    return len(lived) >= _STARVED_AFTER and all(time < rule.soak for time in lived[-_STARVED_AFTER:])
