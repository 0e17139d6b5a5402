"""Reading one pull request: the manifest that its merge would make, and what every changed entry is judged on."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from bot.domain import naming
from bot.domain.authorisation import kind_of_change
from bot.domain.gates import Fate, Mergeability, ProposedChange, PullRequestObservation, Standing
from bot.domain.instructions import HOLD_LABEL, Holding, Instruction, holding, overrides_of, request_of
from bot.domain.keys import ModelKey
from bot.domain.manifest import Entry
from bot.domain.pipeline import Environment
from bot.domain.pull_requests import PullRequest
from bot.domain.versions import RegisteredModel
from bot.domain.world import ChangeKind, Completion, Evaluation, Found, Judgement, Ruling
from bot.gateways.github.repository import Repository
from policies.documents import InvalidDocument, Problem
from workers.approvers import Counted, count_for_change
from workers.deploy_files import PIPELINE_PATH, DeployFiles
from workers.evaluate import Case, Evaluator, rules_at
from workers.evidence import ProposalHead
from workers.repository_view import RepositoryView


@dataclass(frozen=True, slots=True)
class _Merged:
    """The commit whose files the merge would make; None where GitHub has not computed one that is still true."""

    mergeability: Mergeability
    commit: str | None


class PullRequestObserver:
    """Looks at pull requests of one repository view; each model is read from the registry once."""

    def __init__(self, view: RepositoryView, now: datetime) -> None:
        self._view = view
        self._now = now
        self._models: dict[str, RegisteredModel | None] = {}
        self._evaluators: dict[str, Evaluator] = {}

    def observe(self, pull: PullRequest) -> PullRequestObservation:
        """An open pull request to the default branch, and every entry that merging it would change."""
        merged = _merged(self._view.repository, self._view.head, pull)
        if merged.commit is None:
            return PullRequestObservation(pull, merged.mergeability)
        view = self._view
        changed = view.repository.git.changed_paths(view.head, merged.commit)
        rule_files = tuple(path for path in changed if path == PIPELINE_PATH or path in self._policy_paths())
        problems, changes = self._changes(pull, merged.commit)
        rule_problems = problems_at(view.files, merged.commit) if rule_files else ()
        return PullRequestObservation(
            pull, merged.mergeability, changes, (*problems, *rule_problems), rule_files, merged.commit
        )

    def observe_queued(self, pull: PullRequest, commit: str) -> PullRequestObservation:
        """A pull request in a merge queue: its own entries, in the manifest that the queue's commit would make."""
        problems, changes = self._changes(pull, commit)
        own = self._changed_at(pull.head_sha)
        mine = tuple(change for change in changes if (change.model, change.environment) in own)
        return PullRequestObservation(pull, Mergeability.CLEAN, mine, problems)

    def is_own(self, pull: PullRequest) -> bool:
        """Whether the pull request is a proposal of the bot's."""
        return (
            pull.author == self._view.gateways.login()
            and pull.head_repository == self._view.name
            and pull.head_ref.startswith(naming.BRANCH_PREFIX)
        )

    def is_own_commit(self, pull: PullRequest) -> bool:
        """Whether a pull request of the bot's still is the bot's one commit."""
        commit = self._view.repository.git.commit(pull.head_sha)
        return self.is_own(pull) and commit.author == self._view.gateways.login() and len(commit.parents) == 1

    def proposed_entries(self, pull: PullRequest, environment: str) -> dict[str, Entry]:
        """What a batch's own newest commit puts into an environment, by model."""
        changed = self._changed_at(pull.head_sha)
        return {model: entry for (model, name), entry in changed.items() if name == environment and entry is not None}

    def only_change(self, pull: PullRequest) -> tuple[str, str, Entry | None] | None:
        """The one entry that a pull request's own newest commit changes, by model and environment; None for others."""
        changed = self._changed_at(pull.head_sha)
        if len(changed) != 1:
            return None
        ((model, environment), entry) = next(iter(changed.items()))
        return model, environment, entry

    def standing(self, pull: PullRequest, observed: PullRequestObservation | None) -> Standing:
        """What the text of one of the bot's own pull requests must say now."""
        line = _line_of(pull)
        siblings = [p for p in self._view.pull_requests if self.is_own(p) and _line_of(p) == line]
        older = [p.number for p in siblings if p.number < pull.number and not p.is_open and p.merged_at is None]
        newer = [p.number for p in siblings if p.number > pull.number]
        judged = self._judged(pull)
        fate, reasons, since = _fate(pull, judged)
        return Standing(
            fate=fate,
            model=observed.changes[0].model if observed and observed.changes else "",
            change=observed.changes[0] if observed and len(observed.changes) == 1 else None,
            changes=observed.changes if observed else (),
            supersedes=max(older, default=None),
            superseded_by=min(newer, default=None) if fate is Fate.CLOSED else None,
            reasons=reasons,
            since=since,
            hold=self._hold(pull, observed),
            went_back=judged is not None and judged.went_back is not None,
            not_merged=self._view.refusal_of(pull.head_sha) if pull.is_open else "",
            request=self._request(pull),
            pipeline=self._view.live_in_each(observed.changes[0].model)
            if observed and len(observed.changes) == 1
            else (),
        )

    def _hold(self, pull: PullRequest, observed: PullRequestObservation | None) -> Holding | None:
        """What holds the promotion that an open pull request is about."""
        if observed is None or len(observed.changes) != 1:
            return None
        change = observed.changes[0]
        view = self._view
        authorised = [j for j in view.judgements_of(change.model, change.environment) if j.ruling is Ruling.AUTHORISED]
        back = authorised[-1].went_back if authorised else None
        labelled = pull.number if HOLD_LABEL in pull.labels else None
        return holding(view.instructions(change.model, change.environment), back, labelled)

    def _request(self, pull: PullRequest) -> Instruction | None:
        """Who asked for the promotion of a pull request of the bot's."""
        only = self.only_change(pull) if pull.is_open and self.is_own(pull) else None
        if only is None or only[2] is None:
            return None
        request = request_of(self._view.instructions(only[0], only[1]))
        return request if request is not None and request.told.version == only[2].version else None

    def models_touched(self, pull: PullRequest, observed: PullRequestObservation | None) -> tuple[str, ...]:
        """The models whose proposals or entries this pull request is about."""
        named = {change.model for change in observed.changes} if observed else set()
        named |= {r.model for r in self._view.judgements if r.judgement.pull_request == pull.number}
        if observed and observed.mergeability is Mergeability.CONFLICT and self.is_own(pull):
            named |= self._models_changed(pull.head_sha)
        return tuple(sorted(named))

    def merged_models(self, pull: PullRequest) -> tuple[ModelKey, ...]:
        """The models whose entries a merged pull request changed and whose change is not judged yet."""
        if pull.merged_at is None or pull.merge_commit_sha is None or self._judged(pull) is not None:
            return ()
        return tuple(ModelKey(self._view.name, model) for model in sorted(self._models_changed(pull.merge_commit_sha)))

    # --- how ------------------------------------------------------------------------------------------------------

    def _models_changed(self, sha: str) -> set[str]:
        """The models whose entries a commit changed against its first parent; none where a manifest cannot be read."""
        return {model for model, _ in self._changed_at(sha)}

    def _changed_at(self, sha: str) -> dict[tuple[str, str], Entry | None]:
        """The entries that a commit changed against its first parent, as it leaves them."""
        view = self._view
        commit = view.repository.git.commit(sha)
        try:
            before = view.files.manifest(commit.parents[0], view.pipeline.pipeline).entries
            after = view.files.manifest(commit.sha, view.pipeline.pipeline).entries
        except (InvalidDocument, IndexError):
            return {}
        return {key: after.get(key) for key in before.keys() | after.keys() if before.get(key) != after.get(key)}

    def _policy_paths(self) -> set[str]:
        """Every file that a policy of the default branch is read from, with those that it extends."""
        paths: set[str] = set()
        for environment in self._view.pipeline.pipeline.environments:
            paths.add(environment.policy)
            with suppress(InvalidDocument):
                paths |= set(self._view.files.policy(self._view.head, environment).policy.sources)
        return paths

    def _changes(self, pull: PullRequest, commit: str) -> tuple[tuple[Problem, ...], tuple[ProposedChange, ...]]:
        view = self._view
        pipeline = view.pipeline.pipeline
        try:
            after = view.files.manifest(commit, pipeline).entries
        except InvalidDocument as invalid:
            return tuple(invalid.problems), ()
        before = view.manifest.entries
        changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
        return (), tuple(
            self._change(pull, model, environment, after.get((model, environment))) for model, environment in changed
        )

    def _change(self, pull: PullRequest, model: str, environment: str, after: Entry | None) -> ProposedChange:
        view = self._view
        judgements = view.judgements_of(model, environment)
        authorised = tuple(j for j in judgements if j.ruling is Ruling.AUTHORISED)
        live = authorised[-1].entry if authorised else None
        kind = kind_of_change(after, authorised)
        try:
            rules: Environment | None = view.environment(environment)
        except KeyError:
            rules = None
        owned = view.pipeline.pipeline.owns(model)
        evaluation, found, problem = None, None, ""
        if rules is not None and after is not None and owned:
            evaluation, found, problem = self._evidence(pull, model, rules, after, live, kind)
        approvals = None
        if rules is not None:
            counted = Counted(model, after, kind, pull, evaluation)
            approvals = count_for_change(view, view.pipeline.pipeline, rules, counted)
        return ProposedChange(
            model=model,
            environment=environment,
            before=live,
            after=after,
            kind=kind,
            rules=rules,
            owned=owned,
            evaluation=evaluation,
            found=found,
            approvals=approvals,
            problem=problem,
            overrides=overrides_of(view.instructions(model, environment), after.version) if after else {},
        )

    def _evidence(
        self,
        pull: PullRequest,
        model: str,
        environment: Environment,
        after: Entry,
        live: Entry | None,
        kind: ChangeKind,
    ) -> tuple[Evaluation | None, Found | None, str]:
        view = self._view
        evaluator = self._evaluator(model)
        registered = self._models[model]
        version = registered.version(after.version) if registered else None
        if evaluator is None or version is None:
            return None, Found(None), ""
        rules = rules_at(view.head, environment, view.pipeline, view.files.policy)
        if rules is None:
            return None, evaluator.found(after.version), f"the policy {environment.policy} cannot be read"
        proposal = ProposalHead(pull.head_sha, pull.created_at)
        overrides = overrides_of(view.instructions(model, environment.name), after.version)
        case = Case(live, after.release, kind, proposal, overrides=overrides)
        evaluation = evaluator.evaluate(version, rules, case, self._now)
        return evaluation, evaluation.found, ""

    def _evaluator(self, model: str) -> Evaluator | None:
        if model not in self._models:
            self._models[model] = self._view.gateways.registry.model(model)
        registered = self._models[model]
        if registered is None:
            return None
        if model not in self._evaluators:
            self._evaluators[model] = Evaluator(self._view, registered)
        return self._evaluators[model]

    def _judged(self, pull: PullRequest) -> Judgement | None:
        """The newest judgement of what this pull request merged, with how far it is carried out."""
        recorded = [r for r in self._view.judgements if r.judgement.pull_request == pull.number]
        if not recorded:
            return None
        judgements = self._view.judgements_of(recorded[-1].model, recorded[-1].environment)
        return next((j for j in reversed(judgements) if j.pull_request == pull.number), None)


