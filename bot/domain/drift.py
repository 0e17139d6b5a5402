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
    CopyVersion,
    DeleteAlias,
    ReportDrift,
    SetAlias,
    SetModelTags,
    SetStage,
)
from bot.domain.carriers import carrier_of, wanted_stages
from bot.domain.pipeline import Drift
from bot.domain.world import Completion, EnvironmentState, Observation

MOST_REPAIRS: Final = 2  # of one environment while the same entry is live; then somebody keeps clicking


@dataclass(frozen=True, slots=True)
class Drifted:
    """One thing that is not as the manifest says, and what puts it right."""

    what: str
    repair: SetStage | SetAlias | DeleteAlias | CopyVersion


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
    return (*_copy(world, state), *_alias(world, state), *_stages(world, state))


def _alias(world: Observation, state: EnvironmentState) -> Iterator[Drifted]:
    alias, carrier = state.rules.registry.alias, carrier_of(world, state)
    if not alias or carrier.registered is None:
        return
    there = carrier.registered.aliases.get(alias)
    if state.live is None:
        if there is not None:
            what = f"the alias {alias} points at {carrier.says(there)}, and nothing is live"
            yield Drifted(what, DeleteAlias(alias, carrier.other))
        return
    carried = carrier.version_of(state.live.version)
    if carried is not None and there != carried.version:
        points = f"points at {carrier.says(there)}" if there is not None else "is not there"
        what = f"the alias {alias} {points}, and {carrier.says(carried.version)} is live"
        yield Drifted(what, SetAlias(alias, carried.version, carrier.other))


def _copy(world: Observation, state: EnvironmentState) -> Iterator[Drifted]:
    carrier, live = carrier_of(world, state), state.live
    if carrier.other is None or live is None or world.version(live.version) is None:
        return
    if carrier.version_of(live.version) is None:
        what = f"{carrier.name} has no copy of v{live.version}, which is live"
        yield Drifted(what, CopyVersion(live.version, carrier.name))


def _stages(world: Observation, state: EnvironmentState) -> Iterator[Drifted]:
    target, carrier = state.rules.registry.stage, carrier_of(world, state)
    if target is None or carrier.registered is None:
        return
    live, stages = state.live, wanted_stages(world, state)
    for version in carrier.registered.versions:
        wanted, original = stages.get(version.version), carrier.original_of(version)
        said = carrier.says(version.version)
        is_here = live is not None and original == live.version
        if is_here and wanted == target and version.stage != target:
            yield Drifted(
                f"{said} is in the stage {version.stage}, and it is live",
                SetStage(version.version, target, carrier.other),
            )
        elif not is_here and version.stage == target and wanted != target:
            was_live = original is not None and _was_live(world, original)
            if was_live and not state.rules.registry.archive_existing:
                continue  # nobody asked for it to leave the stage
            back = wanted or ("Archived" if was_live else "None")
            what = f"{said} is in the stage {target}, and it is not live"
            yield Drifted(what, SetStage(version.version, back, carrier.other))


def _was_live(world: Observation, version: int) -> bool:
    return any(j.entry is not None and j.entry.version == version for s in world.states for j in s.authorised)
