"""Running a policy over the registry's history. Nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

from bot.domain.backtest import Backtested, champion_then, decided_then, judged_at
from bot.domain.errors import Refused
from bot.domain.versions import ModelVersion, RegisteredModel
from bot.domain.world import Ruling
from policies.engine import evaluate
from policies.policy import Policy
from policies.verdict import Verdict
from workers.evaluate import outcome_without_files
from workers.evidence import EvidenceReader, Question
from workers.repository_view import RepositoryView


@dataclass(frozen=True, slots=True)
class History:
    """The versions registered since a moment, of the models that a repository owns, oldest first."""

    versions: tuple[tuple[RegisteredModel, ModelVersion], ...]

    @classmethod
    def since(cls, view: RepositoryView, moment: datetime, most: int | None = None) -> History:
        """Read it, or the newest `most` of it; takes as many requests as the registry's lists have pages."""
        owned = (m for m in view.gateways.registry.models() if view.pipeline.pipeline.owns(m.name))
        found = [(model, version) for model in owned for version in model.versions if version.created_at >= moment]
        versions = sorted(found, key=lambda each: (each[1].created_at, each[0].name, each[1].version))
        return cls(tuple(versions if most is None else versions[-most:]))


def backtest(
    view: RepositoryView, policies: Mapping[str, Policy], history: History, now: datetime
) -> Iterator[Backtested]:
    """For each version, and each environment of `policies`, what the environment's policy says of it.

    The evidence is what MLflow holds today; the champion is the one of the moment at which the version was registered.
    Each version costs two requests to MLflow where a check needs its run, and none else.
    """
    readers: dict[str, EvidenceReader] = {}
    for model, version in history.versions:
        reader = readers.setdefault(model.name, EvidenceReader(view, model))
        for environment, policy in policies.items():
            yield Backtested(
                model=model.name,
                version=version.version,
                environment=environment,
                registered_at=version.created_at,
                then=decided_then(version, environment),
                verdict=_verdict(view, reader, policy, environment, version, now),
            )


def _verdict(
    view: RepositoryView,
    reader: EvidenceReader,
    policy: Policy,
    environment: str,
    version: ModelVersion,
    now: datetime,
) -> Verdict:
    authorised = (j for j in view.judgements_of(version.name, environment) if j.ruling is Ruling.AUTHORISED)
    champion = champion_then(authorised, version.created_at)
    question = Question(environment, version, champion, policy.needs, view.head, for_people=False)
    try:
        evidence = reader.read(question)
    except Refused as refusal:
        return Verdict(policy.name, (outcome_without_files(refusal),))
    return evaluate(policy, evidence, judged_at(policy, version.created_at, now))


def policies_for(view: RepositoryView, environment: str | None, new: tuple[Path, Policy] | None) -> dict[str, Policy]:
    """The policies to run by environment: the repository's own, or a new one where its file's name is theirs."""
    wanted = [e for e in view.pipeline.pipeline.environments if environment in (None, e.name)]
    if not wanted:
        names = ", ".join(e.name for e in view.pipeline.pipeline.environments)
        raise Refused(f"the pipeline has no environment “{environment}”; it has {names}")
    if new is None:
        return {e.name: view.files.policy(view.head, e).policy for e in wanted}
    file, policy = new
    if environment is None:
        wanted = [e for e in wanted if PurePosixPath(e.policy).name == file.name]
    if not wanted:
        raise Refused(f"no environment's policy is called {file.name}: name the environment with --environment")
    return {e.name: policy for e in wanted}
