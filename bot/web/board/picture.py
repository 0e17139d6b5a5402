"""A model's pipeline as a picture: where its boxes and arrows are, and what stands in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bot.domain.board import Cell, MatterKind
from bot.domain.repository_seen import EnvironmentSeen

_WIDTH: Final = 230
_HEIGHT: Final = 104
_GAP: Final = 150  # between boxes side by side: the arrow's words stand there
_DROP: Final = 64  # between boxes one below the other
_EDGE: Final = 4
_LONGEST: Final = 26  # characters in a box
_LONGEST_ARROW: Final = 21  # characters above an arrow


@dataclass(frozen=True, slots=True)
class Box:
    """One environment: its place, and three lines."""

    x: int
    y: int
    name: str
    live: str
    note: str
    waiting: str
    tone: str


@dataclass(frozen=True, slots=True)
class Arrow:
    """From one box to the next, with what has to happen on the way."""

    x1: int
    y1: int
    x2: int
    y2: int
    words: str
    text_x: int
    text_y: int
    anchor: str


@dataclass(frozen=True, slots=True)
class Picture:
    """Boxes and arrows in a frame of `width` × `height`, and the same in words."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    box_width: int = _WIDTH
    box_height: int = _HEIGHT


def in_words(cells: Sequence[Cell]) -> str:
    """The picture for those who do not see it."""
    parts = []
    for cell in cells:
        live = f"version {cell.live.version} is live" if cell.live else "nothing is live"
        waiting = "".join(f", version {p.version} is proposed" for p in cell.proposed)
        parts.append(f"{cell.environment}: {live}{waiting}{', on hold' if cell.hold else ''}")
    return "; then ".join(parts) + "."


def side_by_side(cells: Sequence[Cell], rules: Sequence[EnvironmentSeen]) -> Picture:
    """The picture for a wide screen."""
    step = _WIDTH + _GAP
    boxes = tuple(_box(cell, _EDGE + step * i, _EDGE) for i, cell in enumerate(cells))
    middle = _EDGE + _HEIGHT // 2
    arrows = tuple(
        Arrow(b.x - _GAP + 4, middle, b.x - 6, middle, _words(b.name, rules), b.x - _GAP // 2, middle - 10, "middle")
        for b in boxes[1:]
    )
    return Picture(step * len(cells) - _GAP + 2 * _EDGE, _HEIGHT + 2 * _EDGE, boxes, arrows)


def stacked(cells: Sequence[Cell], rules: Sequence[EnvironmentSeen]) -> Picture:
    """The picture for a narrow screen."""
    step = _HEIGHT + _DROP
    boxes = tuple(_box(cell, _EDGE, _EDGE + step * i) for i, cell in enumerate(cells))
    x = _EDGE + 24
    arrows = tuple(
        Arrow(x, b.y - _DROP + 4, x, b.y - 6, _words(b.name, rules), x + 14, b.y - _DROP // 2 + 4, "start")
        for b in boxes[1:]
    )
    return Picture(_WIDTH + 2 * _EDGE, step * len(cells) - _DROP + 2 * _EDGE, boxes, arrows)


def _box(cell: Cell, x: int, y: int) -> Box:
    live = f"v{cell.live.version}" if cell.live else "–"
    if cell.live and cell.live.release:
        live += f" · {cell.live.release}"
    since = f"since {cell.since:%Y-%m-%d}" if cell.since else "nothing is live" if not cell.live else "on its way"
    waiting = f"v{cell.proposed[0].version} waits in #{cell.proposed[0].pull_request}" if cell.proposed else ""
    return Box(
        x, y, _cut(cell.environment, _LONGEST), _cut(live, _LONGEST), since, _cut(waiting, _LONGEST), _tone(cell)
    )


def _tone(cell: Cell) -> str:
    if cell.has(MatterKind.DRIFTING) or cell.has(MatterKind.REFUSED):
        return "bad"
    if cell.hold or cell.has(MatterKind.FROZEN):
        return "still"
    if cell.proposed:
        return "busy"
    return "good" if cell.live else "empty"


def _words(environment: str, rules: Sequence[EnvironmentSeen]) -> str:
    return next((_cut(rule.proposes, _LONGEST_ARROW) for rule in rules if rule.name == environment), "")


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
