"""Semantic versions of models: one a version, given once (https://semver.org)."""

from __future__ import annotations

import re

from policies.signatures import Level

_FORM = re.compile(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})", re.ASCII)


def parse_release(text: str) -> tuple[int, int, int]:
    """The three numbers of `MAJOR.MINOR.PATCH`, which order as releases do; raises ValueError for anything else."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"“{text}” is not a release such as 1.4.0")
    return int(match[1]), int(match[2]), int(match[3])


def next_release(highest: str | None, level: Level) -> str:
    """The release after `highest` for a change of `level`; a model's first release is 1.0.0."""
    if highest is None:
        return "1.0.0"
    major, minor, patch = parse_release(highest)
    match level:
        case Level.MAJOR:
            return f"{major + 1}.0.0"
        case Level.MINOR:
            return f"{major}.{minor + 1}.0"
        case Level.PATCH:
            return f"{major}.{minor}.{patch + 1}"
