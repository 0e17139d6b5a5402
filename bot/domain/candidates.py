"""New proposals: which versions an environment asks for, what their verdicts say, and what is opened."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from bot.domain.actions import Action, LookAgain, OpenProposal, store_verdict, tag_missing
from bot.domain.pipeline import After, Manual, OnAlias, OnRegistration, OnTag, WhileSoaking
from bot.domain.versions import VersionStatus
from bot.domain.world import EnvironmentState, Evaluation, Observation
from policies.verdict import Status

PENDING_FIRST_LOOK = timedelta(seconds=5)
_LONGEST_REASON = 2000  # characters; MLflow refuses tag values that are much longer


def propose_candidates(world: Observation, now: datetime) -> Iterator[Action]:
    """Open a proposal for each environment's newest version that its policy accepts; say why others are refused."""
    for position, state in enumerate(world.states):
        yield from _say_verdicts(world, state, now, is_first=position == 0)
        yield from _look_when_soaked(world, state, now)
        candidate = None if asked_for(state) else passing_candidate(world, state, now)
        if candidate is None or any(p.is_open and p.version == candidate.entry.version for p in state.proposals):
            continue
        if candidate.entry.version in state.taken or candidate.entry.names_the_files_of(state.desired):
            continue
        if state.change is not None and not state.change.is_last:
            continue  # the changes after it are judged first: one may have taken this very version out again
        if state.rules.group is not None:
            continue  # its environment's key collects it
        yield from tag_missing(world, candidate.entry.version, {"promotion.release": candidate.entry.release})
        yield OpenProposal(state.rules.name, state.live, candidate.entry, candidate)


def candidates(world: Observation, state: EnvironmentState, now: datetime) -> tuple[int, ...]:
    """The versions that the environment's rule names and that may be proposed, newest first.

    They are newer than what is live and than every version that was refused by a person or superseded, and were never
    live here before. Empty while the environment is held. What was registered before somebody asked for a version is
    no candidate beside it.
    """
    if world.registered is None or state.hold or _waits_for_soak(world, state, now):
        return ()
    asked = state.request
    floor = max(
        (
            *(j.entry.version for j in state.authorised if j.entry),
            *(p.version for p in state.proposals if p.was_closed_unmerged),
        ),
        default=0,
    )
    named = _named_by_rule(world, state, now)
    return tuple(
        v.version
        for v in reversed(world.registered.versions)
        if v.version > floor and v.version in named and v.status is VersionStatus.READY
        if asked is None or v.version == asked.told.version or v.created_at > asked.at
    )


def _waits_for_soak(world: Observation, state: EnvironmentState, now: datetime) -> bool:
    """Whether what is live here soaks for a later environment that wants no newer version to take its place."""
    if state.live is None:
        return False
    for later in world.states:
        rule = later.rules.propose
        if not isinstance(rule, After) or rule.environment != state.rules.name:
            continue
        settled = later.live is not None and later.live.version == state.live.version
        refused = any(p.was_closed_unmerged and p.version == state.live.version for p in later.proposals)
        since = _live_since(state)
        if later.rules.while_soaking is WhileSoaking.WAIT and not settled and not refused:
            return since is None or now < since + rule.soak
    return False


def evaluations_needed(world: Observation, now: datetime) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """For each environment the versions whose verdict is asked for, newest first.

    The first that passes ends an environment's list: what is older than it is not looked at, unless somebody asked
    for it.
    """
    return tuple((state.rules.name, wanted) for state in world.states if (wanted := _wanted(world, state, now)))


def _wanted(world: Observation, state: EnvironmentState, now: datetime) -> tuple[int, ...]:
    oldest_open = min((p.version for p in state.open_proposals), default=0)
    proposed = {p.version for p in state.open_proposals}
    named = {v for v in candidates(world, state, now) if v >= oldest_open}
    return tuple(sorted(named | proposed | asked_for(state), reverse=True))


