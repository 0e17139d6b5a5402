"""One model in full, as its page shows it: versions with metrics, verdicts and lineage, and what happened to them.

Everything but `Judged` follows from lists that a sweep reads anyway: the registry's versions with their tags, pull
requests, deployments, comments. `Judged` holds the verdict in full, which only a look at the model has; where Redis was
emptied, the version's own tag still says how each check came out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from bot.domain import naming
from bot.domain.timeline import Event, Validated, timeline
from bot.domain.versions import ModelVersion
from bot.domain.world import Evaluation, Observation
from policies.evidence import STAND_INS, Run
from policies.verdict import Status, Verdict

MOST_VERSIONS: Final = 100
MOST_JUDGED: Final = 4  # verdicts in full that are kept for an environment
_MOST_CHECKS: Final = 60
_MOST_METRICS: Final = 60


@dataclass(frozen=True, slots=True)
class Checked:
    """How a version stands in one environment by its tags: its status, each check's, and why it was refused."""

    environment: str
    status: str = ""
    verdict: Status | None = None
    checks: Mapping[str, Status] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True, slots=True)
class VersionSeen:
    """One version as the registry's lists tell of it; `metrics` are those that were judged last."""

    version: int
    registered_at: datetime
    release: str = ""
    user: str = ""
    stage: str = ""
    aliases: tuple[str, ...] = ()
    run: str = ""
    commit: str = ""
    data: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    checked: tuple[Checked, ...] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict in full, with what it stood on. `champion` is the version that was live then."""

    environment: str
    version: int
    at: datetime
    verdict: Verdict
    digest: str = ""
    champion: int | None = None
    run: str = ""
    trained_by: str = ""
    commit: str = ""
    data: str = ""

    @property
    def as_validated(self) -> Validated:
        """The verdict in a word."""
        return Validated(self.environment, self.version, self.at, self.verdict.status_before_proposal)


@dataclass(frozen=True, slots=True)
class ModelDetail:
    """One model in one repository. `versions`, with those that are live, and `events` are the newest, newest first."""

    repository: str
    model: str
    versions: tuple[VersionSeen, ...] = ()
    events: tuple[Event, ...] = ()


def detail(world: Observation, judged: tuple[Judged, ...]) -> ModelDetail:
    """The model as it was seen, with the verdicts that are remembered in full."""
    registered = world.registered
    aliases: dict[int, list[str]] = {}
    for alias, version in (registered.aliases if registered else {}).items():
        aliases.setdefault(version, []).append(alias)
    names = tuple(environment.name for environment in world.pipeline.environments)
    live = {state.live.version for state in world.states if state.live}
    known = registered.versions if registered else ()
    versions = [*(v for v in known[:-MOST_VERSIONS] if v.version in live), *known[-MOST_VERSIONS:]]
    return ModelDetail(
        world.repository,
        world.model,
        tuple(_version(v, names, tuple(aliases.get(v.version, ()))) for v in reversed(versions)),
        timeline(world, tuple(each.as_validated for each in judged)),
    )


def _version(version: ModelVersion, environments: tuple[str, ...], aliases: tuple[str, ...]) -> VersionSeen:
    tags = version.tags
    summaries = {name: _summary(tags.get(naming.verdict_tag(name), "")) for name in environments}
    metrics: dict[str, float] = {}
    for said in summaries.values():
        metrics |= _metrics(said.get("metrics"))
    checked = (_checked(tags, name, summaries[name]) for name in environments)
    return VersionSeen(
        version=version.version,
        registered_at=version.created_at,
        release=tags.get("promotion.release", ""),
        user=version.user,
        stage="" if version.stage == "None" else version.stage,
        aliases=aliases,
        run=version.run_id or "",
        commit=tags.get("git_commit", ""),
        data=tags.get("data_version", ""),
        metrics=metrics,
        checked=tuple(c for c in checked if c.status or c.checks),
    )


def _checked(tags: Mapping[str, str], environment: str, said: Mapping[str, Any]) -> Checked:
    checks = said.get("checks")
    found = {}
    for check, status in list(checks.items())[:_MOST_CHECKS] if isinstance(checks, dict) else ():
        if status in _STATUSES:
            found[check] = _STATUSES[status]
    verdict = said.get("status")
    return Checked(
        environment,
        tags.get(f"promotion.{environment}.status", ""),
        _STATUSES.get(verdict) if isinstance(verdict, str) else None,
        found,
        tags.get(f"promotion.{environment}.reason", ""),
    )


_STATUSES: Final = {status.value: status for status in Status}


def _summary(text: str) -> Mapping[str, Any]:
    """What `Evaluation.summary` wrote into a version's tag; empty for whatever else somebody wrote there."""
    if not text:
        return {}
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _metrics(said: object) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in list(said.items())[:_MOST_METRICS] if isinstance(said, dict) else ():
        with suppress(OverflowError):  # an integer of hundreds of digits
            if isinstance(value, int | float) and math.isfinite(value):
                found[name] = float(value)
    return found


def judged_now(world: Observation, now: datetime) -> tuple[Judged, ...]:
    """The verdicts that a look just made, in full."""
    return tuple(
        _judged(state.rules.name, evaluation, now)
        for state in world.states
        for evaluation in (
            *state.evaluations.values(),
            *([state.change.evaluation] if state.change and state.change.evaluation else ()),
        )
    )


def _judged(environment: str, evaluation: Evaluation, now: datetime) -> Judged:
    subject = evaluation.evidence.subject
    lineage, run = subject.lineage, subject.run
    return Judged(
        environment=environment,
        version=evaluation.entry.version,
        at=now,
        verdict=evaluation.verdict,
        digest=evaluation.entry.digest,
        champion=evaluation.champion.version if evaluation.champion else None,
        run=run.run_id if isinstance(run, Run) else "",
        trained_by=run.user if isinstance(run, Run) else "",
        commit=lineage.get("git_commit") or lineage.get(STAND_INS["git_commit"], ""),
        data=lineage.get("data_version", ""),
    )


def remembered(known: tuple[Judged, ...], new: tuple[Judged, ...]) -> tuple[Judged, ...]:
    """The newest verdicts of each environment; one that came out the same keeps the moment of its first time."""
    found: dict[tuple[str, int], Judged] = {(each.environment, each.version): each for each in known}
    for each in new:
        there = found.get((each.environment, each.version))
        is_same = there is not None and there.verdict.to_dict() == each.verdict.to_dict()
        found[each.environment, each.version] = there if there is not None and is_same else each
    kept: list[Judged] = []
    for environment in dict.fromkeys(each.environment for each in found.values()):
        own = sorted((j for j in found.values() if j.environment == environment), key=lambda j: -j.version)
        kept += own[:MOST_JUDGED]
    return tuple(kept)