def _line_of(pull: PullRequest) -> str:
    """What all proposals of one model for one environment have in common: the branch without its version."""
    return pull.head_ref.rpartition("-v")[0]


def _fate(pull: PullRequest, judged: Judgement | None) -> tuple[Fate, tuple[str, ...], datetime | None]:
    if pull.is_open:
        return Fate.OPEN, (), None
    if pull.merged_at is None:
        return Fate.CLOSED, (), None
    if judged is None:
        return Fate.MERGED, (), None
    if judged.ruling is Ruling.REFUSED:
        return Fate.NO_EFFECT, judged.reasons, judged.at
    if judged.completed is Completion.SUCCESS:
        return Fate.LIVE, (), judged.completed_at
    if judged.completed is Completion.FAILURE:
        return Fate.LOST, (), None
    return Fate.MERGED, (), None


def observe_repair(repository: Repository, pull: PullRequest) -> PullRequestObservation:
    """An open pull request while the default branch's own files cannot be read: what it leaves broken counts."""
    head = repository.git.head()
    merged = _merged(repository, head, pull)
    if merged.commit is None:
        return PullRequestObservation(pull, merged.mergeability)
    files = DeployFiles(repository)
    rule_files = tuple(p for p in repository.git.changed_paths(head, merged.commit) if p == PIPELINE_PATH)
    return PullRequestObservation(
        pull, merged.mergeability, problems=problems_at(files, merged.commit), rule_files=rule_files
    )


