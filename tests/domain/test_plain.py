"""Values as JSON and back: without loss, and strictly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any

import pytest

from bot.domain.plain import LONGEST_TEXT, from_plain, to_plain


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class Leaf:
    name: str
    at: datetime | None = None
    children: tuple[Leaf, ...] = ()


@dataclass(frozen=True, slots=True)
class Tree:
    colour: Colour
    size: float
    count: int
    leaves: tuple[Leaf, ...] = ()
    named: Mapping[str, float] = field(default_factory=dict)


TREE = Tree(Colour.RED, 1.5, 2, (Leaf("a", datetime(2026, 11, 23, 12, tzinfo=UTC), (Leaf("b"),)),), {"x": 1.0})


def test_what_is_written_reads_back() -> None:
    assert from_plain(Tree, to_plain(TREE)) == TREE
    assert from_plain(tuple[Tree, ...], to_plain((TREE, TREE))) == (TREE, TREE)


def test_moments_are_written_in_utc() -> None:
    berlin = datetime(2026, 11, 23, 13, tzinfo=timezone(timedelta(hours=1)))
    assert to_plain(berlin) == "2026-11-23T12:00:00Z"


def test_texts_are_bounded_and_can_be_written() -> None:
    assert len(to_plain("x" * 10_000)) == LONGEST_TEXT
    assert to_plain("half \ud800 a character") == "half ? a character"


@pytest.mark.parametrize(
    "change",
    [
        {"colour": "blue"},
        {"colour": []},
        {"size": "1.5"},
        {"size": True},
        {"count": 2.0},
        {"count": True},
        {"count": None},
        {"leaves": {}},
        {"leaves": [1]},
        {"leaves": [{"name": "a"}]},
        {"leaves": [{"name": "a", "at": "2026-11-23T12:00:00", "children": []}]},
        {"leaves": [{"name": "a", "at": 5, "children": []}]},
        {"named": []},
        {"named": {"x": "1"}},
    ],
)
def test_what_is_of_another_type_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_plain(Tree, {**to_plain(TREE), **change})


def test_what_is_too_deep_is_refused() -> None:
    leaf: dict[str, Any] = {"name": "a", "at": None, "children": []}
    for _ in range(200):
        leaf = {"name": "a", "at": None, "children": [leaf]}
    with pytest.raises(ValueError, match="not"):
        from_plain(Leaf, leaf)
