"""Something that happened to a model in an environment, for those who are told and for the metrics."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class HappeningKind(StrEnum):
    """What may happen to a model in an environment."""

    PROPOSED = "proposed"
    WAITING = "waiting"
    REFUSED = "refused"
    LIVE = "live"
    ROLLED_BACK = "rolled_back"
    DRIFT = "drift"


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happened, once. `occasion` tells it from others of its kind with the same version.

    `version` is None where it is about none. `details` are lines for people, `pull_request` where it can be looked at.
    `registered_at` is known of what went live.
    """

    kind: HappeningKind
    repository: str
    model: str
    environment: str
    version: int | None
    occasion: str
    details: tuple[str, ...] = ()
    pull_request: int | None = None
    by: str = ""
    registered_at: datetime | None = None

    @property
    def id(self) -> str:
        """The same for the same thing, whoever sees it and however often."""
        subject = [self.kind, self.repository, self.model, self.environment, self.version, self.occasion]
        return hashlib.sha256(json.dumps(subject).encode()).hexdigest()[:32]

    def to_dict(self) -> dict[str, Any]:
        """The happening as JSON values."""
        return {
            "id": self.id,
            "event": self.kind.value,
            "repository": self.repository,
            "model": self.model,
            "environment": self.environment,
            "version": self.version,
            "pull_request": self.pull_request,
            "by": self.by or None,
            "details": list(self.details),
        }
