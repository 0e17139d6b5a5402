"""Semantic versions of models: one a version, given once (https://semver.org)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from bot.domain.manifest import Entry
from bot.domain.versions import RegisteredModel
from policies.signatures import Level, compare_signatures

_OWN_TAG: Final = "promotion.release"
_TEAMS_TAG: Final = "release"

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


def release_of(
    model: RegisteredModel,
    number: int,
    known: Iterable[Entry],
    signature_of: Callable[[int], Mapping[str, Any] | None],
) -> str:
    """The semantic version that a version has, or gets now: each is given once, and to one version only.

    `known` are the entries of the model that the manifest and the record of judgements name.
    """
    version = model.version(number)
    entries = tuple(known)
    taken = {e.release: e.version for e in entries if e.release}
    tagged = {v.tags[_OWN_TAG]: v.version for v in model.versions if _OWN_TAG in v.tags}
    mine = next((e.release for e in entries if e.version == number and e.release), None)
    if mine is not None:
        return mine
    owners = {**tagged, **taken}
    for said in (version.tags.get(tag) for tag in (_OWN_TAG, _TEAMS_TAG)) if version else ():
        if said and _is_release(said) and owners.get(said, number) == number:
            return said
    others = [(r, v) for r, v in owners.items() if _is_release(r) and v != number]
    if not others:
        return next_release(None, Level.PATCH)
    highest, holder = max(others, key=lambda item: parse_release(item[0]))
    return next_release(highest, compare_signatures(signature_of(holder), signature_of(number)).level)


def _is_release(text: str) -> bool:
    try:
        parse_release(text)
    except ValueError:
        return False
    return True