def asked_for(state: EnvironmentState) -> frozenset[int]:
    """The version that somebody asked for here and that still waits to be proposed, if there is one."""
    request = state.request
    waits = request is not None and request.waiting and request.told.version is not None
    return frozenset({request.told.version}) if waits and request and request.told.version else frozenset()


def passing_candidate(world: Observation, state: EnvironmentState, now: datetime) -> Evaluation | None:
    """The newest candidate whose policy passed, as far as it was evaluated."""
    for version in candidates(world, state, now):
        evaluation = state.evaluations.get(version)
        if evaluation is not None and evaluation.verdict.status_before_proposal is Status.PASS:
            return evaluation
    return None


def _named_by_rule(world: Observation, state: EnvironmentState, now: datetime) -> frozenset[int]:
    if world.registered is None:
        return frozenset()
    match state.rules.propose:
        case OnRegistration():
            return frozenset(v.version for v in world.registered.versions)
        case OnTag(key, value):
            return frozenset(v.version for v in world.registered.versions if v.tags.get(key) == value)
        case OnAlias(alias):
            named = world.registered.aliases.get(alias)
            return frozenset() if named is None else frozenset({named})
        case After(environment, soak):
            since = _live_since(world.environments[environment])
            earlier = world.environments[environment].live
            soaked = since is not None and now >= since + soak
            return frozenset({earlier.version}) if earlier is not None and soaked else frozenset()
        case Manual():
            return frozenset()


def _live_since(state: EnvironmentState) -> datetime | None:
    """When the live entry went live, by GitHub's clock; None while it is on its way."""
    return state.last.completed_at if state.last else None


def _look_when_soaked(world: Observation, state: EnvironmentState, now: datetime) -> Iterator[Action]:
    rule = state.rules.propose
    if not isinstance(rule, After):
        return
    since = _live_since(world.environments[rule.environment])
    if since is not None and now < since + rule.soak:
        yield LookAgain(since + rule.soak)


def _say_verdicts(world: Observation, state: EnvironmentState, now: datetime, *, is_first: bool) -> Iterator[Action]:
    """Write each candidate's verdict on the version, and come back for what is pending."""
    environment = state.rules.name
    proposed = {p.version for p in state.open_proposals}
    for version, evaluation in sorted(state.evaluations.items(), reverse=True):
        tags: dict[str, str] = {}
        match evaluation.verdict.status_before_proposal:
            case Status.PASS if is_first:
                tags = {"validation_status": "passed"}
            case Status.FAIL:
                tags = {f"promotion.{environment}.policy": evaluation.policy}
                if version not in proposed:
                    tags[f"promotion.{environment}.status"] = "refused"
                tags[f"promotion.{environment}.reason"] = refusal(evaluation)
                if is_first:
                    tags["validation_status"] = "failed"
            case Status.PENDING | Status.ERROR as undecided:
                registered, key = world.version(version), f"promotion.{environment}.status"
                is_refused = registered is not None and registered.tags.get(key) == "refused"
                if version not in proposed and not (undecided is Status.ERROR and is_refused):
                    tags = {key: "waiting"}  # an outage takes no verdict back
                again = now + patience(evaluation.evidence.asked_at, now, world.sweep_interval)
                yield LookAgain(min(again, evaluation.verdict.until or again))
        yield from tag_missing(world, version, tags)
        yield from store_verdict(world, environment, evaluation, now)


def refusal(evaluation: Evaluation) -> str:
    """Why a version was refused, in one line a failed check."""
    lines = (
        f"{o.check}: measured {o.measured}, required {o.required}" + (f". {o.remedy}" if o.remedy else "")
        for o in evaluation.verdict.having(Status.FAIL)
    )
    return "\n".join(lines)[:_LONGEST_REASON]


def patience(since: datetime, now: datetime, longest: float) -> timedelta:
    """How long to wait before looking at pending evidence again: 5 s at first, then ever longer, up to the sweep's."""
    waited = max(timedelta(), now - since)
    return min(max(PENDING_FIRST_LOOK, waited / 2), max(PENDING_FIRST_LOOK, timedelta(seconds=longest)))
