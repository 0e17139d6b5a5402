"""Where an environment's stage and alias are: on the model's own versions, or on copies in another registered model.

MLflow recommends a registered model for each environment, with versions copied from one to the next
(https://mlflow.org/docs/latest/ml/model-registry/workflow/#promoting-an-mlflow-model-across-environments).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bot.domain.versions import ModelVersion, RegisteredModel
from bot.domain.world import EnvironmentState, Observation


@dataclass(frozen=True, slots=True)
class Carrier:
    """The registered model whose versions carry an environment's stage and alias.

    `copies_of` is the model whose versions are copied there, None where the versions are the model's own. `registered`
    is None where the registry has no such model (yet).
    """

    registered: RegisteredModel | None
    name: str
    copies_of: str | None = None

    @property
    def other(self) -> str | None:
        """Its name where it is another model than the one that is looked at."""
        return self.name if self.copies_of is not None else None

    def version_of(self, number: int) -> ModelVersion | None:
        """What carries the model's version of that number: itself, or its newest copy; None where there is neither."""
        if self.registered is None:
            return None
        if self.copies_of is None:
            return self.registered.version(number)
        copies = (v for v in self.registered.versions if v.copied_from == (self.copies_of, number))
        return max(copies, key=lambda v: v.version, default=None)

    def original_of(self, version: ModelVersion) -> int | None:
        """Which version of the model one of the carrier's is; None where it is a copy of something else."""
        if self.copies_of is None:
            return version.version
        model, number = version.copied_from or (None, None)
        return number if model == self.copies_of else None

    def says(self, version: int) -> str:
        """One of the carrier's versions, for people."""
        return f"v{version}" if self.copies_of is None else f"v{version} of {self.name}"


def carrier_of(world: Observation, state: EnvironmentState) -> Carrier:
    """Where stage and alias of an environment are."""
    target = state.rules.registry
    if target.copy_to is None:
        return Carrier(world.registered, world.model)
    return Carrier(state.copies, target.carrier(world.model), world.model)


def wanted_stages(world: Observation, state: EnvironmentState) -> Mapping[int, str]:
    """The stage of each version of an environment's carrier that has to be in one.

    A version of the model itself has that of the last environment with a stage that it is live in; a copy serves one
    environment only.
    """
    carrier = carrier_of(world, state)
    if carrier.copies_of is None:
        own = (s for s in world.states if s.rules.registry.copy_to is None)
        return {s.live.version: s.rules.registry.stage for s in own if s.live is not None and s.rules.registry.stage}
    live = carrier.version_of(state.live.version) if state.live is not None else None
    stage = state.rules.registry.stage
    return {live.version: stage} if live is not None and stage else {}
