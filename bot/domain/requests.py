"""What people asked to have proposed: carried out once, and answered."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from bot.domain.actions import Action, AnswerRequest, LookAgain, OpenProposal, tag_missing
from bot.domain.authorisation import kind_of_going_to
from bot.domain.candidates import patience
from bot.domain.instructions import Instruction, Said, Settled
from bot.domain.world import ChangeKind, EnvironmentState, Evaluation, Observation
from policies.verdict import Status


def fulfil_requests(world: Observation, now: datetime) -> Iterator[Action]:
    """Propose what was asked for and answer; a request whose evidence is pending waits."""
    for state in world.states:
        request = state.request
        if request is not None and request.waiting:
            yield from _fulfil(world, state, request, now)


def _fulfil(world: Observation, state: EnvironmentState, request: Instruction, now: datetime) -> Iterator[Action]:
    environment = state.rules.name
    if _is_carried_out(state, request):
        yield AnswerRequest(environment, request, Settled.DONE)
        return
    refusal = _why_not(world, state, request)
    if refusal is not None:
        yield AnswerRequest(environment, request, Settled.REFUSED, refusal)
        return
    evaluation = state.evaluations.get(request.told.version or 0)
    if evaluation is None:
        reason = f"the policy of {environment} cannot be read"
        yield AnswerRequest(environment, request, Settled.REFUSED, reason)
        return
    kind, before = kind_of_going_to(state, evaluation.entry.version)
    if before is not None and evaluation.entry.digest not in ("", before.digest):
        reason = f"version {before.version} has other files than when it was live here: its digest was {before.digest}"
        yield AnswerRequest(environment, request, Settled.REFUSED, reason)
        return
    match evaluation.verdict.status_before_proposal:
        case Status.PASS:
            yield from _propose(world, state, request, evaluation, kind)
        case Status.FAIL:
            yield AnswerRequest(environment, request, Settled.REFUSED, evaluation=evaluation)
        case _:
            again = now + patience(evaluation.evidence.asked_at, now, world.sweep_interval)
            yield LookAgain(min(again, evaluation.verdict.until or again))


def _propose(
    world: Observation, state: EnvironmentState, request: Instruction, evaluation: Evaluation, kind: ChangeKind
) -> Iterator[Action]:
    if kind is ChangeKind.PROMOTION:
        yield from tag_missing(world, evaluation.entry.version, {"promotion.release": evaluation.entry.release})
    yield OpenProposal(state.rules.name, state.live, evaluation.entry, evaluation, kind, request)
    yield AnswerRequest(state.rules.name, request, Settled.DONE)


def _why_not(world: Observation, state: EnvironmentState, request: Instruction) -> str | None:
    version = request.told.version or 0
    if world.version(version) is None:
        return f"the registry has no version {version} of this model"
    if state.live is not None and state.live.version == version:
        return f"version {version} is live in {state.rules.name} already"
    if (pull := state.taken.get(version)) is not None:
        return f"#{pull.number}, which {pull.author} opened, has the branch of this proposal: merge or close it first"
    if request.told.said is Said.ROLLBACK and kind_of_going_to(state, version)[0] is not ChangeKind.ROLLBACK:
        return f"version {version} was not live in {state.rules.name} before what is live now; `/promote` proposes it"
    return None


def _is_carried_out(state: EnvironmentState, request: Instruction) -> bool:
    """Whether a proposal is open for it, or one that it led to was merged or closed since; times are whole seconds."""
    for proposal in state.proposals:
        opened = proposal.pull_request.created_at
        if proposal.version != request.told.version:
            continue
        if proposal.is_open or opened > request.at or (opened == request.at and not proposal.was_closed_unmerged):
            return True
    return False
