"""One numeric column of a table that a run logged, as `mlflow.log_table` writes it (JSON, split) or as CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from typing import Any, Final

from policies.evidence import Column, Unusable, Vector

MOST_BYTES: Final = 50_000_000
MOST_ROWS: Final = 100_000


def column_of(content: bytes, wanted: Column) -> Vector | Unusable:
    """The values of a column, row by row; Unusable where there is none, or where one of them is no number."""
    try:
        text = content.decode()
        names, rows = _csv(text) if wanted.table.endswith(".csv") else _json(text)
    except (ValueError, KeyError, TypeError, RecursionError, csv.Error) as error:
        return Unusable(f"{wanted.table} is not a table: {type(error).__name__}")
    if wanted.column not in names:
        return Unusable(f"{wanted.table} has no column “{wanted.column}”")
    if not 2 <= len(rows) <= MOST_ROWS:
        return Unusable(f"{wanted.table} has {len(rows)} rows; there must be 2 to {MOST_ROWS}")
    position = names.index(wanted.column)
    try:
        values = tuple(_number(row[position]) for row in rows)
    except (ValueError, TypeError, IndexError, KeyError, OverflowError):
        return Unusable(f"“{wanted.column}” of {wanted.table} holds something that is no number")
    return values


def _json(text: str) -> tuple[Sequence[str], Sequence[Any]]:
    table = json.loads(text)
    if not isinstance(table["columns"], list) or not isinstance(table["data"], list):
        raise TypeError("columns and data")
    return table["columns"], table["data"]


def _csv(text: str) -> tuple[Sequence[str], Sequence[Any]]:
    rows = list(csv.reader(io.StringIO(text)))
    return rows[0] if rows else (), rows[1:]


def _number(value: object) -> float:
    if not isinstance(value, int | float | str):
        raise TypeError("no number")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("not finite")
    return number
