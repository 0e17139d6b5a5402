"""The decision: what must happen next for one model, from one observation of the world."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

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
    SetStage,
    SetVersionTags,
    StartCommitCheck,
)
from bot.domain.authorisation import judge
from bot.domain.keys import ModelKey, PullRequestKey
from bot.domain.manifest import Entry
from bot.domain.pipeline import After, Manual, Merge, OnAlias, OnRegistration, OnTag
from bot.domain.pull_requests import CheckName, CheckState
from bot.domain.versions import ModelVersion, VersionStatus
from bot.domain.windows import frozen_by
from bot.domain.world import (
    Change,
    ChangeKind,
    Completion,
    EnvironmentState,
    Evaluation,
    Judgement,
    Observation,
    Proposal,
    Ruling,
)
from policies.verdict import Status

ARCHIVED = "Archived"
NO_STAGE = "None"
PENDING_FIRST_LOOK = timedelta(seconds=5)
_LONGEST_REASON = 2000  # characters; MLflow refuses tag values that are much longer


def decide(world: Observation, now: datetime) -> list[Action]:
    """What must happen next for one model in one repository; empty when the world is as it should be."""
    return [
        *apply_manifest(world, now),  # registry follows what was merged and authorised
        *settle_proposals(world, now),  # open pull requests: supersede, close, merge
        *propose_candidates(world, now),  # new pull requests, refusals
    ]


# --- registry follows what was merged -------------------------------------------------------------------------------


def apply_manifest(world: Observation, now: datetime) -> Iterator[Action]:
    """Judge what changed in the manifest, then carry out what was judged and is not finished."""
    if world.adopting is not None:
        yield RecordAdoption(world.adopting)
    for state in world.states:
        if state.change is not None:
            yield from _judge_change(world, state, state.change, now)
        else:
            yield from _carry_out(world, state)
            yield from _forget_refusals(state)


def _judge_change(world: Observation, state: EnvironmentState, change: Change, now: datetime) -> Iterator[Action]:
    if change.pull_request is None and change.rules and change.rules.freeze and not change.check_started:
        yield StartCommitCheck(state.rules.name, change.commit)
    decision = judge(state, change)
    if decision is None:
        yield LookAgain(now + patience(change.decided_at, now, world.sweep_interval))
        return
    judgement = Judgement(
        entry=change.entry,
        commit=change.commit,
        ruling=decision.ruling,
        kind=decision.kind,
        at=now,
        pull_request=change.pull_request.number if change.pull_request else None,
        reasons=decision.reasons,
        by=change.by,
        policy=change.evaluation.policy if change.evaluation else "",
    )
    yield RecordJudgement(state.rules.name, judgement)
    judged = world.with_state(state.with_judgement(judgement))
    yield from _carry_out(judged, judged.environments[state.rules.name])


def _carry_out(world: Observation, state: EnvironmentState) -> Iterator[Action]:
    """What still has to be there for the environment's newest judgements to be complete."""
    for judgement in state.judgements:
        if judgement.completed is None and judgement.ruling is Ruling.REFUSED:
            yield from _announce_refusal(state, judgement)
            if judgement.pull_request is not None:
                yield LookAt(PullRequestKey(world.repository, judgement.pull_request))
    last = state.last
    if last is not None and last.completed is None:
        yield from _go_live(world, state, last)
    elif last is not None and last.entry and last.completed is Completion.SUCCESS and _is_lost(world, last):
        yield from _report_lost(world, state, last, last.entry)
    elif last is not None and last.pull_request is not None:
        merged = next((p for p in state.proposals if p.pull_request.number == last.pull_request), None)
        if merged and not merged.says_live:
            yield LookAt(PullRequestKey(world.repository, last.pull_request))


def _delete_branch(state: EnvironmentState, judgement: Judgement) -> Iterator[Action]:
    """Take away the branch of the proposal whose merge was judged."""
    for proposal in state.proposals:
        if proposal.pull_request.number == judgement.pull_request:
            yield DeleteBranch(proposal.pull_request.head_ref)


