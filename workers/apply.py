"""Carrying out what was decided: one small effect an action, each safe to do twice."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime

from bot import tracing
from bot.comments import checks, issues, proposal, release, replies, verdict
from bot.domain import naming
from bot.domain.actions import (
    Action,
    AnswerRequest,
    CloseDrift,
    CloseGroup,
    CloseLostVersion,
    CloseProposal,
    CloseRefusedChange,
    CompleteJudgement,
    CopyVersion,
    CreateRelease,
    CreateTag,
    DeleteAlias,
    DeleteBranch,
    FailCommitCheck,
    KeepComment,
    LabelProposal,
    LookAgain,
    LookAt,
    MergeProposal,
    OpenGroup,
    OpenProposal,
    PassCommitCheck,
    RecordAdoption,
    RecordJudgement,
    RenewGroup,
    RenewProposal,
    ReportDrift,
    ReportLostVersion,
    ReportRefusedChange,
    SetAlias,
    SetCheck,
    SetModelTags,
    SetStage,
    SetVersionTags,
    ShowBacktest,
    StartCommitCheck,
    StoreVerdict,
    UpdateBody,
)
from bot.domain.errors import Misconfigured, Refused
from bot.domain.gates import Fate, ProposedChange, Standing
from bot.domain.instructions import Settled, overrides_of
from bot.domain.keys import ModelKey, PullRequestKey
from bot.domain.manifest import Entry
from bot.domain.manifest_editing import new_manifest, set_entry
from bot.domain.pull_requests import Check, CheckState, ReviewState
from bot.domain.world import ChangeKind, Evaluation
from bot.gateways.github.checks import status_title
from bot.gateways.github.client import GitHubRefusal
from bot.gateways.github.comments import Reaction
from bot.logs import about
from workers.comparison import compared
from workers.desk import Desk
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
        self._opened: dict[tuple[str, int], int] = {}

    def apply(self, action: Action) -> None:
        """Carry out one action. Raises Unreachable, Misconfigured or GitHubRefusal as the gateways do."""
        self._desk.still_mine()
        what = type(action).__name__
        known = _subject(action)
        traced = {f"promotion.{name}": value for name, value in known.items()}
        with about(**known), tracing.inside(what, traced):
            self._carry_out(action)
            log.info("%s", what)

    def _carry_out(self, action: Action) -> None:  # noqa: C901 - one arm an action of the closed set
        match action:
            case RecordAdoption(commit):
                self._repository.deployments.record_adoption(commit)
            case RecordJudgement(environment, judgement):
                self._repository.deployments.record_judgement(self._model, environment, judgement)
            case CompleteJudgement(environment, commit, completion, description, ruling):
                deployments = self._repository.deployments
                deployments.complete(self._model, environment, commit, ruling, completion, description)
            case SetStage(version, stage, of):
                self._registry.set_stage(of or self._model, version, stage)
            case SetAlias(alias, version, of):
                self._registry.set_alias(of or self._model, alias, version)
            case DeleteAlias(alias, of):
                self._registry.delete_alias(of or self._model, alias)
            case CopyVersion(version, to):
                self._registry.copy_version(self._model, version, to)
            case SetModelTags(tags):
                self._registry.set_model_tags(self._model, tags)
            case SetVersionTags(version, tags):
                self._registry.set_version_tags(self._model, version, tags)
            case StoreVerdict(environment, evaluation, at):
                self._store_verdict(environment, evaluation, at)
            case CreateTag(name, commit):
                self._create_tag(name, commit)
            case CreateRelease():
                self._repository.releases.create_release(action.tag, *release.release(self._notes(action)))
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
            case ReportDrift(environment, what, repairs):
                self._repository.issues.report(*issues.drift(self._model, environment, what, repairs))
            case CloseDrift(environment):
                self._repository.issues.resolve(issues.marker("drift", self._model, environment))
            case ReportLostVersion(environment, commit, entry):
                self._repository.issues.report(*issues.lost_version(self._model, environment, commit, entry))
            case CloseLostVersion(environment, commit):
                self._repository.issues.resolve(issues.marker("lost", self._model, environment, commit))
            case OpenProposal():
                self._open(action)
            case OpenGroup(environment, branch, members):
                self._open_group(environment, branch, members)
            case RenewGroup(environment, branch, entries):
                self._repository.git.renew_branch(branch, self._commit(environment, branch, entries))
            case CloseGroup(number, branch):
                self._repository.pulls.add_labels(number, [naming.SUPERSEDED_LABEL])
                self._repository.git.delete_branch(branch)
                self._repository.pulls.close(number)
            case AnswerRequest():
                self._answer(action)
            case LabelProposal(environment, number):
                self._announce(environment, number)
            case RenewProposal(environment, evaluation):
                branch = naming.branch_name(environment, self._model, evaluation.entry.version)
                self._repository.git.renew_branch(
                    branch, self._commit(environment, branch, {self._model: evaluation.entry})
                )
            case CloseProposal(_, number, branch, _):
                self._repository.git.delete_branch(branch)
                self._repository.pulls.close(number)
            case MergeProposal(_, number, head, overrides):
                self._merge(number, head, overrides)
            case DeleteBranch(branch):
                self._repository.git.delete_branch(branch)
            case SetCheck(head, gate):
                self._repository.checks.write(head, checks.check(gate), self._view.gateways.settings.public_url or "")
            case ShowBacktest(head, rows, fingerprint):
                url = self._view.gateways.settings.public_url or ""
                self._repository.checks.write(head, checks.backtest(rows, fingerprint), url)
            case UpdateBody(number, standing):
                self._update_body(number, standing)
            case KeepComment(number, standing):
                self._repository.comments.keep(number, proposal.body(standing))
            case LookAt(key):
                self._desk.look_at(key)
            case LookAgain(at):
                self._desk.look_again(at)

    # --- proposals ------------------------------------------------------------------------------------------------

    def _open(self, action: OpenProposal) -> None:
        """Branch with one commit, then the pull request, then its labels; what an earlier try left is taken over."""
        view, environment, evaluation = self._view, action.environment, action.evaluation
        branch = naming.branch_name(environment, self._model, action.entry.version)
        self._repository.git.point_branch(branch, self._commit(environment, branch, {self._model: action.entry}))
        self._desk.still_mine()
        older = [p.number for p in view.pull_requests if p.head_ref.rpartition("-v")[0] == branch.rpartition("-v")[0]]
        change = ProposedChange(
            model=self._model,
            environment=environment,
            before=action.current,
            after=action.entry,
            kind=action.kind,
            rules=view.environment(environment),
            evaluation=evaluation,
        )
        unmerged = [n for n in older if any(p.number == n and p.merged_at is None for p in view.pull_requests)]
        standing = Standing(
            fate=Fate.OPEN,
            model=self._model,
            change=change,
            supersedes=max(unmerged, default=None),
            request=action.request,
            pipeline=view.live_in_each(self._model),
        )
        title = naming.title(environment, self._model, action.entry.version)
        pull = self._repository.pulls.open(branch, title, proposal.body(standing))
        self._opened[environment, action.entry.version] = pull.number
        self._desk.still_mine()
        self._announce(environment, pull.number, fast=action.kind is ChangeKind.ROLLBACK)
        self._desk.look_at(PullRequestKey(view.name, pull.number))

    def _announce(self, environment: str, number: int, *, fast: bool = False) -> None:
        """Ask those who may approve for a review, once: the labels, which come last, say that it was done."""
        rules = self._view.environment(environment)
        needed = rules.rollback.approvals if fast else rules.approvals.count
        allowed = rules.approvals.allowed if needed else ()
        logins = [name for name in allowed if not name.startswith("@")]
        teams = [name.rpartition("/")[2] for name in allowed if name.startswith("@")]
        if logins or teams:
            self._repository.pulls.request_reviews(number, logins, teams)
            self._desk.still_mine()
        self._repository.pulls.add_labels(number, naming.labels(environment))

    def _answer(self, action: AnswerRequest) -> None:
        """Answer a request that waited, under the comment that made it."""
        request, comments = action.request, self._repository.comments
        line = replies.Said(
            request.line,
            replies.request_line(request.told),
            action.settled,
            self.answer_text(action),
            request.told,
        )
        settled = dict(self._view.log.answered(request.comment))
        others = [answered.settled for number, answered in settled.items() if number != request.line]
        reaction = reaction_for([*others, action.settled])
        comment = comments.get(request.comment) if reaction is not None else None
        if comment is not None and reaction is not None:
            comments.conclude(comment, reaction)
            self._desk.still_mine()
        comments.say(request.issue, replies.reply(request.comment, [line]))

    def answer_text(self, action: AnswerRequest) -> str:
        """What came of a request, once everything before it is applied."""
        told = action.request.told
        if action.settled is Settled.REFUSED:
            return replies.refused(told, action.reason, action.evaluation)
        branch = naming.branch_name(action.environment, self._model, told.version or 0)
        known = [p.number for p in self._view.pull_requests if p.head_ref == branch]
        number = self._opened.get((action.environment, told.version or 0), max(known, default=None))
        return replies.proposed(told, number)

    def _open_group(self, environment: str, branch: str, members: Mapping[str, Evaluation]) -> None:
        """The same for a batch."""
        entries = {model: evaluation.entry for model, evaluation in members.items()}
        for model, entry in entries.items():
            self._registry.set_version_tags(model, entry.version, {"promotion.release": entry.release})
            self._desk.still_mine()
        self._repository.git.point_branch(branch, self._commit(environment, branch, entries))
        self._desk.still_mine()
        rules = self._view.environment(environment)
        changes = tuple(
            ProposedChange(model, environment, e.champion, e.entry, ChangeKind.PROMOTION, rules, evaluation=e)
            for model, e in members.items()
        )
        standing = Standing(Fate.OPEN, "", changes[0] if len(changes) == 1 else None, changes)
        title = naming.group_title(environment, len(entries))
        pull = self._repository.pulls.open(branch, title, proposal.body(standing))
        self._desk.still_mine()
        self._announce(environment, pull.number)
        self._desk.look_at(PullRequestKey(self._view.name, pull.number))

    def _commit(self, environment: str, branch: str, entries: Mapping[str, Entry]) -> str:
        """One commit on the head that changes these entries alone, for a branch that does not point at it yet."""
        view = self._view
        pipeline = view.pipeline.pipeline
        path = pipeline.manifest_path(environment)
        before = view.files.text(view.head, path)
        names = [e.name for e in pipeline.environments]
        after = before if before is not None else new_manifest()
        for model, entry in entries.items():
            after = set_entry(after, model, environment, entry, names)
        message = (
            naming.group_message(environment, entries)
            if naming.is_group(branch)
            else naming.commit_message(environment, *next(iter(entries.items())))
        )
        commit = self._repository.git.create_commit(view.head, {path: after}, message)
        self._desk.still_mine()
        return commit.sha

    def _merge(self, number: int, head: str, overrides: tuple[str, ...]) -> None:
        message = "\n".join(naming.quiet(said) for said in overrides)
        try:
            self._repository.pulls.merge(number, head, message)
            if self._model:
                self._desk.look_at(ModelKey(self._view.name, self._model))
        except GitHubRefusal as refusal:
            # The head moved, or the repository's rules leave the merge to people: the checks say where it stands.
            if refusal.status not in (405, 409):
                raise
            self._view.remember_refusal(head, refusal.messages if refusal.status == 405 else "")
            self._desk.look_at(PullRequestKey(self._view.name, number))

    def _update_body(self, number: int, standing: Standing) -> None:
        body = body_of(UpdateBody(number, standing), self._view)
        if body is not None:
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

    def _notes(self, action: CreateRelease) -> release.Notes:
        """What a release tells; read anew, since it may be made long after its merge was judged."""
        evidence = comparison = None
        model = self._registry.model(self._model)
        version = model.version(action.entry.version) if model else None
        if model is not None and version is not None:
            evidence = self._registry.version_evidence(model, version)
            previous = action.previous.version if action.previous else 0
            if model.version(previous) is not None:
                comparison = compared(self._registry, model, (previous, version.version))
        approved: tuple[str, ...] = ()
        pull = next((p for p in self._view.pull_requests if p.number == action.pull_request), None)
        if pull is not None:
            given = [r for r in self._repository.pulls.reviews(pull.number) if r.commit == pull.head_sha]
            approved = tuple(dict.fromkeys(r.author for r in given if r.state is ReviewState.APPROVED))
        overrides = overrides_of(self._view.instructions(self._model, action.environment), action.entry.version)
        return release.Notes(
            model=self._model,
            environment=action.environment,
            entry=action.entry,
            pull_request=action.pull_request,
            approved_by=approved,
            overrides=tuple(overrides.values()),
            evidence=evidence,
            comparison=comparison,
        )

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


def body_of(update: UpdateBody, view: RepositoryView) -> str | None:
    """The text that a pull request of the bot's must get; None where it has it."""
    existing = next((p.body for p in view.pull_requests if p.number == update.number), "")
    body = proposal.body(update.standing, existing)
    return body if body.strip() != existing.replace("\r\n", "\n").strip() else None


def reaction_for(settled: Sequence[Settled]) -> Reaction | None:
    """What a comment gets: done once every line is; none while a line waits and none was refused."""
    if Settled.REFUSED in settled:
        return Reaction.REFUSED
    return None if Settled.WAITING in settled else Reaction.DONE


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


def _subject(action: Action) -> dict[str, object]:
    """The environment and the version that an action is about, as far as it names them."""
    evaluated = getattr(action, "evaluation", None)
    entry = getattr(action, "entry", None) or getattr(evaluated, "entry", None)
    known = {
        "environment": getattr(action, "environment", None),
        "version": getattr(action, "version", None) or getattr(entry, "version", None),
    }
    return {name: value for name, value in known.items() if value is not None}
