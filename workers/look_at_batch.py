"""One look at an environment whose candidates are proposed together: its batch, which nobody else writes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from bot.domain import naming
from bot.domain.actions import LookAt, MergeProposal
from bot.domain.groups import Batch, decide_batch, last_firing
from bot.domain.keys import ModelKey
from bot.domain.manifest import Entry
from bot.domain.pipeline import Environment, Merge
from bot.domain.pull_requests import CheckState, PullRequest
from bot.domain.telling import batch_happenings
from bot.domain.world import Observation
from workers.apply import Effects
from workers.desk import Desk
from workers.look_at_pull_request import decide_gates
from workers.observe import evaluate_versions, glance_at_model
from workers.observe_pull_request import PullRequestObserver
from workers.repository_view import RepositoryView
from workers.telling import tell


def look_at_batch(view: RepositoryView, rules: Environment, desk: Desk, now: datetime) -> None:
    """Open an environment's batch when its schedule fires, and keep the open one to what may go live."""
    batch = _observe(view, rules, now)
    effects = Effects(view, desk)
    for action in decide_batch(batch, now):
        effects.apply(action)
        tell(view.gateways, batch_happenings(view.name, action), now)
    if rules.merge is Merge.AUTO and batch.open_groups and not batch.conflicts:
        _merge_if_green(view, rules, batch.open_groups[-1], effects, now)


def _observe(view: RepositoryView, rules: Environment, now: datetime) -> Batch:
    observer = PullRequestObserver(view, now)
    prefix = naming.group_branch(rules.name, "")
    groups = tuple(p for p in view.pull_requests if observer.is_own(p) and p.head_ref.startswith(prefix))
    refused: dict[str, int] = {}
    for group in groups:
        if not group.is_open and group.merged_at is None and naming.SUPERSEDED_LABEL not in group.labels:
            for model, entry in observer.proposed_entries(group, rules.name).items():
                refused[model] = max(entry.version, refused.get(model, 0))
    batch = Batch(view.name, rules, (), groups, {}, refused)
    entries: dict[str, Entry] = {}
    conflicts = False
    if batch.open_groups:
        newest = batch.open_groups[-1]
        entries = observer.proposed_entries(newest, rules.name)
        pull = view.repository.pulls.get(newest.number)
        conflicts = pull is not None and pull.mergeable is False
    is_due = all(group.head_ref != last_firing(rules, now).branch for group in groups)
    if not is_due and not entries:
        return batch
    models = {m.name: m for m in view.gateways.registry.models() if view.pipeline.pipeline.owns(m.name)}
    worlds: list[Observation] = []
    for name in sorted(models if is_due else entries):
        world = glance_at_model(view, name, models.get(name), now)
        wanted = {entries[name].version} if name in entries else set()
        worlds.append(evaluate_versions(view, world, rules.name, wanted, now))
    return replace(batch, worlds=tuple(worlds), entries=entries, conflicts=conflicts)


def _merge_if_green(
    view: RepositoryView, rules: Environment, group: PullRequest, effects: Effects, now: datetime
) -> None:
    pull = view.repository.pulls.get(group.number)
    observer = PullRequestObserver(view, now)
    if pull is None or not pull.is_open or not observer.is_own_commit(pull):
        return
    decided = decide_gates(view, observer, pull, now)
    if decided.observed.changes and all(gate.state is CheckState.SUCCESS for gate in decided.gates):
        effects.apply(MergeProposal(rules.name, pull.number, pull.head_sha))
        for change in decided.observed.changes:
            effects.apply(LookAt(ModelKey(view.name, change.model)))