def _is_lost(world: Observation, judgement: Judgement) -> bool:
    """Whether somebody deleted from the registry what should be live."""
    return judgement.entry is not None and _registered(world, judgement.entry.version) is None


def _report_lost(world: Observation, state: EnvironmentState, judgement: Judgement, entry: Entry) -> Iterator[Action]:
    environment, commit = state.rules.name, judgement.commit
    yield ReportLostVersion(environment, commit, entry)
    yield from _delete_branch(state, judgement)
    if judgement.kind is ChangeKind.ADOPTION:
        return  # what was adopted has no deployment of its own
    gone = f"version {entry.version} is not in the registry any more"
    yield CompleteJudgement(environment, commit, Completion.FAILURE, gone)
    if judgement.pull_request is not None:
        yield LookAt(PullRequestKey(world.repository, judgement.pull_request))


def _announce_refusal(state: EnvironmentState, judgement: Judgement) -> Iterator[Action]:
    environment = state.rules.name
    yield FailCommitCheck(environment, judgement.commit, judgement.reasons)
    yield ReportRefusedChange(environment, judgement.commit, judgement.entry, state.live, judgement.reasons)
    yield from _delete_branch(state, judgement)
    yield CompleteJudgement(
        environment, judgement.commit, Completion.FAILURE, "; ".join(judgement.reasons) or "refused"
    )


def _forget_refusals(state: EnvironmentState) -> Iterator[Action]:
    """What is not in the manifest any more, refused or lost: its issues have nothing left to ask for."""
    for judgement in state.judgements:
        stands = judgement is state.judgements[-1] and judgement.entry == state.desired
        if judgement.ruling is Ruling.REFUSED and judgement.completed is Completion.FAILURE and not stands:
            yield CloseRefusedChange(state.rules.name, judgement.commit)
            yield CompleteJudgement(
                state.rules.name,
                judgement.commit,
                Completion.INACTIVE,
                "The change is not in the manifest any more.",
            )
    for judgement in state.authorised[:-1]:
        if judgement.completed is Completion.FAILURE:
            yield CloseLostVersion(state.rules.name, judgement.commit)
            yield CompleteJudgement(
                state.rules.name, judgement.commit, Completion.INACTIVE, "Something else is live by now."
            )


def _go_live(world: Observation, state: EnvironmentState, judgement: Judgement) -> Iterator[Action]:
    rules = state.rules
    version = _registered(world, judgement.entry.version) if judgement.entry else None
    if judgement.entry is not None and version is None:
        yield from _report_lost(world, state, judgement, judgement.entry)
        return
    if version is not None and judgement.entry is not None:
        yield from _record_on_version(world, state, judgement, version)
        yield from _put_live(world, version, state)
    yield from _retire(world, state, judgement.entry)
    yield from _show_statuses(world, state, judgement)
    if (
        judgement.entry is not None
        and _first_time(state, judgement)
        and rules.name == world.pipeline.last_environment.name
    ):
        releases = world.pipeline.releases
        if releases is not None:
            tag = naming.tag_name(releases.tag, world.model, judgement.entry.version, judgement.entry.release)
            yield CreateTag(tag, judgement.commit)
            if releases.github_release:
                yield CreateRelease(tag, rules.name, judgement.entry, judgement.pull_request)
    if judgement.pull_request is None:
        yield PassCommitCheck(rules.name, judgement.commit)
    yield from _delete_branch(state, judgement)
    what = f"v{judgement.entry.version} is live" if judgement.entry else "nothing is live any more"
    yield CompleteJudgement(rules.name, judgement.commit, Completion.SUCCESS, f"{naming.one_line(world.model)}: {what}")
    if judgement.pull_request is not None:
        yield LookAt(PullRequestKey(world.repository, judgement.pull_request))
    yield LookAt(ModelKey(world.repository, world.model))


