"""`lineage`: it is recorded where the version came from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from policies.evidence import Evidence, Part, Unreadable
from policies.kinds.base import FROM_RUN, Finding, Kind, did_you_mean
from policies.verdict import Status

_COMMIT = re.compile(r"[0-9a-f]{7,64}", re.ASCII)
# MLflow records the commit of the training code by itself where it runs inside a git work tree.
_STAND_INS: Final[Mapping[str, str]] = {"git_commit": "mlflow.source.git.commit"}


@dataclass(frozen=True, slots=True)
class LineageCheck:
    """Each of `required_tags` stands on the version or its run, is not empty, and is well formed."""

    required_tags: tuple[str, ...]

    @property
    def needs(self) -> frozenset[Part]:
        """The run."""
        return FROM_RUN

    def judge(self, evidence: Evidence, _now: datetime) -> Finding:
        """What is missing, empty or malformed; an empty tag fails at once, one that is missing may still come."""
        required = "tags " + ", ".join(self.required_tags)
        if isinstance(evidence.subject.run, Unreadable):
            return Finding(Status.ERROR, evidence.subject.run.reason, required, "Nothing to do: it is tried again.")
        lineage = evidence.subject.lineage
        missing, wrong, seen = [], [], []
        for name in self.required_tags:
            value = lineage.get(name, lineage.get(_STAND_INS.get(name, name)))
            if value is None:
                missing.append(name + did_you_mean(name, lineage))
            elif not value.strip():
                wrong.append(f"“{name}” is empty")
            elif name == "git_commit" and not _COMMIT.fullmatch(value.strip()):
                wrong.append(f"“{name}” is “{value[:60]}”, which is no commit")
            else:
                seen.append(f"{name}={value[:60]}")
        if wrong:
            return Finding(Status.FAIL, "; ".join(wrong), required, "Set the tags on the run or the version.")
        if missing:
            names = ", ".join(missing)
            return Finding(Status.PENDING, f"not there: {names}", required, f"Set {names} on the run or the version.")
        return Finding(Status.PASS, ", ".join(seen), required)


KIND = Kind(
    name="lineage",
    summary="Tags on the version or its run say where it came from.",
    schema={
        "type": "object",
        "additionalProperties": False,
        "required": ["require"],
        "properties": {
            "require": {
                "type": "array",
                "minItems": 1,
                "uniqueItems": True,
                "items": {"type": "string", "minLength": 1},
                "description": "The tags that must be there; git_commit must be a commit id.",
            }
        },
    },
    read=lambda said: LineageCheck(tuple(said["require"])),
)
