"""`param`: a parameter of the training run has a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from policies.evidence import Evidence, Need, Run
from policies.kinds.base import FROM_RUN, Finding, Kind, did_you_mean, unfinished
from policies.kinds.values import RULE_PROPERTIES, ValueRule, read_rule, rule_complaints


@dataclass(frozen=True, slots=True)
class ParamCheck:
    """The parameter `name` obeys a rule."""

    name: str
    rule: ValueRule

    @property
    def needs(self) -> frozenset[Need]:
        """The run."""
        return FROM_RUN

    def judge(self, evidence: Evidence, _now: datetime) -> Finding:
        """Whether the parameter's value obeys the rule."""
        what = f"the parameter “{self.name}”"
        if (waiting := unfinished(evidence.subject, f"{what} {self.rule}")) is not None:
            return waiting
        params = evidence.subject.run.params if isinstance(evidence.subject.run, Run) else {}
        return self.rule.judge(what, params.get(self.name), did_you_mean(self.name, params))


def _read(said: Mapping[str, Any]) -> ParamCheck:
    return ParamCheck(said["name"], read_rule(said))


KIND = Kind(
    name="param",
    summary="A parameter of the training run is there, or has a value.",
    schema={
        "type": "object",
        "additionalProperties": False,
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 250, "description": "The parameter's name."},
            **RULE_PROPERTIES,
        },
    },
    read=_read,
    complaints=rule_complaints,
)
