"""Drift: the registry differs from the authorised manifest although nobody merged anything."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from bot.domain import naming
from bot.domain.actions import (
    Action,
    CloseDrift,
    DeleteAlias,
    ReportDrift,
    SetAlias,
    SetModelTags,
    SetStage,
)
from bot.domain.merged import live_stages
from bot.domain.pipeline import Drift
from bot.domain.world import Completion, EnvironmentState, Observation

MOST_REPAIRS: Final = 2  # of one environment while the same entry is live; then somebody keeps clicking


@dataclass(frozen=True, slots=True)
class Drifted:
    """One thing that is not as the manifest says, and what puts it right."""

    what: str
    repair: SetStage | SetAlias | DeleteAlias


def settle_drift(world: Observation, now: datetime) -> Iterator[Action]:  # noqa: ARG001 - as every part of `decide`
    """Report what drifted, or repair it where the environment says so and nobody keeps undoing it."""
    for state in world.states:
        if world.registered is None or state.last is None:
            continue
        key = naming.drift_tag(state.rules.name)
        known = _Known.read(world.registered.tags.get(key, ""), state.last.commit)
        found = drift_of(world, state)
        if not found:
            if known.reported and state.last.completed is Completion.SUCCESS:
                yield CloseDrift(state.rules.name)
                yield SetModelTags({key: str(replace(known, reported=""))})
        elif state.rules.drift is Drift.REPAIR and known.repairs < MOST_REPAIRS:
            yield SetModelTags({key: str(replace(known, repairs=known.repairs + 1))})
            yield from (drifted.repair for drifted in found)
        else:
            what = tuple(drifted.what for drifted in found)
            said = replace(known, reported=hashlib.sha256("\n".join(what).encode()).hexdigest()[:8])
            if said != known:
                yield ReportDrift(state.rules.name, what, known.repairs)
                yield SetModelTags({key: str(said)})


@dataclass(frozen=True, slots=True)
class _Known:
    """What the model's tag remembers: repairs since `commit` put live what is live, and what is reported."""

    commit: str
    repairs: int = 0
    reported: str = ""

    @classmethod
    def read(cls, text: str, commit: str) -> _Known:
        """The tag; a report outlasts the change that follows it, so that its issue is closed."""
        there, _, rest = text.partition(" ")
        repairs, _, reported = rest.partition(" ")
        counts = there == commit[:12] and repairs.isdecimal()
        return cls(commit[:12], int(repairs) if counts else 0, reported)

    def __str__(self) -> str:
        return f"{self.commit} {self.repairs} {self.reported}".strip()


def drift_of(world: Observation, state: EnvironmentState) -> tuple[Drifted, ...]:
    """What differs in one environment, once everything that was merged is carried out."""
    last = state.last
    if last is None or last.completed is not Completion.SUCCESS or state.change is not None:
        return ()
    if any(s.last is not None and s.last.completed is None for s in world.states):
        return ()  # what is under way elsewhere moves stages too
    return tuple(_alias(world, state)) + tuple(_stages(world, state))


def _alias(world: Observation, state: EnvironmentState) -> Iterator[Drifted]:
    alias, registered = state.rules.registry.alias, world.registered
    if not alias or registered is None:
        return
    there = registered.aliases.get(alias)
    if state.live is None:
        if there is not None:
            yield Drifted(f"the alias {alias} points at v{there}, and nothing is live", DeleteAlias(alias))
    elif there != state.live.version and registered.version(state.live.version) is not None:
        points = f"points at v{there}" if there is not None else "is not there"
        yield Drifted(
            f"the alias {alias} {points}, and v{state.live.version} is live", SetAlias(alias, state.live.version)
        )


def _stages(world: Observation, state: EnvironmentState) -> Iterator[Drifted]:
    target, registered = state.rules.registry.stage, world.registered
    if target is None or registered is None:
        return
    live, stages = state.live, live_stages(world)
    for version in registered.versions:
        wanted = stages.get(version.version)
        is_here = live is not None and version.version == live.version
        if is_here and wanted == target and version.stage != target:
            yield Drifted(
                f"v{version.version} is in the stage {version.stage}, and it is live",
                SetStage(version.version, target),
            )
        elif not is_here and version.stage == target and wanted != target:
            if _was_live(world, version.version) and not state.rules.registry.archive_existing:
                continue  # nobody asked for it to leave the stage
            back = wanted or ("Archived" if _was_live(world, version.version) else "None")
            what = f"v{version.version} is in the stage {target}, and it is not live"
            yield Drifted(what, SetStage(version.version, back))


def _was_live(world: Observation, version: int) -> bool:
    return any(j.entry is not None and j.entry.version == version for s in world.states for j in s.authorised)
