"""`tag`: a tag of the version, its run or its registered model has a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from policies.evidence import Evidence, Need, Run, Unreadable
from policies.kinds.base import FROM_RUN, NOTHING, Finding, Kind, did_you_mean, unreadable
from policies.kinds.values import RULE_PROPERTIES, ValueRule, read_rule, rule_complaints


class On(StrEnum):
    """What carries the tag."""

    VERSION = "version"
    RUN = "run"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class TagCheck:
    """The tag `name` obeys a rule."""

    name: str
    on: On
    rule: ValueRule

    @property
    def needs(self) -> frozenset[Need]:
        """The run, for a tag of it."""
        return FROM_RUN if self.on is On.RUN else NOTHING

    def judge(self, evidence: Evidence, _now: datetime) -> Finding:
        """Whether the tag's value obeys the rule."""
        what = f"the tag “{self.name}” of the {self.on}"
        if self.on is On.RUN and isinstance(evidence.subject.run, Unreadable):
            return unreadable(evidence.subject.run, f"{what} {self.rule}")
        tags = self._tags(evidence)
        return self.rule.judge(what, tags.get(self.name), did_you_mean(self.name, tags))

    def _tags(self, evidence: Evidence) -> Mapping[str, str]:
        subject = evidence.subject
        match self.on:
            case On.VERSION:
                return subject.tags
            case On.MODEL:
                return subject.model_tags
            case On.RUN:
                return subject.run.tags if isinstance(subject.run, Run) else {}


def _read(said: Mapping[str, Any]) -> TagCheck:
    return TagCheck(said["name"], On(said.get("on", "version")), read_rule(said))


KIND = Kind(
    name="tag",
    summary="A tag of the version, its run or its registered model is there, or has a value.",
    schema={
        "type": "object",
        "additionalProperties": False,
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 250, "description": "The tag's key."},
            "on": {"enum": [on.value for on in On], "default": "version", "description": "What carries the tag."},
            **RULE_PROPERTIES,
        },
    },
    read=_read,
    complaints=rule_complaints,
)
