"""The closed set of things the bot does. Each is idempotent: done twice, or by two workers, it is there once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from bot.domain import naming
from bot.domain.backtest import Backtested
from bot.domain.gates import Gate, Standing
from bot.domain.instructions import Instruction, Settled
from bot.domain.keys import Key
from bot.domain.manifest import Entry
from bot.domain.world import ChangeKind, Completion, Evaluation, Judgement, Observation, Ruling
from policies.verdict import Status


@dataclass(frozen=True, slots=True)
class RecordJudgement:
    """Create the deployment that says, once, whether a changed entry takes effect."""

    environment: str
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class RecordAdoption:
    """Create the deployment that says: the manifest at `commit`, the first one, states what was live already."""

    commit: str


@dataclass(frozen=True, slots=True)
class CompleteJudgement:
    """Give the deployment of a judgement its status: everything that follows from it is there."""

    environment: str
    commit: str
    completion: Completion
    description: str
    ruling: Ruling = Ruling.AUTHORISED


@dataclass(frozen=True, slots=True)
class SetStage:
    """Move a version to one of MLflow's stages; `of` names a model of copies, None the model that is looked at."""

    version: int
    stage: str
    of: str | None = None


@dataclass(frozen=True, slots=True)
class SetAlias:
    """Point an alias at a version; `of` names a model of copies, None the model that is looked at."""

    alias: str
    version: int
    of: str | None = None


@dataclass(frozen=True, slots=True)
class DeleteAlias:
    """Remove an alias from the model, or from the model of copies that `of` names."""

    alias: str
    of: str | None = None


@dataclass(frozen=True, slots=True)
class CopyVersion:
    """Copy a version of the model into the registered model `to`."""

    version: int
    to: str


@dataclass(frozen=True, slots=True)
class SetVersionTags:
    """Write tags on a model version."""

    version: int
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StoreVerdict:
    """Keep a verdict with its version: in full among the run's artifacts, in short as a tag."""

    environment: str
    evaluation: Evaluation
    at: datetime


@dataclass(frozen=True, slots=True)
class CreateTag:
    """Make the git tag of a release; one that points elsewhere is reported, never moved."""

    name: str
    commit: str


@dataclass(frozen=True, slots=True)
class CreateRelease:
    """Make the GitHub release of a tag, with notes for one entry; `previous` is what was live before it."""

    tag: str
    environment: str
    entry: Entry
    pull_request: int | None
    previous: Entry | None = None


@dataclass(frozen=True, slots=True)
class StartCommitCheck:
    """Show on a pushed commit that its change is being judged; when that was first shown its window is judged for."""

    environment: str
    commit: str


@dataclass(frozen=True, slots=True)
class PassCommitCheck:
    """Complete that check: the change takes effect. Nothing where the check was never started."""

    environment: str
    commit: str


@dataclass(frozen=True, slots=True)
class FailCommitCheck:
    """Fail the check of one model and environment on a commit whose change has no effect."""

    environment: str
    commit: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReportRefusedChange:
    """Open the one issue that says what a merged change lacks; nothing if it is there."""

    environment: str
    commit: str
    entry: Entry | None
    live: Entry | None
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReportLostVersion:
    """Open the one issue that says: what should be live is not in the registry any more."""

    environment: str
    commit: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class CloseLostVersion:
    """Close that issue: something else is live by now."""

    environment: str
    commit: str


@dataclass(frozen=True, slots=True)
class ReportDrift:
    """Open the one issue that says what in the registry nobody merged; `repairs` were made and undone before."""

    environment: str
    what: tuple[str, ...]
    repairs: int = 0


@dataclass(frozen=True, slots=True)
class CloseDrift:
    """Close that issue: the registry is as the manifest says again."""

    environment: str


@dataclass(frozen=True, slots=True)
class CloseRefusedChange:
    """Close that issue: the change is gone, or was authorised after all."""

    environment: str
    commit: str


@dataclass(frozen=True, slots=True)
class OpenProposal:
    """Open the pull request that moves the model in `environment` from `current` to `entry`.

    `evaluation` is the policy's for a promotion, that of its safety checks for a rollback; `request` is who asked.
    """

    environment: str
    current: Entry | None
    entry: Entry
    evaluation: Evaluation
    kind: ChangeKind = ChangeKind.PROMOTION
    request: Instruction | None = None


@dataclass(frozen=True, slots=True)
class OpenGroup:
    """Open the pull request that moves each model of a batch to what its evaluation is about."""

    environment: str
    branch: str
    members: Mapping[str, Evaluation]


