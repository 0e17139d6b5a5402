"""The lineage of one version, read from the registry and its runs; what GitHub knows is not asked."""

from __future__ import annotations

from bot.domain.lineage import Lineage, lineage_of, origin_of
from bot.domain.versions import ModelVersion, RegisteredModel, copied_version
from bot.gateways.kin import Relatives
from bot.gateways.registry import Registry


def read_lineage(registry: Registry, model: RegisteredModel, version: ModelVersion) -> Lineage:
    """Where a version of the model comes from, its relatives among the others, and where it went."""
    origin = origin_of(registry.version_evidence(model, version), version.run_id)
    return lineage_of(model, version, origin, Relatives(registry).of(origin), copied_version(version.source))
