"""One observation of the world for one model in one repository: everything `decide` looks at, as values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from math import isfinite
from typing import Final

from bot.domain.approvals import Approvals
from bot.domain.fingerprint import Fingerprint
from bot.domain.instructions import (
    HOLD_LABEL,
    Holding,
    Instruction,
    WentBack,
    holding,
    overrides_of,
    request_of,
)
from bot.domain.manifest import Entry
from bot.domain.pipeline import Environment, Pipeline
from bot.domain.pull_requests import Check, PullRequest
from bot.domain.versions import ModelVersion, RegisteredModel
from policies.evidence import Evidence, Unreadable, Unusable
from policies.verdict import Verdict

# A hidden line in the text of a merged proposal; a cache only: without it the text is written again.
LIVE_MARKER = "<!-- promotion-bot:settled -->"


class Ruling(StrEnum):
    """What was decided, once, about a changed entry."""

    AUTHORISED = "authorised"
    REFUSED = "refused"


class ChangeKind(StrEnum):
    """What sort of change an entry went through; each asks for something else."""

    PROMOTION = "promotion"
    ROLLBACK = "rollback"
    REMOVAL = "removal"
    ADOPTION = "adoption"


class Completion(StrEnum):
    """Where carrying out a judgement stands: the last status of its deployment, in GitHub's words."""

    SUCCESS = "success"
    FAILURE = "failure"
    INACTIVE = "inactive"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The bot's deployment on the commit that changed an entry: what it decided there, by GitHub's clock.

    `entry` is None where the change removed it. `by` is the login of who merged, `approved_by` whose approvals
    counted, `policy` the blob id of the policy that judged. `lacking` names what a refusal stands on: failed checks,
    `window`, and what nobody may override. `completed` is None until everything that follows from the ruling is
    there; `completed_at` is when it was, which for an authorised entry is when it went live.
    """

    entry: Entry | None
    commit: str
    ruling: Ruling
    kind: ChangeKind
    at: datetime
    pull_request: int | None = None
    reasons: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    by: str = ""
    policy: str = ""
    approved_by: tuple[str, ...] = ()
    completed: Completion | None = None
    completed_at: datetime | None = None

    @property
    def went_back(self) -> WentBack | None:
        """The rollback that it is; None for another change."""
        if self.kind is not ChangeKind.ROLLBACK or self.entry is None:
            return None
        return WentBack(self.at, self.by, self.entry.version, self.commit)


_MOST_SUMMARISED: Final = 50  # checks; a tag of MLflow's holds 5,000 characters
_LONGEST_NUMBER: Final = 14  # characters of six digits with sign, exponent and commas
_ROOM_FOR_METRICS: Final = 1_200  # characters of the same tag


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A policy's verdict on one version, with all that it was bound to.

    `policy` and `pipeline` are git blob ids, `champion` the entry that was live. `release` is the semantic version
    that the version has or gets. `without_files` says why the version's files could not be had this time.
    """

    entry: Entry
    verdict: Verdict
    evidence: Evidence
    policy: str
    pipeline: str
    champion: Entry | None
    without_files: Unreadable | Unusable | None = None

    @property
    def found(self) -> Found:
        """The version's files, as they were read for this evaluation."""
        return Found(self.without_files or self.entry.digest)

    def summary(self) -> str:
        """The verdict in a line of JSON that is the same while nothing that it stands on has changed."""
        outcomes = self.verdict.outcomes[:_MOST_SUMMARISED]
        said = {
            "status": self.verdict.status.value,
            "policy": self.policy,
            "evidence": self.evidence.digest(),
            "checks": {outcome.check: outcome.status.value for outcome in outcomes},
            "metrics": self._metrics(),
        }
        return json.dumps(said, separators=(",", ":"), ensure_ascii=False)

    def _metrics(self) -> dict[str, float]:
        """The version's metrics, in the order of their names as far as there is room: a chart is drawn of them."""
        found, room = {}, _ROOM_FOR_METRICS
        for metric in self.evidence.subject.metrics:
            room -= len(json.dumps(metric.name, ensure_ascii=False)) + _LONGEST_NUMBER
            if room < 0:
                break
            if metric.dataset is None and isfinite(metric.value):
                found[metric.name] = float(f"{metric.value:.6g}")
        return found

    def fingerprint(self, head: str) -> Fingerprint:
        """What this evaluation stands on, for a proposal whose head commit is `head`."""
        champion = f"v{self.champion.version}@{self.champion.digest}" if self.champion else ""
        return Fingerprint(self.entry.digest, head, self.policy, self.pipeline, champion, self.evidence.digest())


@dataclass(frozen=True, slots=True)
class Found:
    """A version's files as the store has them now: their digest, why the store does not give them this time, why there
    are none to be had, or None where the version is not registered any more.
    """

    digest: str | Unreadable | Unusable | None


