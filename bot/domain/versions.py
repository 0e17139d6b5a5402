"""Registered models and their versions as the registry holds them now."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

_NUMBER: Final = re.compile(r"[vV]?([1-9]\d{0,8})", re.ASCII)


class VersionStatus(StrEnum):
    """MLflow's `ModelVersionStatus`: only a READY version has all its files."""

    READY = "READY"
    PENDING_REGISTRATION = "PENDING_REGISTRATION"
    FAILED_REGISTRATION = "FAILED_REGISTRATION"


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of a registered model; `tags` are all of its tags, the bot's own too.

    `source` is what was registered: `models:/m-…`, `runs:/…`, `mlflow-artifacts:/…`, or a path or URI of the
    store. `user` is what the client said of itself, often empty. `stage` is "None", "Staging", "Production"
    or "Archived", as MLflow spells them. `created_at` is aware, in UTC.
    """

    name: str
    version: int
    created_at: datetime
    status: VersionStatus = VersionStatus.READY
    stage: str = "None"
    run_id: str | None = None
    source: str = ""
    user: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def copied_from(self) -> tuple[str, int] | None:
        """Name and number of the version that it is a copy of; None where it was registered by itself."""
        return copied_version(self.source)


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A registered model with its existing versions, ascending by number; `aliases` map to numbers."""

    name: str
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, int] = field(default_factory=dict)
    versions: tuple[ModelVersion, ...] = ()

    def version(self, number: int) -> ModelVersion | None:
        """The version of that number; None if it was never registered or is deleted."""
        return next((version for version in self.versions if version.version == number), None)


def version_number(text: str) -> int:
    """The number that a person writes as 7 or v7; raises ValueError that says so."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise ValueError(f"“{text}” is not a version such as 7 or v7")
    return int(found[1])


def copied_version(source: str) -> tuple[str, int] | None:
    """Name and number in a `models:/NAME/NUMBER` source, which copying a version leaves; None for every other."""
    match = re.fullmatch(r"models:/(.+)/(\d{1,9})", source, re.DOTALL | re.ASCII)
    return (match[1], int(match[2])) if match else None
