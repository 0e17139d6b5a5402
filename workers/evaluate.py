"""One version against one policy: gather the evidence, let the policy judge it, bind the verdict to what was read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from bot import tracing
from bot.domain.errors import Misconfigured, Refused, Service, Unreachable
from bot.domain.instructions import Instruction
from bot.domain.manifest import Entry
from bot.domain.pipeline import Environment
from bot.domain.releases import release_of
from bot.domain.versions import ModelVersion, RegisteredModel
from bot.domain.world import ChangeKind, Evaluation, Found
from bot.gateways.artifacts import ArtifactDigest
from policies.documents import InvalidDocument
from policies.engine import evaluate
from policies.evidence import Unreadable, Unusable
from policies.kinds.base import RETRIED
from policies.verdict import Outcome, Status, Verdict
from workers.deploy_files import PipelineFile, PolicyFile
from workers.evidence import EvidenceReader, ProposalHead, Question
from workers.repository_view import RepositoryView

NoFiles = Refused | Misconfigured | Unreachable  # there are none, they are not shown to the bot, nobody answers


class Files(Enum):
    """How a version's files are read: as they were when the store listed the same ones, or every byte of them now."""

    REMEMBERED = "remembered"
    READ_AGAIN = "read again"


@dataclass(frozen=True, slots=True)
class Case:
    """What is judged beside the version: against which champion, on which pull request, who asked and who overrode.

    A rollback is judged by the policy's safety checks alone. `asked_at` is when somebody asked for the version. Where
    no `release` can be told, because files that decide it cannot be read, it says why.
    """

    champion: Entry | None
    release: str | NoFiles
    kind: ChangeKind = ChangeKind.PROMOTION
    proposal: ProposalHead | None = None
    asked_at: datetime | None = None
    overrides: Mapping[str, Instruction] = field(default_factory=dict)
    files: Files = Files.REMEMBERED


@dataclass(frozen=True, slots=True)
class Rules:
    """What an environment's entries are judged by, as of one commit."""

    commit: str
    environment: Environment
    pipeline: PipelineFile
    policy: PolicyFile


class Evaluator:
    """Judges versions of one registered model; what it read once in a look is not read again."""

    def __init__(self, view: RepositoryView, model: RegisteredModel) -> None:
        self._model = model
        self._evidence = EvidenceReader(view, model)
        self._silent = view.gateways.registry.silent

    def evaluate(self, version: ModelVersion, rules: Rules, case: Case, now: datetime) -> Evaluation:
        """The verdict of `rules` on `version`. Raises Unreachable where MLflow or GitHub does not answer.

        A store of artifacts that does not answer, or does not let the bot in, is an error of this version alone:
        whoever may register one chooses where its files are, and must not keep the model's others from being looked at.
        """
        policy, environment = rules.policy.policy, rules.environment.name
        if case.kind is ChangeKind.ROLLBACK:
            policy = policy.safety
        about = {"promotion.environment": environment, "promotion.version": version.version}
        question = Question(
            environment, version, case.champion, policy.needs, rules.commit, case.proposal, case.asked_at
        )
        if not isinstance(case.release, str):
            return self._judged_without_files(question, rules, case, case.release)
        try:
            with tracing.inside("read the evidence", about):
                if case.files is Files.READ_AGAIN:
                    self.read_again(version)
                evidence = self._evidence.read(question)
        except (Refused, Misconfigured, Unreachable) as error:
            self._expect_a_store_of_files(error)
            return self._judged_without_files(question, rules, case, error)
        said = {check: f"{o.by} in {o.source}: {o.told.reason}" for check, o in case.overrides.items()}
        return Evaluation(
            entry=Entry(version.version, str(evidence.subject.digest), case.release),
            verdict=evaluate(policy, evidence, now).overridden(said),
            evidence=evidence,
            policy=rules.policy.blob,
            pipeline=rules.pipeline.blob,
            champion=case.champion,
        )

    def found(self, version: int) -> Found:
        """The digest of a version's files as the store has them this moment, never from a cache."""
        registered = self._model.version(version)
        if registered is None:
            return Found(None)
        try:
            return Found(self.read_again(registered).digest)
        except (Refused, Misconfigured, Unreachable) as error:
            self._expect_a_store_of_files(error)
            return Found(_why(error))

    def read_again(self, version: ModelVersion) -> ArtifactDigest:
        """Digest the files anew; evaluations of this look use the result."""
        return self._evidence.read_again(version)

    def release(self, version: ModelVersion, known: Iterable[Entry]) -> str:
        """The semantic version that `version` has, or gets now: each is given once, and to one version only.

        `known` are the entries of the model that the manifest and the record of judgements name. Raises Unreachable
        or Misconfigured where a signature that decides it cannot be read.
        """

        def signature_of(number: int) -> Mapping[str, object] | None:
            registered = self._model.version(number)
            return self._evidence.model_file(registered).signature if registered else None

        return release_of(self._model, version.version, known, signature_of)

    def release_if_readable(self, version: ModelVersion, known: Iterable[Entry]) -> str | NoFiles:
        """As `release`; why not, where files that decide it cannot be read."""
        try:
            return self.release(version, known)
        except (Misconfigured, Unreachable) as error:
            self._expect_a_store_of_files(error)
            return error

    def _expect_a_store_of_files(self, error: NoFiles) -> None:
        """Note that a store of files does not answer; raise Unreachable where it was MLflow or GitHub."""
        if isinstance(error, Unreachable):
            if error.service is not Service.ARTIFACTS:
                raise error
            self._silent[Service.ARTIFACTS] = str(error)

    def _judged_without_files(self, question: Question, rules: Rules, case: Case, error: NoFiles) -> Evaluation:
        """The verdict on a version of which files cannot be had, which no policy can judge."""
        release = case.release if isinstance(case.release, str) else ""
        return Evaluation(
            entry=Entry(question.version.version, "", release),
            verdict=Verdict(rules.policy.policy.name, (outcome_without_files(error),)),
            evidence=self._evidence.without_files(question),
            policy=rules.policy.blob,
            pipeline=rules.pipeline.blob,
            champion=case.champion,
            without_files=_why(error),
        )


def outcome_without_files(error: NoFiles) -> Outcome:
    """What stands in place of a policy's outcomes where a version's files cannot be had."""
    match error:
        case Refused():
            status, remedy = Status.FAIL, "Log the model's files again and register them as a new version."
        case Misconfigured():
            status, remedy = Status.ERROR, "Let the bot in there, or register a version whose files it may read."
        case _:
            status, remedy = Status.ERROR, RETRIED
    required = "the version's files can be read"
    return Outcome("artifacts", "artifacts", status, measured=str(error), required=required, remedy=remedy)


def _why(error: NoFiles) -> Unreadable | Unusable:
    return Unusable(str(error)) if isinstance(error, Refused) else Unreadable(str(error))


def rules_at(
    commit: str,
    environment: Environment,
    pipeline: PipelineFile,
    policy: Callable[[str, Environment], PolicyFile],
) -> Rules | None:
    """The environment's rules as of `commit`; None where its policy is missing or invalid."""
    try:
        return Rules(commit, environment, pipeline, policy(commit, environment))
    except InvalidDocument:
        return None
