"""Carrying out what was decided: one small effect an action, each safe to do twice."""

from __future__ import annotations

import logging
from datetime import datetime

from bot.comments import checks, issues, proposal, release, verdict
from bot.domain import naming
from bot.domain.actions import (
    Action,
    CloseLostVersion,
    CloseProposal,
    CloseRefusedChange,
    CompleteJudgement,
    CreateRelease,
    CreateTag,
    DeleteAlias,
    DeleteBranch,
    FailCommitCheck,
    LabelProposal,
    LookAgain,
    LookAt,
    MergeProposal,
    OpenProposal,
    PassCommitCheck,
    RecordAdoption,
    RecordJudgement,
    RenewProposal,
    ReportLostVersion,
    ReportRefusedChange,
    SetAlias,
    SetCheck,
    SetStage,
    SetVersionTags,
    StartCommitCheck,
    StoreVerdict,
    UpdateBody,
)
from bot.domain.errors import Misconfigured, Refused
from bot.domain.gates import Fate, ProposedChange, Standing
from bot.domain.keys import PullRequestKey
from bot.domain.manifest import new_manifest, set_entry
from bot.domain.pull_requests import Check, CheckState
from bot.domain.world import ChangeKind, Evaluation
from bot.gateways.github.checks import status_title
from bot.gateways.github.client import GitHubRefusal
from workers.execution import Desk
from workers.repository_view import RepositoryView

log = logging.getLogger("promotion-bot.worker")


