"""Changing one entry of a manifest of 10,000 models, beside a round trip through ruamel.yaml."""

from __future__ import annotations

import difflib
import io
import time
from collections.abc import Iterator
from typing import Final

from ruamel.yaml import YAML

from bot.domain.manifest import Entry
from bot.domain.manifest_editing import set_entry

MODELS: Final = 10_000


def run() -> Iterator[tuple[str, str]]:
    """Seconds of both, their ratio, and how many lines the edit changed."""
    text = _manifest()
    entry = Entry(77_777, f"sha256:{'b' * 64}", "1.0.1")
    started = time.perf_counter()
    edited = set_entry(text, "model-05000", "production", entry)
    ours = time.perf_counter() - started
    started = time.perf_counter()
    _round_trip(text)
    theirs = time.perf_counter() - started
    changed = [line for line in difflib.ndiff(*_around(text, edited)) if line.startswith(("+", "-"))]
    yield f"one entry of {MODELS:,} models", f"{ours:.2f} s"
    yield "ruamel.yaml round trip", f"{theirs:.2f} s"
    yield "ratio (at least 20)", f"{theirs / ours:.0f}"
    yield "changed lines (3 out, 3 in)", str(len(changed))


def _manifest() -> str:
    rows = "".join(
        f"  model-{number:05d}:\n"
        + "".join(
            f"    {name}:\n      version: {number}\n      digest: sha256:{'a' * 64}\n      release: 1.0.0\n"
            for name in ("staging", "production")
        )
        for number in range(1, MODELS + 1)
    )
    return f"apiVersion: promotion-bot/v1\nkind: ModelVersions\nmodels:\n{rows}"


def _round_trip(text: str) -> None:
    yaml = YAML()
    data = yaml.load(text)
    data["models"]["model-05000"]["production"]["version"] = 77_777
    yaml.dump(data, io.StringIO())


def _around(before: str, after: str) -> tuple[list[str], list[str]]:
    """The lines that differ, with a few around them, so that the diff is quick."""
    one, other = before.splitlines(), after.splitlines()
    first = next(i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return one[first - 2 : first + 20], other[first - 2 : first + 20]
