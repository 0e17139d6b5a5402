from __future__ import annotations

import json

import pytest

from bot.gateways import tables
from bot.gateways.tables import column_of
from policies.evidence import Column, Unusable

JSON = Column("eval.json", "correct")
CSV = Column("eval.csv", "correct")


def split(*values: object) -> bytes:
    return json.dumps({"columns": ["id", "correct"], "data": [[i, value] for i, value in enumerate(values)]}).encode()


@pytest.mark.parametrize(
    ("content", "wanted", "expected"),
    [
        (split(1, 0.5, True), JSON, (1.0, 0.5, 1.0)),
        (b"id,correct\n1,0.25\n2,1\n", CSV, (0.25, 1.0)),
        (b'id,correct\n"a, b",0\nc,1\n', CSV, (0.0, 1.0)),
    ],
)
def test_a_column_is_read(content: bytes, wanted: Column, expected: tuple[float, ...]) -> None:
    assert column_of(content, wanted) == expected


@pytest.mark.parametrize(
    ("content", "wanted", "said"),
    [
        (b"{", JSON, "is not a table"),
        (b"[1, 2]", JSON, "is not a table"),
        (b'{"columns": 1, "data": []}', JSON, "is not a table"),
        (b"\xff\xfe", JSON, "is not a table"),
        (b"[" * 100_000, JSON, "is not a table"),
        (b"", CSV, "no column “correct”"),
        (b"id,other\n1,2\n", CSV, "no column “correct”"),
        (split(1), JSON, "has 1 rows"),
        (split(1, None), JSON, "no number"),
        (split(1, "x"), JSON, "no number"),
        (split(1, float("nan")), JSON, "no number"),
        (split(1, [1]), JSON, "no number"),
        (split(1, 10**400), JSON, "no number"),
        (b'{"columns": ["correct"], "data": [[], []]}', JSON, "no number"),
        (b'{"columns": ["correct"], "data": [1, 2]}', JSON, "no number"),
    ],
)
def test_what_is_no_column_of_numbers_says_so(content: bytes, wanted: Column, said: str) -> None:
    found = column_of(content, wanted)
    assert isinstance(found, Unusable)
    assert said in found.reason


def test_a_table_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MOST_ROWS", 3)
    assert isinstance(column_of(split(1, 2, 3, 4), JSON), Unusable)