def problems_at(files: DeployFiles, commit: str) -> tuple[Problem, ...]:
    """All that is wrong with pipeline, policies and manifest as of `commit`."""
    try:
        pipeline = files.pipeline(commit).pipeline
    except InvalidDocument as invalid:
        return tuple(invalid.problems)
    problems: list[Problem] = []
    for environment in pipeline.environments:
        try:
            files.policy(commit, environment)
        except InvalidDocument as invalid:
            problems += invalid.problems
    try:
        files.manifest(commit, pipeline)
    except InvalidDocument as invalid:
        problems += invalid.problems
    return tuple(dict.fromkeys(problems))


def _merged(repository: Repository, base: str, pull: PullRequest) -> _Merged:
    """The commit whose files merging into `base` would make."""
    if repository.git.commit(pull.head_sha).parents == (base,):
        return _Merged(Mergeability.CLEAN, pull.head_sha)  # nothing to merge: the head is on top of the base
    if pull.mergeable is False:
        return _Merged(Mergeability.CONFLICT, None)
    if pull.mergeable is None or pull.merge_commit_sha is None:
        return _Merged(Mergeability.UNKNOWN, None)
    test_merge = repository.git.commit(pull.merge_commit_sha)
    if test_merge.parents[:1] != (base,):
        return _Merged(Mergeability.UNKNOWN, None)  # of an older base: GitHub is about to compute it anew
    return _Merged(Mergeability.CLEAN, pull.merge_commit_sha)
