"""What there is to tell of an effect: to whoever is notified, and to the metrics. Derived from the decision alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bot.domain.actions import (
    Action,
    CompleteJudgement,
    OpenGroup,
    OpenProposal,
    RecordJudgement,
    ReportDrift,
    ReportLostVersion,
    ReportRefusedChange,
    SetCheck,
    StoreVerdict,
)
from bot.domain.gates import PullRequestObservation
from bot.domain.happening import Happening, HappeningKind
from bot.domain.pull_requests import CheckName, CheckState
from bot.domain.world import ChangeKind, Completion, Evaluation, Judgement, Observation, Ruling
from policies.verdict import Status


def happenings(world: Observation, decided: Sequence[Action], action: Action) -> Iterator[Happening]:
    """What one of the `decided` actions means for the model, once it is carried out; most mean nothing to others."""
    match action:
        case OpenProposal(environment, _, entry):
            yield _of(world, HappeningKind.PROPOSED, environment, entry.version, entry.digest)
        case StoreVerdict(environment, evaluation) if evaluation.verdict.status_before_proposal is Status.FAIL:
            yield _refused(world, environment, evaluation)
        case ReportRefusedChange(environment, commit, entry, _, reasons):
            version = entry.version if entry else None
            yield _of(world, HappeningKind.REFUSED, environment, version, commit, reasons)
        case CompleteJudgement(environment, commit, Completion.SUCCESS, _, Ruling.AUTHORISED):
            judgement = _judgement(world, decided, environment, commit)
            if judgement is not None and judgement.entry is not None:
                yield _went_live(world, environment, judgement, judgement.entry.version)
        case ReportDrift(environment, what):
            yield _of(world, HappeningKind.DRIFT, environment, None, " ".join(what), what)
        case ReportLostVersion(environment, commit, entry):
            said = (f"v{entry.version} should be live and is not in the registry any more",)
            yield _of(world, HappeningKind.DRIFT, environment, entry.version, commit, said)


def batch_happenings(repository: str, action: Action) -> Iterator[Happening]:
    """What an action on an environment's batch means for each of its models."""
    if isinstance(action, OpenGroup):
        for model, evaluation in action.members.items():
            entry, kind = evaluation.entry, HappeningKind.PROPOSED
            yield Happening(kind, repository, model, action.environment, entry.version, entry.digest)


def _of(
    world: Observation,
    kind: HappeningKind,
    environment: str,
    version: int | None,
    occasion: str,
    details: tuple[str, ...] = (),
) -> Happening:
    return Happening(kind, world.repository, world.model, environment, version, occasion, details)


def _refused(world: Observation, environment: str, evaluation: Evaluation) -> Happening:
    """A policy's no; said again only where other checks fail, or another policy said it."""
    failed = evaluation.verdict.having(Status.FAIL)
    occasion = " ".join([evaluation.policy, *sorted(outcome.check for outcome in failed)])
    details = tuple(f"{o.check}: measured {o.measured}, required {o.required}" for o in failed)
    return _of(world, HappeningKind.REFUSED, environment, evaluation.entry.version, occasion, details)


def _judgement(world: Observation, decided: Sequence[Action], environment: str, commit: str) -> Judgement | None:
    """The judgement that is complete now: recorded by this look, or before."""
    recorded = [a.judgement for a in decided if isinstance(a, RecordJudgement) and a.environment == environment]
    known = [*recorded, *reversed(world.environments[environment].judgements)]
    return next((j for j in known if j.commit == commit and j.ruling is Ruling.AUTHORISED), None)


def _went_live(world: Observation, environment: str, judgement: Judgement, number: int) -> Happening:
    went_back = judgement.kind is ChangeKind.ROLLBACK
    version = world.version(number)
    return Happening(
        kind=HappeningKind.ROLLED_BACK if went_back else HappeningKind.LIVE,
        repository=world.repository,
        model=world.model,
        environment=environment,
        version=number,
        occasion=judgement.commit,
        pull_request=judgement.pull_request,
        by=judgement.by,
        registered_at=version.created_at if version else None,
    )


def waiting(repository: str, observed: PullRequestObservation, action: Action) -> Iterator[Happening]:
    """What a check on a pull request means for each entry in it: the policy is content, and people are waited for."""
    if not isinstance(action, SetCheck):
        return
    gate = action.gate
    if gate.name is not CheckName.APPROVALS or gate.state is not CheckState.IN_PROGRESS:
        return
    for change in observed.changes:
        yield Happening(
            kind=HappeningKind.WAITING,
            repository=repository,
            model=change.model,
            environment=change.environment,
            version=change.after.version if change.after else None,
            occasion=action.head,
            details=gate.reasons,
            pull_request=observed.pull_request.number,
        )
