"""Reading two versions of a model to compare them."""

from __future__ import annotations

from dataclasses import replace

from bot.domain.comparison import Comparison, compare
from bot.domain.versions import RegisteredModel
from bot.gateways.registry import Registry
from policies.evidence import VersionEvidence
from workers.reading import version_of


def compared(registry: Registry, model: RegisteredModel, versions: tuple[int, int]) -> Comparison:
    """Two versions side by side; raises Refused where one is not there."""
    return compare(_read(registry, model, versions[0]), _read(registry, model, versions[1]))


def _read(registry: Registry, model: RegisteredModel, number: int) -> VersionEvidence:
    version = version_of(model, number)
    return replace(registry.version_evidence(model, version), signature=registry.model_file(version).signature)