class Effects:
    """Carries out the actions of one look. Before each the lock is compared again: it may be another worker's now."""

    def __init__(self, view: RepositoryView, desk: Desk, model: str = "") -> None:
        self._view = view
        self._desk = desk
        self._model = model
        self._repository = view.repository
        self._registry = view.gateways.registry

    def apply(self, action: Action) -> None:  # noqa: C901 - one arm an action of the closed set
        """Carry out one action. Raises Unreachable, Misconfigured or GitHubRefusal as the gateways do."""
        self._desk.still_mine()
        match action:
            case RecordAdoption(commit):
                self._repository.deployments.record_adoption(commit)
            case RecordJudgement(environment, judgement):
                self._repository.deployments.record_judgement(self._model, environment, judgement)
            case CompleteJudgement(environment, commit, completion, description):
                self._repository.deployments.complete(self._model, environment, commit, completion, description)
            case SetStage(version, stage):
                self._registry.set_stage(self._model, version, stage)
            case SetAlias(alias, version):
                self._registry.set_alias(self._model, alias, version)
            case DeleteAlias(alias):
                self._registry.delete_alias(self._model, alias)
            case SetVersionTags(version, tags):
                self._registry.set_version_tags(self._model, version, tags)
            case StoreVerdict(environment, evaluation, at):
                self._store_verdict(environment, evaluation, at)
            case CreateTag(name, commit):
                self._create_tag(name, commit)
            case CreateRelease(tag, environment, entry, pull_request):
                title, notes = release.release(self._model, environment, entry, pull_request)
                self._repository.releases.create_release(tag, title, notes)
            case StartCommitCheck(environment, commit):
                self._check_commit(commit, checks.judging(environment, self._model))
            case PassCommitCheck(environment, commit):
                self._check_commit(commit, checks.takes_effect(environment, self._model), only_started=True)
            case FailCommitCheck(environment, commit, reasons):
                self._check_commit(commit, checks.has_no_effect(environment, self._model, reasons))
            case ReportRefusedChange(environment, commit, entry, live, reasons):
                title, body = issues.refused_change(self._model, environment, commit, entry, live, reasons)
                self._repository.issues.report(title, body)
            case CloseRefusedChange(environment, commit):
                self._repository.issues.resolve(issues.marker("refused", self._model, environment, commit))
            case ReportLostVersion(environment, commit, entry):
                self._repository.issues.report(*issues.lost_version(self._model, environment, commit, entry))
            case CloseLostVersion(environment, commit):
                self._repository.issues.resolve(issues.marker("lost", self._model, environment, commit))
            case OpenProposal():
                self._open(action)
            case LabelProposal(environment, number):
                self._repository.pulls.add_labels(number, naming.labels(environment))
            case RenewProposal(environment, evaluation):
                self._point_branch(environment, evaluation)
            case CloseProposal(_, number, branch, _):
                self._repository.git.delete_branch(branch)
                self._repository.pulls.close(number)
            case MergeProposal(_, number, head):
                self._merge(number, head)
            case DeleteBranch(branch):
                self._repository.git.delete_branch(branch)
            case SetCheck(head, gate):
                self._repository.checks.write(head, checks.check(gate), self._view.gateways.settings.public_url or "")
            case UpdateBody(number, standing):
                self._update_body(number, standing)
            case LookAt(key):
                self._desk.look_at(key)
            case LookAgain(at):
                self._desk.look_again(at)

    # --- proposals ------------------------------------------------------------------------------------------------

    def _open(self, action: OpenProposal) -> None:
        """Branch with one commit, then the pull request, then its labels; what an earlier try left is taken over."""
        view, environment, evaluation = self._view, action.environment, action.evaluation
        branch = self._point_branch(environment, evaluation)
        self._desk.still_mine()
        older = [p.number for p in view.pull_requests if p.head_ref.rpartition("-v")[0] == branch.rpartition("-v")[0]]
        change = ProposedChange(
            model=self._model,
            environment=environment,
            before=action.current,
            after=evaluation.entry,
            kind=ChangeKind.PROMOTION,
            rules=view.environment(environment),
            evaluation=evaluation,
        )
        unmerged = [n for n in older if any(p.number == n and p.merged_at is None for p in view.pull_requests)]
        standing = Standing(Fate.OPEN, self._model, change, supersedes=max(unmerged, default=None))
        title = naming.title(environment, self._model, evaluation.entry.version)
        pull = self._repository.pulls.open(branch, title, proposal.body(standing))
        self._desk.still_mine()
        self._repository.pulls.add_labels(pull.number, naming.labels(environment))
        self._desk.look_at(PullRequestKey(view.name, pull.number))

    def _point_branch(self, environment: str, evaluation: Evaluation) -> str:
        """Have a proposal's branch hold one commit on the head that changes its entry alone; the branch's name."""
        view, entry = self._view, evaluation.entry
        pipeline = view.pipeline.pipeline
        path = pipeline.manifest_path(environment)
        before = view.files.text(view.head, path)
        names = [e.name for e in pipeline.environments]
        after = set_entry(before if before is not None else new_manifest(), self._model, environment, entry, names)
        branch = naming.branch_name(environment, self._model, entry.version)
        message = naming.commit_message(environment, self._model, entry)
        commit = self._repository.git.create_commit(view.head, {path: after}, message)
        self._desk.still_mine()
        self._repository.git.point_branch(branch, commit.sha)
        return branch

    def _merge(self, number: int, head: str) -> None:
        try:
            self._repository.pulls.merge(number, head)
        except GitHubRefusal as refusal:
            # The head moved, or the repository's rules leave the merge to people: the checks say where it stands.
            if refusal.status not in (405, 409):
                raise
            self._desk.look_at(PullRequestKey(self._view.name, number))

    def _update_body(self, number: int, standing: Standing) -> None:
        existing = next((p.body for p in self._view.pull_requests if p.number == number), "")
        body = proposal.body(standing, existing)
        if body.strip() != existing.replace("\r\n", "\n").strip():
            self._repository.pulls.update_body(number, body)

    def _store_verdict(self, environment: str, evaluation: Evaluation, at: datetime) -> None:
        """The artifact first: a tag says that it is there. Where nobody may write it, the promotion goes on."""
        version, path = evaluation.entry.version, naming.verdict_artifact(environment)
        record = verdict.record(self._model, environment, evaluation, at)
        try:
            self._registry.log_artifact(self._model, version, path, record)
        except (Refused, Misconfigured) as error:
            log.warning("the verdict on version %s of %s is not kept in full: %s", version, self._model, error)
        tags = {naming.verdict_tag(environment): evaluation.summary()}
        self._registry.set_version_tags(self._model, version, tags)

    # --- what people are told -------------------------------------------------------------------------------------

    def _create_tag(self, name: str, commit: str) -> None:
        there = self._repository.releases.create_tag(name, commit)
        if there is not None:
            self._repository.issues.report(*issues.tag_elsewhere(name, commit, there))

    def _check_commit(self, commit: str, check: Check, *, only_started: bool = False) -> None:
        """Set a check on a commit of the default branch, unless it stands so already."""
        there = self._repository.checks.of(commit).get(check.name)
        if (there is None and not only_started) or (there is not None and there.state is not check.state):
            self._repository.checks.write(commit, check, self._view.gateways.settings.public_url or "")


def says_the_same(wanted: Check, there: Check | None, *, as_app: bool) -> bool:
    """Whether a check that stands already says all that `wanted` does; a commit status holds less of it."""
    if there is None or (there.state, there.fingerprint) != (
        _shown(wanted.state, as_app=as_app),
        wanted.fingerprint,
    ):
        return False
    if not as_app:
        return there.title == status_title(wanted.title, wanted.fingerprint)
    return there.title == wanted.title and there.summary.replace("\r\n", "\n").strip() == wanted.summary.strip()


def _shown(state: CheckState, *, as_app: bool) -> CheckState:
    if as_app or state in (CheckState.SUCCESS, CheckState.IN_PROGRESS):
        return state
    return CheckState.FAILURE
