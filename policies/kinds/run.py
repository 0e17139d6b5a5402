"""`run`: the training run ended as it should."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from policies.evidence import Evidence, Part, Run, RunStatus
from policies.kinds.base import FROM_RUN, Finding, Kind, unfinished
from policies.verdict import Status


@dataclass(frozen=True, slots=True)
class RunCheck:
    """The version has a run, and the run is finished."""

    @property
    def needs(self) -> frozenset[Part]:
        """The run."""
        return FROM_RUN

    def judge(self, evidence: Evidence, _now: datetime) -> Finding:
        """How the run ended; one that still goes on is waited for."""
        required = "a run with the status FINISHED"
        run = evidence.subject.run
        if (waiting := unfinished(evidence.subject, required)) is not None:
            return waiting
        if not isinstance(run, Run):
            return Finding(
                Status.FAIL, "the version has no run", required, "Register the model from the run that made it."
            )
        if run.status is RunStatus.FINISHED:
            return Finding(Status.PASS, f"{run.run_id} is FINISHED", required)
        return Finding(
            Status.FAIL,
            f"{run.run_id} is {run.status}",
            required,
            "Train again, and register from a run that finished.",
        )


KIND = Kind(
    name="run",
    summary="The training run ended as it should.",
    schema={
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "status": {"enum": ["finished"], "default": "finished", "description": "How the run must have ended."}
        },
    },
    read=lambda _: RunCheck(),
)
