"""`lineage`: it is recorded where the version came from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from policies.evidence import STAND_INS, Commit, Evidence, Need, OnBranch, Unreadable, Unusable
from policies.kinds.base import FROM_RUN, Finding, Kind, did_you_mean, unreadable
from policies.verdict import Status

_COMMIT = re.compile(r"[0-9a-f]{7,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class LineageCheck:
    """Each of `required_tags` stands on the version or its run, is not empty, and is well formed.

    With `git` the commit is also in that repository, on that branch.
    """

    required_tags: tuple[str, ...]
    git: OnBranch | None = None

    @property
    def needs(self) -> frozenset[Need]:
        """The run; what the repository knows of the commit."""
        return FROM_RUN | ({self.git} if self.git else frozenset())

    def judge(self, evidence: Evidence, _now: datetime) -> Finding:
        """What is missing, empty or malformed; an empty tag fails at once, one that is missing may still come."""
        required = "tags " + ", ".join(self.required_tags)
        if isinstance(evidence.subject.run, Unreadable):
            return unreadable(evidence.subject.run, required)
        lineage = evidence.subject.lineage
        missing, wrong, seen = [], [], []
        for name in self.required_tags:
            value = lineage.get(name, lineage.get(STAND_INS.get(name, name)))
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
        if self.git is not None:
            return _in_git(self.git, evidence, ", ".join(seen), required)
        return Finding(Status.PASS, ", ".join(seen), required)


def _in_git(git: OnBranch, evidence: Evidence, measured: str, required: str) -> Finding:
    required = f"{required}; the commit is on {git.branch} of {git.repository}"
    found = evidence.commits.get(git)
    remedy = f"Push the commit to {git.branch} of {git.repository}, or train from one that is there."
    match found:
        case Commit(sha, exists=True, on_branch=True):
            return Finding(Status.PASS, f"{measured}; {sha[:12]} is on {git.branch}", required)
        case Commit(sha, exists=True):
            return Finding(Status.FAIL, f"{sha[:12]} is not on {git.branch}", required, remedy)
        case Commit(sha):
            return Finding(Status.FAIL, f"{sha[:12]} is not in {git.repository}", required, remedy)
        case Unusable(reason):
            return Finding(Status.FAIL, reason, required, remedy)
        case Unreadable():
            return unreadable(found, required)
        case None:
            return Finding(Status.PENDING, f"{git.repository} was not asked yet", required)


def _read(said: Mapping[str, Any]) -> LineageCheck:
    if "git" not in said:
        return LineageCheck(tuple(said["require"]))
    names = dict.fromkeys((*said["require"], "git_commit"))
    return LineageCheck(tuple(names), OnBranch(said["git"]["repository"], said["git"]["branch"]))


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
            },
            "git": {
                "type": "object",
                "additionalProperties": False,
                "required": ["repository", "branch"],
                "properties": {
                    "repository": {
                        "type": "string",
                        "pattern": "^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$",
                        "description": "owner/name of the training code; the bot may read it",
                    },
                    "branch": {"type": "string", "minLength": 1, "description": "The branch that holds the commit."},
                },
                "description": "Where the commit of the tag git_commit must be.",
            },
        },
    },
    read=_read,
)
