"""The evidence that checks judge: plain values that the gateways read once and hand over.

Nothing here fetches. A policy's checks say what they need; just that is read. What could not be read is `Unreadable`,
which a check answers with an *error*; what is not there yet is absent, which it answers with *pending*.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

# --- what a check can need ------------------------------------------------------------------------------------------


class Part(StrEnum):
    """A part of a version's evidence that costs a request or a read.

    `RUN`: the run with its params and tags, and the metrics of the run and the logged model. `MODEL_FILE`: the
    signature that the MLmodel file holds.
    """

    RUN = "run"
    MODEL_FILE = "model file"


# --- what is found --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Evidence whose store did not answer; `reason` names the store and what it said."""

    reason: str


class RunStatus(StrEnum):
    """MLflow's `RunStatus` (https://mlflow.org/docs/latest/api_reference/python_api/mlflow.entities.html)."""

    RUNNING = "RUNNING"
    SCHEDULED = "SCHEDULED"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


@dataclass(frozen=True, slots=True)
class Metric:
    """The latest value of one metric; `dataset` is set where it was logged for a named data set."""

    name: str
    value: float
    dataset: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """The training run of a version: what was logged on it. `user` is MLflow's `mlflow.user`, free text."""

    run_id: str
    status: RunStatus
    user: str
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class VersionEvidence:
    """What is known of one model version.

    `metrics` holds the run's and the logged model's; where both have one of a name and data set, the logged model's.
    `tags` are the version's own, without those that the bot writes, so that its writing never changes the evidence.
    `run` is None for a version that was registered without one. `signature` is the `signature` mapping of the MLmodel
    file, None where the model has none or no check asked for it. `digest` is the content digest of the manifest's
    format, `size` in bytes.
    """

    name: str
    version: int
    created_at: datetime
    run: Run | Unreadable | None = None
    metrics: tuple[Metric, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    model_tags: Mapping[str, str] = field(default_factory=dict)
    signature: Mapping[str, Any] | None = None
    digest: str | Unreadable = ""
    size: int = 0

    @cached_property
    def metrics_by_name(self) -> Mapping[str, tuple[Metric, ...]]:
        """The metrics of each name, one for each data set; made once, since every check looks here."""
        found: dict[str, list[Metric]] = {}
        for metric in self.metrics:
            found.setdefault(metric.name, []).append(metric)
        return {name: tuple(metrics) for name, metrics in found.items()}

    @property
    def lineage(self) -> Mapping[str, str]:
        """Version tags over run tags: a tag set at registration is the more deliberate one."""
        run_tags = self.run.tags if isinstance(self.run, Run) else {}
        return {**run_tags, **self.tags}


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a policy judges a version on, for one environment.

    `champion` is what is live in the environment, None for a first version. `asked_at` is when the version was
    registered or asked for, whichever is later: evidence that is missing times out counted from then.
    """

    environment: str
    subject: VersionEvidence
    champion: VersionEvidence | None
    asked_at: datetime

    def digest(self) -> str:
        """A hash of everything that was read, equal exactly if nothing that a check can see has changed."""
        text = json.dumps(_canonical(self), ensure_ascii=False)
        return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _canonical(value: Any) -> Any:  # noqa: ANN401 - any part of evidence
    """The value in JSON's types; equal for equal values, whatever the order of a mapping's keys."""
    if is_dataclass(value):
        return [type(value).__name__, *(_canonical(getattr(value, each.name)) for each in fields(value))]
    if isinstance(value, Mapping):
        return sorted(([_canonical(key), _canonical(item)] for key, item in value.items()), key=repr)
    if isinstance(value, tuple | list):
        return [_canonical(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return value