def _first_time(state: EnvironmentState, judgement: Judgement) -> bool:
    """Whether this entry is authorised here for the first time: only then is it a release."""
    return next((j for j in state.authorised if j.entry == judgement.entry), judgement).commit == judgement.commit


def _put_live(world: Observation, version: ModelVersion, state: EnvironmentState) -> Iterator[Action]:
    stage = stage_of(world, version.version)
    if stage is not None and version.stage != stage:
        yield SetStage(version.version, stage)
    alias = state.rules.registry.alias
    if alias and world.registered is not None and world.registered.aliases.get(alias) != version.version:
        yield SetAlias(alias, version.version)


def _retire(world: Observation, state: EnvironmentState, entry: Entry | None) -> Iterator[Action]:
    """Every version that the environment's stage or alias should not name any more."""
    if world.registered is None:
        return
    target = state.rules.registry
    if entry is None and target.alias and target.alias in world.registered.aliases:
        yield DeleteAlias(target.alias)
    if target.stage is None:
        return
    for version in world.registered.versions:
        if version.stage != target.stage or (entry is not None and version.version == entry.version):
            continue
        stage = stage_of(world, version.version) or (ARCHIVED if target.archive_existing else version.stage)
        if stage != version.stage:
            yield SetStage(version.version, stage)


def stage_of(world: Observation, version: int) -> str | None:
    """The stage of the last environment that the version is live in; None where it is live in none with a stage."""
    stages = [s.rules.registry.stage for s in world.states if s.live and s.live.version == version]
    return next((stage for stage in reversed(stages) if stage), None)


def _record_on_version(
    world: Observation, state: EnvironmentState, judgement: Judgement, version: ModelVersion
) -> Iterator[Action]:
    """Where the version came from and who promoted it; written first, while its old stage can still be seen."""
    prefix = f"promotion.{state.rules.name}"
    entry = judgement.entry
    if entry is None or version.tags.get(f"{prefix}.commit") == judgement.commit:
        return
    tags = {
        "promoted_from": _came_from(world, state, version),
        "promotion.release": entry.release,
        f"{prefix}.pr": str(judgement.pull_request or ""),
        f"{prefix}.digest": entry.digest,
        f"{prefix}.policy": judgement.policy,
        f"{prefix}.at": f"{judgement.at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        f"{prefix}.by": judgement.by,
        f"{prefix}.commit": judgement.commit,
    }
    yield SetVersionTags(version.version, {key: value for key, value in tags.items() if value})


def _show_statuses(world: Observation, state: EnvironmentState, judgement: Judgement) -> Iterator[Action]:
    key = f"promotion.{state.rules.name}.status"
    before = _entry_before(state, judgement)
    if before is not None and (judgement.entry is None or before.version != judgement.entry.version):
        went_back = judgement.kind in (ChangeKind.ROLLBACK, ChangeKind.REMOVAL)
        yield from _tags(world, before.version, {key: "rolled back" if went_back else "superseded"})
    if judgement.entry is not None:
        yield from _tags(world, judgement.entry.version, {key: "live"})


def _entry_before(state: EnvironmentState, judgement: Judgement) -> Entry | None:
    earlier = [j for j in state.authorised if j.commit != judgement.commit]
    return earlier[-1].entry if earlier else None


def _came_from(world: Observation, state: EnvironmentState, version: ModelVersion) -> str:
    """The version's stage before this promotion, or the environment that it came through where stages are not used."""
    if state.rules.registry.stage is not None:
        return version.stage
    earlier = [s.rules.name for s in world.states if s.live and s.live.version == version.version]
    return next((name for name in reversed(earlier) if name != state.rules.name), NO_STAGE)


# --- open pull requests ---------------------------------------------------------------------------------------------


