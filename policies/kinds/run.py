"""`run`: the training run ended as it should."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from policies.evidence import Evidence, Need, Run, RunStatus
from policies.kinds.base import FROM_RUN, Finding, Kind, unfinished
from policies.verdict import Status


@dataclass(frozen=True, slots=True)
class RunCheck:
    """The version has a run, the run is finished, and the version was made by one of `registered_by`, if any."""

    registered_by: tuple[str, ...] = ()

    @property
    def needs(self) -> frozenset[Need]:
        """The run."""
        return FROM_RUN

    def judge(self, evidence: Evidence, _now: datetime) -> Finding:
        """How the run ended; one that still goes on is waited for."""
        who = f", registered by {' or '.join(self.registered_by)}" if self.registered_by else ""
        required = f"a run with the status FINISHED{who}"
        run = evidence.subject.run
        if (waiting := unfinished(evidence.subject, required)) is not None:
            return waiting
        if not isinstance(run, Run):
            return Finding(
                Status.FAIL, "the version has no run", required, "Register the model from the run that made it."
            )
        measured = f"{run.run_id} is {run.status}"
        if run.status is not RunStatus.FINISHED:
            return Finding(Status.FAIL, measured, required, "Train again, and register from a run that finished.")
        trainer = evidence.subject.trainer
        measured += f", by {trainer}" if trainer else ""
        if self.registered_by and trainer not in self.registered_by:
            measured += "" if trainer else ", by nobody whom MLflow knows"
            return Finding(Status.FAIL, measured, required, "Have one of them train and register it.")
        return Finding(Status.PASS, measured, required)


KIND = Kind(
    name="run",
    summary="The training run ended as it should.",
    schema={
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "status": {"enum": ["finished"], "default": "finished", "description": "How the run must have ended."},
            "registered_by": {
                "type": "array",
                "minItems": 1,
                "uniqueItems": True,
                "items": {"type": "string", "minLength": 1, "maxLength": 200},
                "description": "MLflow users, one of whom made the version; MLflow takes any name that a client gives.",
            },
        },
    },
    read=lambda said: RunCheck(tuple(said.get("registered_by", ()))),
)
