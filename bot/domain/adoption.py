"""Beginning with models that are live already: a pipeline and a manifest that state it, so that nothing changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from itertools import product
from typing import Final

from bot.domain.drift import drift_of
from bot.domain.manifest import Entry
from bot.domain.pipeline import Environment, Pipeline, RegistryTarget
from bot.domain.versions import RegisteredModel
from bot.domain.world import ChangeKind, Completion, EnvironmentState, Judgement, Observation, Ruling

USUAL_ENVIRONMENTS: Final = ("staging", "production")
# What teams call what is live there, the usual name first: it is taken where none is in use.
_ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    "staging": ("staging", "challenger", "stage"),
    "production": ("champion", "production", "prod", "live"),
}
_STAGES: Final[Mapping[str, str]] = {"staging": "Staging", "production": "Production"}
_SOME_TIME: Final = datetime(2026, 1, 1, tzinfo=UTC)  # drift does not depend on it


@dataclass(frozen=True, slots=True)
class Start:
    """How a repository begins: globs of models, environments in order, a policy of the library, who approves.

    The last environment needs `approvals`; `approvers` are logins and `@organisation/team`, nobody named means whoever
    may write.
    """

    models: tuple[str, ...]
    targets: Mapping[str, RegistryTarget]
    policy: str = "baseline"
    approvals: int = 1
    approvers: tuple[str, ...] = ()

    def owns(self, model: str) -> bool:
        """Whether a registered model is to be adopted."""
        return any(fnmatchcase(model, pattern) for pattern in self.models)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A model that is not stated as live in an environment, and why."""

    model: str
    environment: str
    why: str


@dataclass(frozen=True, slots=True)
class Stated:
    """The version of each (model, environment) that is live today, and what cannot be said without drift."""

    versions: Mapping[tuple[str, str], int] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()


def state(
    models: Sequence[RegisteredModel],
    targets: Mapping[str, RegistryTarget],
    unreadable: Mapping[tuple[str, int], str] | None = None,
) -> Stated:
    """What is live now, by the stages and aliases of `targets`; `unreadable` says why a version has no digest.

    What would differ from the registry the moment it is merged is left out: a model without an entry is left alone.
    """
    versions: dict[tuple[str, str], int] = {}
    left_out: list[LeftOut] = []
    for model in models:
        why = {number: reason for (name, number), reason in (unreadable or {}).items() if name == model.name}
        stated = _stated(model, targets, why)
        versions |= {(model.name, environment): number for environment, number in stated.versions.items()}
        left_out += [LeftOut(model.name, environment, reason) for environment, reason in stated.reasons.items()]
    return Stated(versions, tuple(left_out))


@dataclass(frozen=True, slots=True)
class _OfModel:
    versions: Mapping[str, int]
    reasons: Mapping[str, str]


def _stated(model: RegisteredModel, targets: Mapping[str, RegistryTarget], unreadable: Mapping[int, str]) -> _OfModel:
    there = {name: number for name, target in targets.items() if (number := _live_in(model, target)) is not None}
    reasons = {name: unreadable[number] for name, number in there.items() if number in unreadable}
    versions = {name: number for name, number in there.items() if name not in reasons}
    while drifting := dict(_drifting(model, targets, versions)):
        reasons |= drifting
        versions = {name: number for name, number in versions.items() if name not in drifting}
    return _OfModel(versions, reasons)


def _live_in(model: RegisteredModel, target: RegistryTarget) -> int | None:
    """What an alias names, else the newest version of the stage."""
    named = model.aliases.get(target.alias) if target.alias else None
    if named is not None:
        return named
    staged = [v.version for v in model.versions if target.stage is not None and v.stage == target.stage]
    return max(staged, default=None)


def _drifting(
    model: RegisteredModel, targets: Mapping[str, RegistryTarget], versions: Mapping[str, int]
) -> Iterator[tuple[str, str]]:
    """The environments that would drift if `versions` were adopted, with what would differ: by the bot's own eyes."""
    environments = tuple(Environment(name, "", target) for name, target in targets.items())
    states = {rules.name: _adopted(rules, versions.get(rules.name)) for rules in environments}
    world = Observation("", model.name, "", Pipeline(environments, (model.name,)), model, states)
    for name in versions:
        if found := drift_of(world, states[name]):
            yield name, "; ".join(drifted.what for drifted in found)


def _adopted(rules: Environment, version: int | None) -> EnvironmentState:
    if version is None:
        return EnvironmentState(rules)
    judgement = Judgement(
        entry=Entry(version, ""),
        commit="",
        ruling=Ruling.AUTHORISED,
        kind=ChangeKind.ADOPTION,
        at=_SOME_TIME,
        completed=Completion.SUCCESS,
        completed_at=_SOME_TIME,
    )
    return EnvironmentState(rules, judgement.entry, (judgement,))


def targets_in_use(models: Sequence[RegisteredModel], environments: Sequence[str]) -> dict[str, RegistryTarget]:
    """The stage and alias by which each environment's live versions are marked today.

    Of several ways the one that states the most without drift is taken. Where nothing is live yet it is an alias
    alone: MLflow has deprecated stages.
    """
    names = tuple(environments)
    ways = product(*(_ways(models, name) for name in names))
    candidates = [dict(zip(names, way, strict=True)) for way in ways]
    return max(candidates, key=lambda targets: len(state(models, targets).versions))


def _ways(models: Sequence[RegisteredModel], environment: str) -> list[RegistryTarget]:
    usual, stage = _ALIASES.get(environment, (environment,)), _STAGES.get(environment)
    uses = {alias: sum(alias in model.aliases for model in models) for alias in usual}
    alias = max(usual, key=lambda name: uses[name])
    if stage is None or not any(v.stage == stage for model in models for v in model.versions):
        return [RegistryTarget(alias=alias)]
    staged = RegistryTarget(stage=stage, archive_existing=True)
    return [replace(staged, alias=alias), RegistryTarget(alias=alias), staged] if uses[alias] else [staged]