def settle_proposals(world: Observation, now: datetime) -> Iterator[Action]:
    """Close what was overtaken, label what lacks labels, merge what the pipeline lets the bot merge."""
    for state in world.states:
        candidate = _passing_candidate(world, state, now)
        for position, proposal in enumerate(state.open_proposals):
            reason = _why_close(world, state, proposal, candidate)
            if reason is None and position > 0:
                reason = f"superseded by #{state.open_proposals[0].pull_request.number}"
            if reason is not None:
                yield CloseProposal(
                    state.rules.name, proposal.pull_request.number, proposal.pull_request.head_ref, reason
                )
                yield LookAt(PullRequestKey(world.repository, proposal.pull_request.number))
                continue
            yield from _keep(world, state, proposal, now)


def _why_close(
    world: Observation, state: EnvironmentState, proposal: Proposal, candidate: Evaluation | None
) -> str | None:
    """Why an open proposal must go; None where it stays."""
    if state.held:
        return f"{state.rules.name} is held: {state.held}"
    if _registered(world, proposal.version) is None:
        return f"version {proposal.version} is not in the registry any more"
    if state.live and state.live.version == proposal.version:
        return f"version {proposal.version} is live in {state.rules.name} already"
    if candidate is not None and candidate.entry.version > proposal.version:
        return f"superseded by version {candidate.entry.version}"
    if isinstance(state.rules.propose, After):
        return _left_for_good(world.environments[state.rules.propose.environment], proposal.version)
    return None


def _left_for_good(earlier: EnvironmentState, version: int) -> str | None:
    """Why a version is not what the earlier environment stands for any more: removed or rolled back, not replaced."""
    if earlier.live is not None and earlier.live.version == version:
        return None
    if earlier.last is not None and earlier.last.kind in (ChangeKind.ROLLBACK, ChangeKind.REMOVAL):
        return f"version {version} was taken out of {earlier.rules.name}"
    return None


def _keep(world: Observation, state: EnvironmentState, proposal: Proposal, now: datetime) -> Iterator[Action]:
    environment, pull = state.rules.name, proposal.pull_request
    if not set(naming.labels(environment)) <= pull.labels:
        yield LabelProposal(environment, pull.number)
    tags = {f"promotion.{environment}.status": "proposed", f"promotion.{environment}.pr": str(pull.number)}
    yield from _tags(world, proposal.version, tags)
    evaluation = state.evaluations.get(proposal.version)
    if proposal.conflicts:
        if proposal.genuine and evaluation is not None and evaluation.verdict.status is Status.PASS:
            yield RenewProposal(environment, evaluation)
            yield LookAt(PullRequestKey(world.repository, pull.number))
    elif _checks_are_behind(state, proposal):
        yield LookAt(PullRequestKey(world.repository, pull.number))
    elif _may_merge(world, state, proposal, now):
        yield MergeProposal(environment, pull.number, pull.head_sha)
        yield LookAt(ModelKey(world.repository, world.model))


def _checks_are_behind(state: EnvironmentState, proposal: Proposal) -> bool:
    """Whether the checks that the bot would merge on do not stand on what was evaluated just now."""
    evaluation = state.evaluations.get(proposal.version)
    if state.rules.merge is not Merge.AUTO or evaluation is None:
        return False
    policy = proposal.checks.get(CheckName.POLICY)
    return policy is None or policy.fingerprint != evaluation.fingerprint(proposal.pull_request.head_sha).value


def _may_merge(world: Observation, state: EnvironmentState, proposal: Proposal, now: datetime) -> bool:
    """Whether the bot merges: every gate computed anew, and the checks that people see, on the same evidence, green."""
    rules = state.rules
    evaluation = state.evaluations.get(proposal.version)
    if rules.merge is not Merge.AUTO or not proposal.genuine or evaluation is None:
        return False
    if state.change is not None or _waits_for_successor(world, state, proposal):
        return False
    green = all(name in proposal.checks and proposal.checks[name].state is CheckState.SUCCESS for name in CheckName)
    approved = proposal.approvals is not None and proposal.approvals.satisfied
    return green and approved and evaluation.verdict.status is Status.PASS and frozen_by(rules.freeze, now) is None


