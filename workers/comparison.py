"""Reading two versions of a model to compare them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from bot.domain.comparison import Comparison, Row, compare
from bot.domain.errors import Refused
from bot.domain.versions import ModelVersion, RegisteredModel
from bot.gateways.artifacts import Artifacts
from bot.gateways.registry import Registry
from policies.evidence import VersionEvidence
from workers.reading import version_of

log = logging.getLogger("promotion-bot")


def compared(registry: Registry, model: RegisteredModel, versions: tuple[int, int]) -> Comparison:
    """Two versions side by side; raises Refused where one is not there."""
    return compare(_read(registry, model, versions[0]), _read(registry, model, versions[1]))


def sized(comparison: Comparison, artifacts: Artifacts, model: RegisteredModel) -> Comparison:
    """The comparison with the number and bytes of the files too; nothing of a version whose files cannot be had."""
    one, other = (_size(artifacts, version_of(model, number)) for number in (comparison.before, comparison.after))
    rows = tuple(Row(name, one.get(name), other.get(name)) for name in ("bytes", "files"))
    return replace(comparison, size=rows)


def _size(artifacts: Artifacts, version: ModelVersion) -> Mapping[str, int]:
    try:
        listed = artifacts.listing(version)
    except Refused as refusal:
        log.warning("the size of version %s of %s is not known: %s", version.version, version.name, refusal)
        return {}
    return {"bytes": sum(size for _, size in listed), "files": len(listed)}


def _read(registry: Registry, model: RegisteredModel, number: int) -> VersionEvidence:
    version = version_of(model, number)
    return replace(registry.version_evidence(model, version), signature=registry.model_file(version).signature)