@dataclass(frozen=True, slots=True)
class Change:
    """The oldest change of an entry on the default branch that is not judged yet.

    `commit` is the commit of the branch's first-parent line that made it so; `is_last` says that nothing changed the
    entry afterwards. `rules` are the environment's rules in the pipeline of that commit's first parent, None where it
    had no such environment. `decided_at` is GitHub's `merged_at`, or for a direct push when the bot's check on the
    commit was started, which `check_started` tells. `made_at` is `merged_at`, or when the commit says that it was made.
    `checked` is the bot's own policy check on the merged head. `overrides` are by the check that they let pass;
    `reopens` is the refusal that they settle.
    """

    commit: str
    entry: Entry | None
    rules: Environment | None
    decided_at: datetime
    is_last: bool = True
    made_at: datetime | None = None
    check_started: bool = False
    by: str = ""
    pull_request: PullRequest | None = None
    approvals: Approvals | None = None
    evaluation: Evaluation | None = None
    checked: Check | None = None
    found: Found | None = None
    overrides: Mapping[str, Instruction] = field(default_factory=dict)
    reopens: Judgement | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """A pull request on the branch that only the proposal of `version` for one environment has.

    `genuine` says that the bot opened it, that its head is the bot's own commit and that its whole diff is the
    proposed entry: only such a one is merged or made anew by the bot.
    `conflicts` says that it has to be made anew: GitHub cannot merge it any more, or wants it up to date. `checks` are
    the bot's own on its head; they and `approvals` are read only where the environment merges by itself.
    """

    version: int
    pull_request: PullRequest
    genuine: bool = False
    conflicts: bool = False
    checks: Mapping[str, Check] = field(default_factory=dict)
    approvals: Approvals | None = None

    @property
    def is_open(self) -> bool:
        """Whether it still waits for a decision."""
        return self.pull_request.is_open

    @property
    def says_live(self) -> bool:
        """Whether its text already says what became of it."""
        return LIVE_MARKER in self.pull_request.body

    @property
    def was_closed_unmerged(self) -> bool:
        """Whether a person refused it or the bot withdrew it: either way automation does not propose it again."""
        return not self.pull_request.is_open and self.pull_request.merged_at is None


@dataclass(frozen=True, slots=True)
class EnvironmentState:
    """How one model stands in one environment.

    `desired` is the manifest's entry at the head of the default branch, authorised or not. `judgements` are oldest
    first. `evaluations` hold the candidates that were looked at, by version. `instructions` are the accepted commands
    that name this model here, or the whole environment, oldest first. `copies` is the registered model that versions
    are copied to, None where none are or it is not there yet. `taken` are the open pull requests that others opened
    from the branches of proposals, by version: GitHub has no second one of a branch.
    """

    rules: Environment
    desired: Entry | None = None
    judgements: tuple[Judgement, ...] = ()
    change: Change | None = None
    proposals: tuple[Proposal, ...] = ()
    evaluations: Mapping[int, Evaluation] = field(default_factory=dict)
    instructions: tuple[Instruction, ...] = ()
    copies: RegisteredModel | None = None
    taken: Mapping[int, PullRequest] = field(default_factory=dict)

    @property
    def authorised(self) -> tuple[Judgement, ...]:
        """Every change that took effect, oldest first."""
        return tuple(j for j in self.judgements if j.ruling is Ruling.AUTHORISED)

    @property
    def last(self) -> Judgement | None:
        """The change that made the environment what it is."""
        return next((j for j in reversed(self.judgements) if j.ruling is Ruling.AUTHORISED), None)

    @property
    def live(self) -> Entry | None:
        """The last authorised entry: *live*, *champion*; never a line of the manifest that was not authorised."""
        last = self.last
        return last.entry if last else None

    @property
    def versions_before_live(self) -> tuple[int, ...]:
        """The versions that were live here before what is live first was, oldest first."""
        live = self.live
        entries = [j.entry for j in self.authorised if j.entry is not None]
        first = next((i for i, e in enumerate(entries) if live and e.version == live.version), 0)
        return tuple(e.version for e in entries[:first])

    def with_judgement(self, judgement: Judgement) -> EnvironmentState:
        """The state once `judgement` is recorded."""
        return replace(self, judgements=(*self.judgements, judgement), change=None)

    @property
    def open_proposals(self) -> tuple[Proposal, ...]:
        """Open proposals, the newest version first."""
        return tuple(sorted((p for p in self.proposals if p.is_open), key=lambda p: -p.version))

    @property
    def hold(self) -> Holding | None:
        """Why automation stands still here, None where it does not. A rollback holds: nobody is fought."""
        labelled = (p.pull_request.number for p in self.open_proposals if HOLD_LABEL in p.pull_request.labels)
        return holding(self.instructions, self.last.went_back if self.last else None, next(labelled, None))

    @property
    def request(self) -> Instruction | None:
        """What somebody asked to have proposed here last, whether it was carried out or still waits."""
        return request_of(self.instructions)

    def overrides(self, version: int) -> dict[str, Instruction]:
        """The overrides for one version here, by the check that they let pass."""
        return overrides_of(self.instructions, version)


@dataclass(frozen=True, slots=True)
class Observation:
    """One model in one deploy repository, seen at the head `head` of its default branch.

    `registered` is None where the registry has no such model (any more). `adopting` is the commit of the first
    manifest while it still has to be recorded that it states what was live already. `sweep_interval` bounds how long
    pending evidence waits for its next look, in seconds.
    """

    repository: str
    model: str
    head: str
    pipeline: Pipeline
    registered: RegisteredModel | None
    environments: Mapping[str, EnvironmentState]
    adopting: str | None = None
    sweep_interval: float = 300.0

    def version(self, number: int) -> ModelVersion | None:
        """A version of the model; None where the registry does not have it (any more)."""
        return self.registered.version(number) if self.registered else None

    def with_state(self, state: EnvironmentState) -> Observation:
        """The world with one environment's state replaced."""
        return replace(self, environments={**self.environments, state.rules.name: state})

    @property
    def states(self) -> tuple[EnvironmentState, ...]:
        """The environments in the pipeline's order."""
        return tuple(self.environments[e.name] for e in self.pipeline.environments)
