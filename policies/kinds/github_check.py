"""`github_check`: the team's own CI is green, on the proposal or on the training commit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from policies.evidence import CheckedCommit, CiState, Evidence, GithubCheck, Need, Part, Unreadable
from policies.kinds.base import Complaint, Finding, Kind, unreadable
from policies.verdict import Status


@dataclass(frozen=True, slots=True)
class GithubCheckCheck:
    """The newest check run or status of a name by one App or user is a success."""

    wanted: GithubCheck

    @property
    def needs(self) -> frozenset[Need]:
        """The check; the lineage too where it runs on the training commit."""
        on_training = self.wanted.on is CheckedCommit.GIT_COMMIT
        return frozenset({self.wanted, Part.RUN} if on_training else {self.wanted})

    def judge(self, evidence: Evidence, _now: datetime) -> Finding:
        """How it stands; one that has nothing to run on yet waits without holding back the proposal."""
        wanted = self.wanted
        by = f"the App {wanted.app}" if wanted.app else f"the user {wanted.user}"
        on_proposal = wanted.on is CheckedCommit.PROPOSAL
        required = f"“{wanted.name}” by {by} is green on the {'proposal' if on_proposal else 'training commit'}"
        if on_proposal and evidence.proposed_at is None:
            return Finding(Status.PENDING, "runs once there is a pull request", required, needs_proposal=True)
        found = evidence.ci.get(wanted)
        since = evidence.proposed_at if on_proposal else None
        if isinstance(found, Unreadable):
            return unreadable(found, required)
        if found is None:
            remedy = f"Have {by} run “{wanted.name}” on it."
            return Finding(
                Status.PENDING, "has not reported yet", required, remedy, since=since, needs_proposal=on_proposal
            )
        where = f" ({found.url})" if found.url else ""
        match found.state:
            case CiState.SUCCESS:
                return Finding(Status.PASS, f"green{where}", required)
            case CiState.RUNNING:
                return Finding(Status.PENDING, f"is running{where}", required, since=since, needs_proposal=on_proposal)
            case CiState.FAILURE:
                return Finding(Status.FAIL, f"failed{where}", required, "Look at its log, and run it again.")


def _read(said: Mapping[str, Any]) -> GithubCheckCheck:
    on = CheckedCommit(said.get("on", "proposal"))
    return GithubCheckCheck(GithubCheck(said["name"], said.get("app"), said.get("user"), on, said.get("repository")))


def _complaints(said: Mapping[str, Any]) -> Iterator[Complaint]:
    if ("app" in said) == ("user" in said):
        yield (), "needs an app or a user: whose check of that name counts"
    if said.get("on") == CheckedCommit.GIT_COMMIT and "repository" not in said:
        yield (), "needs the repository that the training commit is in"
    if said.get("on", "proposal") == CheckedCommit.PROPOSAL and "repository" in said:
        yield ("repository",), "a proposal is always in the deploy repository"


_LOGIN = {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9-]{0,99}(\[bot\])?$"}

KIND = Kind(
    name="github_check",
    summary="A check or status of the team's own CI is green.",
    schema={
        "type": "object",
        "additionalProperties": False,
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 200, "description": "The check's name or context."},
            "app": {**_LOGIN, "description": "the slug of the App that writes it, such as github-actions"},
            "user": {**_LOGIN, "description": "the login of the user who writes it"},
            "on": {
                "enum": [commit.value for commit in CheckedCommit],
                "default": "proposal",
                "description": "The commit that it runs on: the pull request's head, or the training commit.",
            },
            "repository": {
                "type": "string",
                "pattern": "^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$",
                "description": "owner/name, where the training commit is",
            },
        },
    },
    read=_read,
    complaints=_complaints,
)
