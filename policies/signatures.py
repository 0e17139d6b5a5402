"""What a new signature means for those who call the model: nothing, more than before, or a break.

A signature is the `signature` mapping of an MLmodel file: `inputs`, `outputs` and `params` are JSON lists of column,
tensor or parameter specifications (https://mlflow.org/docs/latest/ml/model/signatures/).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any


class Level(IntEnum):
    """The part of the semantic version that a change raises."""

    PATCH = 0
    MINOR = 1
    MAJOR = 2


@dataclass(frozen=True, slots=True)
class SignatureDifference:
    """Each difference in words, those among them that break callers, and the level of the worst."""

    differences: tuple[str, ...]
    breaking: tuple[str, ...]
    level: Level


def compare_signatures(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> SignatureDifference:
    """How `new` differs from `old` for a caller; a signature that cannot be read counts as none."""
    found: list[tuple[Level, str]] = []
    before, after = _read(old), _read(new)
    if before is None or after is None:
        if before is not None:
            found.append((Level.MAJOR, "the signature is gone"))
        elif after is not None:
            found.append((Level.MINOR, "there is a signature now"))
    else:
        found += _inputs(before["inputs"], after["inputs"], "input")
        found += _outputs(before["outputs"], after["outputs"])
        found += _inputs(before["params"], after["params"], "parameter")
    return SignatureDifference(
        tuple(text for _, text in found),
        tuple(text for level, text in found if level is Level.MAJOR),
        max((level for level, _ in found), default=Level.PATCH),
    )


_Specs = dict[str, dict[str, Any]]


def _read(signature: Mapping[str, Any] | None) -> dict[str, _Specs] | None:
    if not signature:
        return None
    return {part: _specs(signature.get(part)) for part in ("inputs", "outputs", "params")}


def _specs(raw: object) -> _Specs:
    """Specifications by name; those without one go by their position."""
    try:
        rows = json.loads(raw) if isinstance(raw, str) else raw
    except (ValueError, RecursionError):
        return {}
    if not isinstance(rows, list):
        return {}
    return {str(row.get("name", f"#{i}")): row for i, row in enumerate(rows) if isinstance(row, dict)}


def _inputs(old: _Specs, new: _Specs, what: str) -> list[tuple[Level, str]]:
    found: list[tuple[Level, str]] = []
    found += [(Level.MAJOR, f"{what} “{name}” is removed") for name in old.keys() - new.keys()]
    for name in old.keys() & new.keys():
        if _shape(old[name]) != _shape(new[name]):
            found.append((Level.MAJOR, f"{what} “{name}” has another type"))
        elif not _required(old[name], what) and _required(new[name], what):
            found.append((Level.MAJOR, f"{what} “{name}” is required now"))
        elif _required(old[name], what) and not _required(new[name], what):
            found.append((Level.MINOR, f"{what} “{name}” is optional now"))
    for name in new.keys() - old.keys():
        breaks = _required(new[name], what)
        found.append(
            (Level.MAJOR, f"{what} “{name}” is new and required")
            if breaks
            else (Level.MINOR, f"{what} “{name}” is new")
        )
    return sorted(found, key=lambda item: item[1])


def _outputs(old: _Specs, new: _Specs) -> list[tuple[Level, str]]:
    removed = [(Level.MAJOR, f"output “{name}” is removed") for name in old.keys() - new.keys()]
    retyped = [
        (Level.MAJOR, f"output “{name}” has another type")
        for name in old.keys() & new.keys()
        if _shape(old[name]) != _shape(new[name])
    ]
    added = [(Level.MINOR, f"output “{name}” is new") for name in new.keys() - old.keys()]
    return sorted([*removed, *retyped, *added], key=lambda item: item[1])


def _shape(spec: Mapping[str, Any]) -> str:
    """What must stay the same about a column or tensor: everything but its name and whether it is required."""
    kept = {key: value for key, value in spec.items() if key not in ("name", "required", "optional", "default")}
    return json.dumps(kept, sort_keys=True)


def _required(spec: Mapping[str, Any], what: str) -> bool:
    """Columns are required unless they say otherwise; a parameter always has a default."""
    return what == "input" and bool(spec.get("required", True))