@dataclass(frozen=True, slots=True)
class RenewGroup:
    """Make a batch's commit anew on today's default branch, with these entries alone."""

    environment: str
    branch: str
    entries: Mapping[str, Entry]


@dataclass(frozen=True, slots=True)
class CloseGroup:
    """Close a batch that was overtaken, marked as such: what a person closes is refused, what the bot closes is not."""

    number: int
    branch: str


@dataclass(frozen=True, slots=True)
class AnswerRequest:
    """Tell who asked for a version what came of it: proposed, or refused for `reason` or by the verdict."""

    environment: str
    request: Instruction
    settled: Settled
    reason: str = ""
    evaluation: Evaluation | None = None


@dataclass(frozen=True, slots=True)
class SetModelTags:
    """Write tags on the registered model; None removes one."""

    tags: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class LabelProposal:
    """Put the labels of its environment on a proposal that lacks them."""

    environment: str
    number: int


@dataclass(frozen=True, slots=True)
class RenewProposal:
    """Make a proposal's commit anew on today's default branch, with which its old one conflicts."""

    environment: str
    evaluation: Evaluation


@dataclass(frozen=True, slots=True)
class CloseProposal:
    """Delete a proposal's branch and close it."""

    environment: str
    number: int
    branch: str
    reason: str


@dataclass(frozen=True, slots=True)
class MergeProposal:
    """Merge a proposal, only at the head that was judged; `overrides` are told in the merge's message."""

    environment: str
    number: int
    head: str
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeleteBranch:
    """Delete a proposal's branch if it is still there."""

    branch: str


@dataclass(frozen=True, slots=True)
class SetCheck:
    """Set one of the bot's checks on a commit, unless it says the same already."""

    head: str
    gate: Gate


@dataclass(frozen=True, slots=True)
class ShowBacktest:
    """Say on a commit that changes policies what they would have decided; `fingerprint` names those policies."""

    head: str
    rows: tuple[Backtested, ...]
    fingerprint: str


@dataclass(frozen=True, slots=True)
class UpdateBody:
    """Bring the text of one of the bot's pull requests up to date, unless it says the same already."""

    number: int
    standing: Standing


@dataclass(frozen=True, slots=True)
class KeepComment:
    """Have the bot's one comment under a person's pull request say how its entries stand."""

    number: int
    standing: Standing


@dataclass(frozen=True, slots=True)
class LookAt:
    """Queue another key: something there follows from what was done here."""

    key: Key


@dataclass(frozen=True, slots=True)
class LookAgain:
    """Queue this key for a later moment."""

    at: datetime


Action = (
    RecordAdoption
    | RecordJudgement
    | CompleteJudgement
    | SetStage
    | SetAlias
    | DeleteAlias
    | CopyVersion
    | SetVersionTags
    | StoreVerdict
    | CreateTag
    | CreateRelease
    | StartCommitCheck
    | PassCommitCheck
    | FailCommitCheck
    | ReportRefusedChange
    | CloseRefusedChange
    | ReportDrift
    | CloseDrift
    | ReportLostVersion
    | CloseLostVersion
    | OpenProposal
    | OpenGroup
    | RenewGroup
    | CloseGroup
    | AnswerRequest
    | SetModelTags
    | LabelProposal
    | RenewProposal
    | CloseProposal
    | MergeProposal
    | DeleteBranch
    | SetCheck
    | ShowBacktest
    | UpdateBody
    | KeepComment
    | LookAt
    | LookAgain
)


def store_verdict(
    world: Observation, environment: str, evaluation: Evaluation, now: datetime
) -> Iterator[StoreVerdict]:
    """Keep a verdict that was reached, unless the version carries it already."""
    registered = world.version(evaluation.entry.version)
    reached = evaluation.verdict.status_before_proposal in (Status.PASS, Status.FAIL)
    if registered is None or not reached:
        return
    if registered.tags.get(naming.verdict_tag(environment)) != evaluation.summary():
        yield StoreVerdict(environment, evaluation, now)


def tag_missing(world: Observation, version: int, wanted: Mapping[str, str]) -> Iterator[SetVersionTags]:
    """Write the tags that the version does not carry yet; nothing where it carries them all or is gone."""
    registered = world.version(version)
    if registered is None:
        return
    missing = {key: value for key, value in wanted.items() if registered.tags.get(key) != value}
    if missing:
        yield SetVersionTags(version, missing)
