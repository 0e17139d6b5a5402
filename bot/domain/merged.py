"""What was merged, carried out: the registry, tags and releases follow the authorised manifest."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from bot.domain import naming
from bot.domain.actions import (
    Action,
    CloseLostVersion,
    CloseRefusedChange,
    CompleteJudgement,
    CopyVersion,
    CreateRelease,
    CreateTag,
    DeleteAlias,
    DeleteBranch,
    FailCommitCheck,
    LookAgain,
    LookAt,
    PassCommitCheck,
    RecordAdoption,
    RecordJudgement,
    ReportLostVersion,
    ReportRefusedChange,
    SetAlias,
    SetStage,
    SetVersionTags,
    StartCommitCheck,
    store_verdict,
    tag_missing,
)
from bot.domain.authorisation import judge
from bot.domain.candidates import patience
from bot.domain.carriers import carrier_of, wanted_stages
from bot.domain.keys import ModelKey, PullRequestKey
from bot.domain.manifest import Entry
from bot.domain.plain import moment_text
from bot.domain.versions import ModelVersion
from bot.domain.world import Change, ChangeKind, Completion, EnvironmentState, Judgement, Observation, Ruling

ARCHIVED = "Archived"
NO_STAGE = "None"
_LAG = timedelta(seconds=3)


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
    decision = judge(world.model, state, change)
    if decision is None:
        yield LookAgain(now + patience(change.decided_at, now, world.sweep_interval))
        yield from _carry_out(world, state)
        return
    if decision.ruling is Ruling.REFUSED and (settled := _settled_at(change, now)) is not None:
        yield LookAgain(settled)
        yield from _carry_out(world, state)
        return
    judgement = Judgement(
        entry=change.entry,
        commit=change.commit,
        ruling=decision.ruling,
        kind=decision.kind,
        at=now,
        pull_request=change.pull_request.number if change.pull_request else None,
        reasons=decision.reasons,
        lacking=decision.lacking,
        by=change.by,
        policy=change.evaluation.policy if change.evaluation else "",
        approved_by=change.approvals.approved_by if change.approvals else (),
    )
    if change.evaluation is not None:
        yield from store_verdict(world, state.rules.name, change.evaluation, now)
    yield RecordJudgement(state.rules.name, judgement)
    if not change.is_last:
        yield LookAt(ModelKey(world.repository, world.model))  # what came after it decides what goes live
        return
    judged = world.with_state(state.with_judgement(judgement))
    yield from _carry_out(judged, judged.environments[state.rules.name])


def _settled_at(change: Change, now: datetime) -> datetime | None:
    """When GitHub's lists show for certain who approved a change that was made just now; None where they do.

    A missing approval is judged once and for ever, and GitHub's replicas lag by moments.
    """
    if change.reopens is not None or change.made_at is None or change.rules is None or not change.rules.approvals.count:
        return None
    if change.pull_request is None and change.made_at > now:
        return None  # whoever pushes a commit says when it was made
    settled = change.made_at + _LAG
    return settled if now < settled else None


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
    return judgement.entry is not None and world.version(judgement.entry.version) is None


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
    said = "; ".join(judgement.reasons) or "refused"
    yield CompleteJudgement(environment, judgement.commit, Completion.FAILURE, said, Ruling.REFUSED)


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
                "The change is not in the manifest any more, or takes effect by now.",
                Ruling.REFUSED,
            )
    for judgement in state.authorised[:-1]:
        if judgement.completed is Completion.FAILURE:
            yield CloseLostVersion(state.rules.name, judgement.commit)
            yield CompleteJudgement(
                state.rules.name, judgement.commit, Completion.INACTIVE, "Something else is live by now."
            )


def _go_live(world: Observation, state: EnvironmentState, judgement: Judgement) -> Iterator[Action]:
    rules = state.rules
    version = world.version(judgement.entry.version) if judgement.entry else None
    if judgement.entry is not None and version is None:
        yield from _report_lost(world, state, judgement, judgement.entry)
        return
    before = _judged_before(state, judgement)
    if before is not None and before.kind is ChangeKind.ADOPTION and _is_lost(world, before):
        yield CloseLostVersion(rules.name, before.commit)
    if version is not None and judgement.entry is not None:
        yield from _record_on_version(world, state, judgement, version)
        if (carrier := carrier_of(world, state)).version_of(version.version) is None:
            yield CopyVersion(version.version, carrier.name)
            yield LookAt(ModelKey(world.repository, world.model))  # the copy has a number then
            return
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
                previous = before.entry if before else None
                yield CreateRelease(tag, rules.name, judgement.entry, judgement.pull_request, previous)
    was_refused = any(j.ruling is Ruling.REFUSED and j.commit == judgement.commit for j in state.judgements)
    if judgement.pull_request is None or was_refused:
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
    carrier, alias = carrier_of(world, state), state.rules.registry.alias
    carried = carrier.version_of(version.version)
    if carrier.registered is None or carried is None:
        return
    stage = wanted_stages(world, state).get(carried.version)
    if stage is not None and carried.stage != stage:
        yield SetStage(carried.version, stage, carrier.other)
    if alias and carrier.registered.aliases.get(alias) != carried.version:
        yield SetAlias(alias, carried.version, carrier.other)


def _retire(world: Observation, state: EnvironmentState, entry: Entry | None) -> Iterator[Action]:
    """Every version that the environment's stage or alias should not name any more."""
    carrier, target = carrier_of(world, state), state.rules.registry
    if carrier.registered is None:
        return
    if entry is None and target.alias and target.alias in carrier.registered.aliases:
        yield DeleteAlias(target.alias, carrier.other)
    if target.stage is None:
        return
    stages = wanted_stages(world, state)
    for version in carrier.registered.versions:
        if version.stage != target.stage or (entry is not None and carrier.original_of(version) == entry.version):
            continue
        stage = stages.get(version.version) or (ARCHIVED if target.archive_existing else version.stage)
        if stage != version.stage:
            yield SetStage(version.version, stage, carrier.other)


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
        f"{prefix}.at": moment_text(judgement.at),
        f"{prefix}.by": judgement.by,
        f"{prefix}.commit": judgement.commit,
    }
    yield SetVersionTags(version.version, {key: value for key, value in tags.items() if value})


def _show_statuses(world: Observation, state: EnvironmentState, judgement: Judgement) -> Iterator[Action]:
    key = f"promotion.{state.rules.name}.status"
    earlier = _judged_before(state, judgement)
    before = earlier.entry if earlier else None
    if before is not None and (judgement.entry is None or before.version != judgement.entry.version):
        went_back = judgement.kind in (ChangeKind.ROLLBACK, ChangeKind.REMOVAL)
        yield from tag_missing(world, before.version, {key: "rolled back" if went_back else "superseded"})
    if judgement.entry is not None:
        yield from tag_missing(world, judgement.entry.version, {key: "live"})


def _judged_before(state: EnvironmentState, judgement: Judgement) -> Judgement | None:
    """The authorised change that a judgement took the place of."""
    earlier = [j for j in state.authorised if j.commit != judgement.commit]
    return earlier[-1] if earlier else None


def _came_from(world: Observation, state: EnvironmentState, version: ModelVersion) -> str:
    """The version's stage before this promotion, or the environment that it came through where stages are not used."""
    if state.rules.registry.stage is not None and state.rules.registry.copy_to is None:
        return version.stage
    earlier = [s.rules.name for s in world.states if s.live and s.live.version == version.version]
    return next((name for name in reversed(earlier) if name != state.rules.name), NO_STAGE)
