"""Batches: the candidates of an environment in one pull request, opened when its schedule says so.

A batch holds what was a candidate when the schedule fired. A model that fails later, is held or lost its version drops
out without hurting the others; what came after the firing waits for the next one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from croniter import croniter

from bot.domain import naming
from bot.domain.actions import Action, CloseGroup, LookAgain, LookAt, OpenGroup, RenewGroup
from bot.domain.candidates import passing_candidate
from bot.domain.keys import PullRequestKey
from bot.domain.manifest import Entry
from bot.domain.pipeline import Environment
from bot.domain.pull_requests import PullRequest
from bot.domain.world import Evaluation, Observation
from policies.verdict import Status

DAILY: Final = "0 0 * * *"


@dataclass(frozen=True, slots=True)
class Firing:
    """A moment at which a schedule says: open the next batch, on this branch."""

    at: datetime
    branch: str


def last_firing(environment: Environment, now: datetime) -> Firing:
    """The newest firing of an environment's schedule, in UTC; the first of a day is named by its date alone."""
    cron = DAILY if environment.group in (None, "daily") else str(environment.group)
    at: datetime = croniter(cron, now.astimezone(UTC) + timedelta(seconds=1)).get_prev(datetime)
    before: datetime = croniter(cron, at).get_prev(datetime)
    date = f"{at:%Y-%m-%d}" if before.date() != at.date() else f"{at:%Y-%m-%d-%H%M}"
    return Firing(at, naming.group_branch(environment.name, date))


def next_firing(environment: Environment, now: datetime) -> datetime:
    """When the schedule fires next."""
    cron = DAILY if environment.group in (None, "daily") else str(environment.group)
    following: datetime = croniter(cron, now.astimezone(UTC)).get_next(datetime)
    return following


@dataclass(frozen=True, slots=True)
class Batch:
    """One environment with a schedule, seen at one moment.

    `worlds` are its models, evaluated. `groups` are all batches of the bot's that there ever were; `entries` what the
    open one's head changes, by model; `refused` the newest version of each model that a person refused by closing a
    batch; `conflicts` says that GitHub cannot merge the open one any more.
    """

    repository: str
    rules: Environment
    worlds: tuple[Observation, ...]
    groups: tuple[PullRequest, ...]
    entries: Mapping[str, Entry]
    refused: Mapping[str, int] = field(default_factory=dict)
    conflicts: bool = False

    @property
    def open_groups(self) -> tuple[PullRequest, ...]:
        """The open batches, oldest first."""
        return tuple(sorted((p for p in self.groups if p.is_open), key=lambda p: p.number))


def decide_batch(batch: Batch, now: datetime) -> Iterator[Action]:
    """What must happen next for one environment's batch."""
    yield LookAgain(next_firing(batch.rules, now))
    firing = last_firing(batch.rules, now)
    standing = batch.open_groups[-1] if batch.open_groups else None
    if any(group.head_ref == firing.branch for group in batch.groups):
        if standing is not None:
            yield from _keep(batch, standing)
        return
    members = _candidates(batch, firing)
    if not members:
        if standing is not None:
            yield from _keep(batch, standing)
        return
    for group in batch.open_groups:
        yield CloseGroup(group.number, group.head_ref)
        yield LookAt(PullRequestKey(batch.repository, group.number))
    yield OpenGroup(batch.rules.name, firing.branch, members)


def _candidates(batch: Batch, firing: Firing) -> Mapping[str, Evaluation]:
    """The candidate of each model, of those that were there when the schedule fired."""
    found = {}
    for world in batch.worlds:
        state = world.environments[batch.rules.name]
        candidate = passing_candidate(world, state, firing.at)
        version = world.version(candidate.entry.version) if candidate else None
        if candidate is None or version is None or version.created_at > firing.at or state.open_proposals:
            continue
        if version.version <= batch.refused.get(world.model, 0):
            continue
        if state.desired is None or state.desired.version != candidate.entry.version:
            found[world.model] = candidate
    return found


def _keep(batch: Batch, group: PullRequest) -> Iterator[Action]:
    """Have the open batch hold what may still go live of it."""
    stays = {model: entry for model, entry in batch.entries.items() if _may_stay(batch, model, entry)}
    if not stays:
        yield CloseGroup(group.number, group.head_ref)
        yield LookAt(PullRequestKey(batch.repository, group.number))
    elif batch.conflicts or stays != dict(batch.entries):
        yield RenewGroup(batch.rules.name, group.head_ref, stays)
        yield LookAt(PullRequestKey(batch.repository, group.number))


def _may_stay(batch: Batch, model: str, entry: Entry) -> bool:
    world = next((w for w in batch.worlds if w.model == model), None)
    if world is None or world.version(entry.version) is None:
        return False
    state = world.environments[batch.rules.name]
    evaluation = state.evaluations.get(entry.version)
    refused = evaluation is not None and evaluation.verdict.status_before_proposal is Status.FAIL
    is_live = state.live is not None and state.live.version == entry.version
    return not (state.hold or refused or is_live or state.open_proposals)
