"""One deploy repository as it is at one moment: what every look at its models and pull requests starts from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import Final, TypeVar

from bot.domain import naming
from bot.domain.instructions import Instruction, Said
from bot.domain.manifest import Entry, Manifest
from bot.domain.pipeline import Environment
from bot.domain.pull_requests import PullRequest
from bot.domain.versions import RegisteredModel
from bot.domain.world import ChangeKind, Completion, Judgement, Ruling
from bot.gateways.github.comments import Log
from bot.gateways.github.deployments import Adoption, RecordedJudgement
from bot.gateways.github.repository import Repository
from bot.wiring import Gateways
from policies.documents import InvalidDocument
from workers.deploy_files import DeployFiles, PipelineFile

_REFUSAL_KEPT: Final = 86_400  # seconds; the next try says it again
_MANY: Final = 100  # judgements whose completions take seconds to read
_SAMPLED: Final = 20
T = TypeVar("T")
By = TypeVar("By", bound=Hashable)


class RepositoryView:
    """One deploy repository at one head of its default branch; shared by every look taken at that moment.

    A sweep asks for each model's part of the pull requests, judgements and instructions: each is sorted by model once.
    """

    def __init__(self, gateways: Gateways, repository: str, now: datetime) -> None:
        self.gateways = gateways
        self.name = repository
        self.now = now
        self.repository: Repository = gateways.github(repository)
        self.files = DeployFiles(self.repository)
        self.head = self.repository.git.head()
        self.pipeline: PipelineFile = self.files.pipeline(self.head)
        self.manifest: Manifest = self.files.manifest(self.head, self.pipeline.pipeline)
        self.pull_requests: Sequence[PullRequest] = self.repository.pulls.all()
        self.judgements: Sequence[RecordedJudgement] = self.repository.deployments.judgements()
        self.adoption, self.adopting = self._adoption()
        self.asks_for_completions = True
        self._standing: dict[int, bool] = {}
        self._said_now: list[Instruction] = []
        self._registered: Mapping[str, RegisteredModel] | None = None

    def registered(self, model: str) -> RegisteredModel | None:
        """A registered model; not asked for where all of them are known."""
        return self.gateways.registry.model(model) if self._registered is None else self._registered.get(model)

    def know_all_models(self, registered: Mapping[str, RegisteredModel]) -> None:
        """Take every registered model as they were listed, by name."""
        self._registered = registered

    @cached_property
    def log(self) -> Log:
        """What was said to the bot in this repository."""
        return self.repository.comments.log()

    def know(self, pull: PullRequest) -> None:
        """Take one pull request as it was read by itself, with the whole of its text."""
        self.pull_requests = tuple(pull if each.number == pull.number else each for each in self.pull_requests)

    def say(self, instruction: Instruction) -> None:
        """Have an instruction count that is accepted at this moment and not answered yet."""
        self._said_now.append(instruction)

    def instructions(self, model: str, environment: str) -> tuple[Instruction, ...]:
        """The accepted commands that concern a model in an environment, oldest first.

        A hold and an override are only as good as the comment that asked for them: it is read once more.
        """
        found = (i for name in {"", model} for i in self._instructions.get((environment, name), ()))
        logged = sorted(found, key=lambda i: i.order)
        now = [i for i in self._said_now if i.told.environment == environment and i.told.model in ("", model)]
        return (*(i for i in logged if i in self._said_now or self._still_stands(i)), *now)

    @cached_property
    def _instructions(self) -> Mapping[tuple[str, str], Sequence[Instruction]]:
        return _by(lambda i: (i.told.environment, i.told.model), self.log.instructions())

    def _still_stands(self, instruction: Instruction) -> bool:
        if instruction.told.said not in (Said.HOLD, Said.OVERRIDE):
            return True
        if instruction.comment not in self._standing:
            comment = self.repository.comments.get(instruction.comment)
            self._standing[instruction.comment] = comment is not None and not comment.was_edited
        return self._standing[instruction.comment]

    def branches_of(self, model: str, environment: str) -> tuple[tuple[int, PullRequest], ...]:
        """Every pull request on a branch of the model's proposals for an environment, with the version it is for."""
        line = naming.branch_line(environment, model)
        pulls = self.pull_requests if line is None else self._pulls_by_line.get(line, ())
        versions = ((naming.version_of_branch(environment, model, pull.head_ref), pull) for pull in pulls)
        return tuple((version, pull) for version, pull in versions if version is not None)

    @cached_property
    def _pulls_by_line(self) -> Mapping[str, Sequence[PullRequest]]:
        return _by(lambda pull: pull.head_ref.rpartition("-v")[0], self.pull_requests)

    @cached_property
    def _judgements(self) -> Mapping[tuple[str, str], Sequence[RecordedJudgement]]:
        return _by(lambda recorded: (recorded.model, recorded.environment), self.judgements)

    def _adoption(self) -> tuple[Adoption | None, str | None]:
        """What was adopted, and the commit whose manifest is to be adopted now.

        A manifest's first commit states what is live already, while the bot has judged nothing here yet.
        """
        recorded = self.repository.deployments.adoption()
        if recorded is not None or self.judgements or not self.manifest.entries:
            return recorded, None
        first = self.files.first_manifest(self.pipeline.pipeline)
        if first is None or self.repository.git.commit(first).author == self.gateways.login():
            return None, None  # the bot's own first proposal states what should be live, not what was
        try:
            stated = self.files.manifest(first, self.pipeline.pipeline).entries
        except InvalidDocument:
            return None, None
        return None, first if stated else None

    @property
    def has_lost_completions(self) -> bool:
        """Whether the cache seems to have lost how judgements were completed, so that many would have to be read."""
        recorded = self.judgements[:: max(1, len(self.judgements) // _SAMPLED)]
        known = self.repository.deployments.known_completion
        return len(self.judgements) >= _MANY and any(known(each.deployment) is None for each in recorded)

    def before_asking(self) -> RepositoryView:
        """The same view with what GitHub lists alone: a completion that the cache has lost is taken as under way.

        Such a judgement counts as carried out when it was made: good enough for people to read, not to act on.
        """
        seen = copy(self)
        seen.asks_for_completions = False
        return seen

    def judgements_of(self, model: str, environment: str) -> tuple[Judgement, ...]:
        """Every judgement on one model's entry for one environment, oldest first, with how it was completed."""
        own = self._judgements.get((model, environment), ())
        authorised = [r for r in own if r.judgement.ruling is Ruling.AUTHORISED]
        judgements = []
        for recorded in own:
            # Of what was authorised only the last can be unfinished; the rest was carried out or overtaken.
            # That one's predecessor may be one whose version went missing while it was live, which an issue says.
            unfinished = recorded.judgement.ruling is Ruling.REFUSED or recorded in authorised[-2:]
            state, at = self._completion(recorded) if unfinished else (None, None)
            judgements.append(replace(recorded.judgement, completed=state, completed_at=at))
        return (*self._adopted(model, environment), *judgements)

    def _completion(self, recorded: RecordedJudgement) -> tuple[Completion | None, datetime | None]:
        deployments = self.repository.deployments
        if self.asks_for_completions:
            return deployments.completion(recorded.deployment) or (None, None)
        return deployments.known_completion(recorded.deployment) or (None, recorded.judgement.at)

    def _adopted(self, model: str, environment: str) -> tuple[Judgement, ...]:
        commit = self.adoption.commit if self.adoption else self.adopting
        if commit is None:
            return ()
        try:
            entry = self.files.manifest(commit, self.pipeline.pipeline).entry(model, environment)
        except InvalidDocument:
            return ()
        if entry is None:
            return ()
        at = self.adoption.at if self.adoption else self.now
        adopted = Judgement(
            entry=entry,
            commit=commit,
            ruling=Ruling.AUTHORISED,
            kind=ChangeKind.ADOPTION,
            at=at,
            completed=Completion.SUCCESS,
            completed_at=at,
        )
        return (adopted,)

    def remember_refusal(self, head: str, why: str) -> None:
        """Remember why GitHub did not let the bot merge a commit: its text says so until somebody merges it."""
        self.gateways.cache.set(f"unmerged:{self.name}:{head}", why.encode(), _REFUSAL_KEPT)

    def refusal_of(self, head: str) -> str:
        """Why GitHub did not let the bot merge a commit; empty where it was not tried, or nobody remembers."""
        return (self.gateways.cache.get(f"unmerged:{self.name}:{head}") or b"").decode(errors="replace")

    def live_in_each(self, model: str) -> tuple[tuple[str, Entry | None], ...]:
        """What is live of a model in each environment, in the pipeline's order."""
        found = []
        for rules in self.pipeline.pipeline.environments:
            ruled = [j for j in self.judgements_of(model, rules.name) if j.ruling is Ruling.AUTHORISED]
            found.append((rules.name, ruled[-1].entry if ruled else None))
        return tuple(found)

    def environment(self, name: str) -> Environment:
        """An environment of the pipeline at the head."""
        return self.pipeline.pipeline.environment(name)


def _by(key: Callable[[T], By], items: Iterable[T]) -> Mapping[By, Sequence[T]]:
    """The items by their key, in their order."""
    found: dict[By, list[T]] = defaultdict(list)
    for item in items:
        found[key(item)].append(item)
    return dict(found)
