"""The board's rows in this process, brought up to date by what has changed, so that a page of thousands is quick."""

from __future__ import annotations

import contextlib
import json
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bot.domain.board import MatterKind
from bot.gateways.boards import Boards, Mark, Place, Row, read_row
from bot.web.board.query import LIVE, Query

_KINDS: Final = frozenset(kind.value for kind in MatterKind)
_NONE: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class _Known:
    """One row as far as it is looked for: by its name, and by what there is to do in each environment."""

    raw: bytes
    lowered: str
    kinds: Mapping[str, frozenset[str]]  # by environment
    everywhere: frozenset[str]


@dataclass(frozen=True, slots=True)
class Selection:
    """The rows of one page, how many there are in all, and how many of each kind the same search finds."""

    rows: tuple[Row, ...]
    total: int
    counts: Mapping[str, int]
    models: int


@dataclass
class BoardIndex:
    """What is on the board, for the repositories that are served."""

    boards: Boards
    repositories: Sequence[str]
    _mark: Mark = field(default_factory=Mark)
    _known: dict[Place, _Known] = field(default_factory=dict)
    _order: list[Place] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def select(self, query: Query) -> Selection:
        """The rows that a query asks for; raises Unreachable while Redis does not answer."""
        with self._lock:
            self._catch_up()
            counts: Counter[str] = Counter()
            found: list[Place] = []
            searched = 0
            wanted, text = query.state, query.text.casefold()
            for place in self._order:
                known = self._known[place]
                if (query.repository and place[0] != query.repository) or (text and text not in known.lowered):
                    continue
                kinds = known.kinds.get(query.environment, _NONE) if query.environment else known.everywhere
                searched += 1
                counts.update(kinds)
                if not wanted or wanted in kinds:
                    found.append(place)
            shown = found[query.start : query.start + query.size]
            rows = (read_row(place, self._known[place].raw) for place in shown)
            return Selection(tuple(row for row in rows if row is not None), len(found), counts, searched)

    def of_model(self, model: str) -> tuple[Row, ...]:
        """The model's row in every repository that promotes it."""
        with self._lock:
            self._catch_up()
            places = [(repository, model) for repository in sorted(self.repositories)]
            rows = (read_row(place, self._known[place].raw) for place in places if place in self._known)
            return tuple(row for row in rows if row is not None)

    def _catch_up(self) -> None:
        changes = self.boards.changes(self._mark)
        if changes.is_all:
            self._known.clear()
        for place, raw in changes.rows.items():
            known = _known(place, raw) if place[0] in self.repositories else None
            if known is None:
                self._known.pop(place, None)
            else:
                self._known[place] = known
        if changes.is_all or changes.rows:
            self._order = sorted(self._known)
        self._mark = changes.mark


def _known(place: Place, raw: bytes | None) -> _Known | None:
    if raw is None:
        return None
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
        kinds = {
            cell["environment"]: frozenset(
                (*({LIVE} if cell["live"] else ()), *(m["kind"] for m in cell["matters"] if m["kind"] in _KINDS))
            )
            for cell in json.loads(raw[20:])
        }
        return _Known(raw, f"{place[1]} {place[0]}".casefold(), kinds, frozenset().union(*kinds.values()))
    return None
