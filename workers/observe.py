"""Reading the world for one model: what `decide` looks at, gathered from GitHub and the registry at one head."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from bot.domain import naming
from bot.domain.approvals import Approvals
from bot.domain.authorisation import kind_of_change, kind_of_going_to, settled_by
from bot.domain.candidates import asked_for, evaluations_needed
from bot.domain.manifest import Entry
from bot.domain.pipeline import Environment, Merge
from bot.domain.pull_requests import CheckName, PullRequest
from bot.domain.versions import RegisteredModel
from bot.domain.world import (
    Change,
    ChangeKind,
    EnvironmentState,
    Evaluation,
    Judgement,
    Observation,
    Proposal,
)
from policies.documents import InvalidDocument
from policies.verdict import Status
from workers.approvers import Counted, count_for_change
from workers.deploy_files import Place
from workers.evaluate import Case, Evaluator, Files, Rules, rules_at
from workers.evidence import ProposalHead
from workers.repository_view import RepositoryView


def observe_model(view: RepositoryView, model: str, registered: RegisteredModel | None, now: datetime) -> Observation:
    """Everything that `decide` needs to know of one model; evaluates only the versions that it will ask for."""
    observer = _ModelObserver(view, model, registered, now)
    return observer.evaluated(observer.glance())


def glance_at_model(view: RepositoryView, model: str, registered: RegisteredModel | None, now: datetime) -> Observation:
    """What can be seen of one model without evaluating any version: enough to tell whether a look is worth it."""
    return _ModelObserver(view, model, registered, now).glance()


def evaluate_versions(
    view: RepositoryView, world: Observation, environment: str, versions: Collection[int], now: datetime
) -> Observation:
    """The world with the verdicts that one environment asks for, and with those of `versions` anyway."""
    observer = _ModelObserver(view, world.model, world.registered, now)
    wanted = dict(evaluations_needed(world, now)).get(environment, ())
    state = world.environments[environment]
    numbers = tuple(sorted({*wanted, *versions}, reverse=True))
    return world.with_state(observer.evaluate(state, numbers, frozenset(versions))) if numbers else world


class _ModelObserver:
    def __init__(self, view: RepositoryView, model: str, registered: RegisteredModel | None, now: datetime) -> None:
        self._view = view
        self._model = model
        self._registered = registered
        self._now = now
        self._evaluator = Evaluator(view, registered) if registered else None

    def glance(self) -> Observation:
        """The world without verdicts."""
        view = self._view
        environments = {rules.name: self._state(rules) for rules in view.pipeline.pipeline.environments}
        return Observation(
            repository=view.name,
            model=self._model,
            head=view.head,
            pipeline=view.pipeline.pipeline,
            registered=self._registered,
            environments=environments,
            adopting=view.adopting,
            sweep_interval=view.gateways.settings.sweep_interval.total_seconds(),
        )

    def evaluated(self, world: Observation) -> Observation:
        """The world with the verdicts that deciding asks for."""
        for name, versions in evaluations_needed(world, self._now):
            state = world.environments[name]
            world = world.with_state(self.evaluate(state, versions, asked_for(state)))
        return world

    # --- one environment ------------------------------------------------------------------------------------------

    def _state(self, rules: Environment) -> EnvironmentState:
        name = self._view.name
        pulls = [(v, p) for v, p in self._view.branches_of(self._model, rules.name) if p.head_repository == name]
        state = EnvironmentState(
            rules=rules,
            desired=self._view.manifest.entry(self._model, rules.name),
            judgements=self._view.judgements_of(self._model, rules.name),
            proposals=tuple(Proposal(version, pull) for version, pull in pulls if self._is_the_bots(pull)),
            taken={version: pull for version, pull in pulls if pull.is_open and not self._is_the_bots(pull)},
            instructions=self._view.instructions(self._model, rules.name),
            copies=self._copies(rules),
        )
        place = Place(self._view.pipeline.pipeline, self._model, rules.name, state.live)
        judged = {judgement.commit: judgement for judgement in state.judgements}
        owed = self._owed(state, place, judged)
        if state.desired == state.live and not owed:
            return state
        commits = self._view.files.changes(self._view.head, place, judged, owed)
        unjudged = [commit for commit in commits if commit not in judged]
        if unjudged:
            return replace(state, change=self._change(state, unjudged[-1], is_last=len(unjudged) == 1))
        last = judged[commits[0]] if commits else None
        if last and state.desired and settled_by(last, state.overrides(state.desired.version)):
            return replace(state, change=self._change(state, last.commit, reopens=last))
        return state

    def _copies(self, rules: Environment) -> RegisteredModel | None:
        """The registered model that versions are copied to."""
        target = rules.registry
        return self._view.registered(target.carrier(self._model)) if target.copy_to is not None else None

    def _owed(self, state: EnvironmentState, place: Place, judged: Collection[str]) -> tuple[str, ...]:
        """The merges of the bot's own proposals that nobody judged yet, even if somebody took them back since."""
        merged = (p.pull_request.merge_commit_sha for p in state.proposals if p.pull_request.merged_at)
        unjudged = [self._view.repository.git.commit(sha) for sha in merged if sha and sha not in judged]
        return tuple(commit.sha for commit in unjudged if self._view.files.changed_by(commit, place))

    # --- a change of the manifest ---------------------------------------------------------------------------------

    def _change(
        self, state: EnvironmentState, sha: str, reopens: Judgement | None = None, *, is_last: bool = True
    ) -> Change:
        view = self._view
        entry = view.files.manifest(sha, view.pipeline.pipeline).entry(self._model, state.rules.name)
        commit = view.repository.git.commit(sha)
        parent = commit.parents[0] if commit.parents else None
        rules = self._rules_before(parent, state.rules.name)
        pull_request = view.repository.pulls.of_commit(sha)
        started = None
        if pull_request is None and rules is not None and rules.environment.freeze:
            check = view.repository.checks.of(sha).get(naming.commit_check(state.rules.name, self._model))
            started = check.written_at if check else None
        change = Change(
            commit=sha,
            entry=entry,
            is_last=is_last,
            rules=rules.environment if rules else None,
            decided_at=(pull_request.merged_at if pull_request else started) or self._now,
            made_at=pull_request.merged_at if pull_request else commit.committed_at,
            check_started=started is not None,
            by=commit.author,
            pull_request=pull_request,
            overrides=state.overrides(entry.version) if entry else {},
            reopens=reopens,
        )
        kind = kind_of_change(change.entry, state.authorised)
        if rules is None or change.entry is None:
            return replace(change, approvals=self._approvals(change, kind, None, parent))
        found = self._evaluator.found(change.entry.version) if self._evaluator else None
        evaluation = self._judged_by(rules, change, change.entry, kind, state.live)
        checked = None
        if pull_request is not None and evaluation is not None:
            checked = view.repository.checks.of(pull_request.head_sha).get(CheckName.POLICY)
        return replace(
            change,
            found=found,
            evaluation=evaluation,
            checked=checked,
            approvals=self._approvals(change, kind, evaluation, parent),
        )

    def _rules_before(self, parent: str | None, environment: str) -> Rules | None:
        """The rules that stood before a change: of its first parent."""
        if parent is None:
            return None
        try:
            pipeline = self._view.files.pipeline(parent)
            rules = pipeline.pipeline.environment(environment)
        except (InvalidDocument, KeyError):
            return None
        return rules_at(parent, rules, pipeline, self._view.files.policy)

    def _judged_by(
        self, rules: Rules, change: Change, entry: Entry, kind: ChangeKind, champion: Entry | None
    ) -> Evaluation | None:
        version = self._registered.version(entry.version) if self._registered else None
        if version is None or self._evaluator is None:
            return None
        pull = change.pull_request
        proposal = (
            ProposalHead(pull.head_sha, pull.created_at) if pull else ProposalHead(change.commit, change.decided_at)
        )
        case = Case(
            champion=champion,
            release=entry.release,
            # What a refusal was settled by stays settled: then only the files are looked at once more.
            kind=kind if change.reopens is None else ChangeKind.ROLLBACK,
            proposal=proposal,
            overrides=change.overrides,
        )
        return self._evaluator.evaluate(version, rules, case, self._now)

    def _approvals(
        self, change: Change, kind: ChangeKind, evaluation: Evaluation | None, parent: str | None
    ) -> Approvals | None:
        if change.rules is None or change.pull_request is None or parent is None:
            return None
        return count_for_change(
            self._view,
            self._view.files.pipeline(parent).pipeline,
            change.rules,
            Counted(self._model, change.entry, kind, change.pull_request, evaluation),
        )

    # --- proposals ------------------------------------------------------------------------------------------------

    def _is_the_bots(self, pull: PullRequest) -> bool:
        return pull.author == self._view.gateways.login()

    def evaluate(self, state: EnvironmentState, versions: tuple[int, ...], anyway: frozenset[int]) -> EnvironmentState:
        """The state with the verdicts of `versions`, newest first, up to the first that passes, and of some anyway."""
        view = self._view
        rules = rules_at(view.head, state.rules, view.pipeline, view.files.policy)
        if rules is None or self._evaluator is None or self._registered is None:
            return state
        evaluations: dict[int, Evaluation] = {}
        known, passed = self._known_entries(), False
        for number in versions:
            version = self._registered.version(number)
            if version is None:
                continue
            proposal = next((p for p in state.open_proposals if p.version == number), None)
            asked = number in asked_for(state)
            if passed and number not in anyway:
                continue
            kind = kind_of_going_to(state, number)[0]
            case = Case(
                champion=state.live,
                release=self._evaluator.release_if_readable(version, known),
                kind=kind,
                proposal=ProposalHead(proposal.pull_request.head_sha, proposal.pull_request.created_at)
                if proposal
                else None,
                asked_at=state.request.at if state.request and asked else None,
                overrides=state.overrides(number),
                # What the bot is about to merge is what the store has now.
                files=Files.READ_AGAIN if proposal and state.rules.merge is Merge.AUTO else Files.REMEMBERED,
            )
            evaluations[number] = self._evaluator.evaluate(version, rules, case, self._now)
            passed = passed or evaluations[number].verdict.status_before_proposal is Status.PASS
        proposals = tuple(self._with_gates(state, proposal, evaluations) for proposal in state.proposals)
        return replace(state, evaluations=evaluations, proposals=proposals)

    def _known_entries(self) -> list[Entry]:
        """Every entry of the model that the manifest names, or the record of what was judged."""
        recorded = [r.judgement.entry for r in self._view.judgements if r.model == self._model and r.judgement.entry]
        return [*self._view.manifest.of_model(self._model).values(), *recorded]

    def _with_gates(self, state: EnvironmentState, proposal: Proposal, evaluations: dict[int, Evaluation]) -> Proposal:
        """The proposal with what its merge by the bot depends on, where it is one that the bot might merge."""
        evaluation = evaluations.get(proposal.version)
        if not proposal.is_open or evaluation is None:
            return proposal
        conflicts = self._conflicts(proposal)
        if state.rules.merge is not Merge.AUTO and not conflicts:
            return proposal
        genuine = self._is_genuine(proposal, evaluation.entry, state.rules.name)
        if conflicts:
            return replace(proposal, conflicts=True, genuine=genuine)
        repository, pull = self._view.repository, proposal.pull_request
        return replace(
            proposal,
            genuine=genuine,
            checks=repository.checks.of(pull.head_sha),
            approvals=count_for_change(
                self._view,
                self._view.pipeline.pipeline,
                state.rules,
                Counted(
                    self._model,
                    evaluation.entry,
                    kind_of_going_to(state, proposal.version)[0],
                    pull,
                    evaluation,
                ),
            ),
        )

    def _conflicts(self, proposal: Proposal) -> bool:
        """Whether the proposal has to be made anew: it conflicts with its base, or must be up to date with it.

        Asked only where the base has moved since.
        """
        view = self._view
        if view.repository.git.commit(proposal.pull_request.head_sha).parents[:1] == (view.head,):
            return False
        pull = view.repository.pulls.get(proposal.pull_request.number)
        return pull is not None and pull.is_open and (pull.mergeable is False or pull.behind)

    def _is_genuine(self, proposal: Proposal, entry: Entry, environment: str) -> bool:
        """Whether the pull request is one commit of the bot's whose whole diff is the proposed entry."""
        view = self._view
        commit = view.repository.git.commit(proposal.pull_request.head_sha)
        if commit.author != view.gateways.login() or len(commit.parents) != 1:
            return False
        pipeline = view.pipeline.pipeline
        changed = view.repository.git.changed_paths(commit.parents[0], commit.sha)
        if changed != (pipeline.manifest_path(environment),):
            return False
        try:
            before = dict(view.files.manifest(commit.parents[0], pipeline).entries)
            after = dict(view.files.manifest(commit.sha, pipeline).entries)
        except InvalidDocument:
            return False
        return after == {**before, (self._model, environment): entry}