def _waits_for_successor(world: Observation, state: EnvironmentState, proposal: Proposal) -> bool:
    """Whether the version left the environment that it came after because a newer one took its place."""
    rule = state.rules.propose
    if not isinstance(rule, After):
        return False
    earlier = world.environments[rule.environment].live
    return earlier is None or earlier.version != proposal.version


# --- new pull requests ----------------------------------------------------------------------------------------------


def propose_candidates(world: Observation, now: datetime) -> Iterator[Action]:
    """Open a proposal for each environment's newest version that its policy accepts; say why others are refused."""
    for position, state in enumerate(world.states):
        yield from _say_verdicts(world, state, now, is_first=position == 0)
        yield from _look_when_soaked(world, state, now)
        candidate = _passing_candidate(world, state, now)
        if candidate is None or any(p.is_open and p.version == candidate.entry.version for p in state.proposals):
            continue
        if state.desired is not None and state.desired.version == candidate.entry.version:
            continue
        yield from _tags(world, candidate.entry.version, {"promotion.release": candidate.entry.release})
        yield OpenProposal(state.rules.name, state.live, candidate)


def candidates(world: Observation, state: EnvironmentState, now: datetime) -> tuple[int, ...]:
    """The versions that the environment's rule names and that may be proposed, newest first.

    They are newer than what is live and than every version that was refused by a person or superseded, and were never
    live here before. Empty while the environment is held.
    """
    if world.registered is None or state.held:
        return ()
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
    )


def evaluations_needed(world: Observation, now: datetime) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """For each environment the versions whose verdict is asked for, newest first.

    The first that passes ends an environment's list: what is older than it is not looked at.
    """
    return tuple((state.rules.name, wanted) for state in world.states if (wanted := _wanted(world, state, now)))


def _wanted(world: Observation, state: EnvironmentState, now: datetime) -> tuple[int, ...]:
    oldest_open = min((p.version for p in state.open_proposals), default=0)
    proposed = {p.version for p in state.open_proposals}
    named = {v for v in candidates(world, state, now) if v >= oldest_open}
    return tuple(sorted(named | proposed, reverse=True))


def _passing_candidate(world: Observation, state: EnvironmentState, now: datetime) -> Evaluation | None:
    for version in candidates(world, state, now):
        evaluation = state.evaluations.get(version)
        if evaluation is not None and evaluation.verdict.status is Status.PASS:
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
        match evaluation.verdict.status:
            case Status.PASS if is_first:
                tags = {"validation_status": "passed"}
            case Status.FAIL:
                tags = {f"promotion.{environment}.policy": evaluation.policy}
                if version not in proposed:
                    tags[f"promotion.{environment}.status"] = "refused"
                tags[f"promotion.{environment}.reason"] = refusal(evaluation)
                if is_first:
                    tags["validation_status"] = "failed"
            case Status.PENDING | Status.ERROR:
                if version not in proposed:
                    tags = {f"promotion.{environment}.status": "waiting"}
                yield LookAgain(now + patience(evaluation.evidence.asked_at, now, world.sweep_interval))
        yield from _tags(world, version, tags)


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


def _registered(world: Observation, version: int) -> ModelVersion | None:
    return world.registered.version(version) if world.registered else None


def _tags(world: Observation, version: int, wanted: Mapping[str, str]) -> Iterator[Action]:
    """Write the tags that the version does not carry yet; nothing where it carries them all."""
    registered = _registered(world, version)
    if registered is None:
        return
    missing = {key: value for key, value in wanted.items() if registered.tags.get(key) != value}
    if missing:
        yield SetVersionTags(version, missing)
