"""One look at one pull request: its checks and its text, which nobody else writes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final

from bot.comments import checks, proposal
from bot.domain import naming
from bot.domain.actions import Action, DeleteBranch, KeepComment, LookAgain, LookAt, SetCheck, ShowBacktest, UpdateBody
from bot.domain.candidates import patience
from bot.domain.gates import (
    Fate,
    Gate,
    Mergeability,
    PullRequestObservation,
    gates,
    next_look,
    worst_of,
)
from bot.domain.keys import ModelKey
from bot.domain.pull_requests import CheckState, PullRequest
from bot.domain.telling import waiting
from bot.gateways.github.comments import digest_of
from bot.wiring import Gateways
from policies.documents import InvalidDocument
from workers.apply import Effects, body_of, says_the_same
from workers.backtest import History, backtest
from workers.desk import Desk
from workers.observe_pull_request import PullRequestObserver, observe_repair
from workers.projection import show_gates
from workers.repository_view import RepositoryView
from workers.telling import tell

_BACKTESTED: Final = timedelta(days=90)
_MOST_BACKTESTED: Final = 200  # versions, the newest: each can cost two requests to MLflow


class Writing(Enum):
    """Which checks a look writes: those that do not say yet what was decided, or all of them."""

    CHANGED = auto()
    ANEW = auto()


def look_at_pull_request(
    repository: str, number: int, desk: Desk, gateways: Gateways, now: datetime, writing: Writing = Writing.CHANGED
) -> None:
    """Bring the checks and the text of a pull request to the default branch up to date."""
    github = gateways.github(repository)
    pull = github.pulls.get(number)
    if pull is None or pull.base_ref != github.default_branch():
        return
    try:
        view = RepositoryView(gateways, repository, now)
    except InvalidDocument:
        _check_repair(repository, pull, desk, gateways, now)
        return
    view.know(pull)
    observer = PullRequestObserver(view, now)
    effects = Effects(view, desk)
    observed = None
    if pull.is_open:
        decided = decide_gates(view, observer, pull, now)
        show_gates(desk.queue, repository, number, decided.gates)
        observed = decided.observed
        actions = open_actions(view, observer, pull, decided, writing)
        for commit in github.git.queued(number):
            actions += _check_actions(view, commit, gates(observer.observe_queued(pull, commit), now))
    else:
        show_gates(desk.queue, repository, number, ())
        actions = _closed_actions(view, observer, pull)
    for action in actions:
        effects.apply(action)
        if observed is not None:
            tell(gateways, waiting(repository, observed, action), now)
    if observed is not None:
        # Last, since it only informs: where a store that it asks is away, the checks are written all the same.
        for action in _backtest_actions(view, pull, observed, now):
            effects.apply(action)


@dataclass(frozen=True, slots=True)
class Decided:
    """An open pull request as it was seen, and its gates: the worst of all pull requests that share its head."""

    observed: PullRequestObservation
    gates: tuple[Gate, ...]


def decide_gates(view: RepositoryView, observer: PullRequestObserver, pull: PullRequest, now: datetime) -> Decided:
    """See an open pull request, evaluate what it proposes, and decide its gates."""
    observed = observer.observe(pull)
    decided = gates(observed, now)
    for other in view.pull_requests:
        if other.is_open and other.head_sha == pull.head_sha and other.number != pull.number:
            decided = worst_of(decided, gates(observer.observe(other), now))
    return Decided(observed, decided)


def open_actions(
    view: RepositoryView,
    observer: PullRequestObserver,
    pull: PullRequest,
    decided: Decided,
    writing: Writing = Writing.CHANGED,
) -> list[Action]:
    """What brings an open pull request's checks and text up to date."""
    observed, now = decided.observed, view.now
    if writing is Writing.ANEW:
        actions: list[Action] = [SetCheck(pull.head_sha, gate) for gate in decided.gates]
    else:
        actions = _check_actions(view, pull.head_sha, decided.gates)
    touched = [LookAt(ModelKey(view.name, model)) for model in observer.models_touched(pull, observed)]
    if observer.is_own(pull) and observed.changes:
        update = UpdateBody(pull.number, observer.standing(pull, observed))
        if body_of(update, view) is not None:
            actions.append(update)
    elif observed.changes:
        standing = observer.standing(pull, observed)
        there = view.log.standing(pull.number)
        if there is None or there[1] != digest_of(proposal.body(standing)):
            actions.append(KeepComment(pull.number, standing))
    if actions:
        actions += touched
    if (again := _when_again(view, decided, now)) is not None:
        actions.append(LookAgain(again))
    return actions


def _check_actions(view: RepositoryView, head: str, decided: tuple[Gate, ...]) -> list[Action]:
    """The checks that do not say yet what was decided."""
    as_app = view.gateways.github_client.app_id is not None
    standing = view.repository.checks.of(head)
    return [
        SetCheck(head, gate)
        for gate in decided
        if not says_the_same(checks.check(gate), standing.get(gate.name), as_app=as_app)
    ]


def _backtest_actions(
    view: RepositoryView, pull: PullRequest, observed: PullRequestObservation, now: datetime
) -> list[Action]:
    """What policies that a pull request changes would have decided, once for each state of them."""
    if observed.merged is None or not observed.rule_files or observed.problems:
        return []
    changed = {}
    for rules in view.pipeline.pipeline.environments:
        try:
            before, after = view.files.policy(view.head, rules), view.files.policy(observed.merged, rules)
        except InvalidDocument:
            continue
        if before.blob != after.blob:
            changed[rules.name] = after
    if not changed:
        return []
    named = " ".join(f"{name}:{policy.blob}" for name, policy in sorted(changed.items()))
    fingerprint = hashlib.sha256(named.encode()).hexdigest()[:16]
    standing = view.repository.checks.of(pull.head_sha).get(naming.BACKTEST_CHECK)
    if standing is not None and standing.fingerprint == fingerprint:
        return []
    history = History.since(view, now - _BACKTESTED, most=_MOST_BACKTESTED)
    policies = {name: policy.policy for name, policy in changed.items()}
    return [ShowBacktest(pull.head_sha, tuple(backtest(view, policies, history, now)), fingerprint)]


def _when_again(view: RepositoryView, decided: Decided, now: datetime) -> datetime | None:
    """When the next look can see something new that no webhook announces."""
    observed = decided.observed
    longest = view.gateways.settings.sweep_interval.total_seconds()
    times = [next_look(observed, now)]
    if observed.mergeability is Mergeability.UNKNOWN:
        times.append(now + timedelta(seconds=2))
    waiting = [c.evaluation.evidence.asked_at for c in observed.changes if c.evaluation]
    if decided.gates[0].state is CheckState.IN_PROGRESS and waiting:
        times.append(now + patience(max(waiting), now, longest))
    return min((time for time in times if time is not None), default=None)


def _closed_actions(view: RepositoryView, observer: PullRequestObserver, pull: PullRequest) -> list[Action]:
    actions: list[Action] = []
    standing = observer.standing(pull, None)
    if observer.is_own(pull):
        actions.append(UpdateBody(pull.number, standing))
        shared = any(p.is_open and p.head_ref == pull.head_ref for p in view.pull_requests)
        if standing.fate is Fate.CLOSED and not shared:
            actions.append(DeleteBranch(pull.head_ref))
    if standing.fate is not Fate.CLOSED and observer.is_own(pull) and naming.is_group(pull.head_ref):
        actions.append(DeleteBranch(pull.head_ref))
    if standing.fate is Fate.MERGED or not observer.is_own(pull):
        actions += [LookAt(key) for key in observer.merged_models(pull)]
    return actions


def _check_repair(repository: str, pull: PullRequest, desk: Desk, gateways: Gateways, now: datetime) -> None:
    """Checks while the default branch's own files cannot be read: what mends them must come through."""
    if not pull.is_open:
        return
    github = gateways.github(repository)
    as_app = gateways.github_client.app_id is not None
    standing = github.checks.of(pull.head_sha)
    observed = observe_repair(github, pull)
    for gate in gates(observed, now):
        check = checks.check(gate)
        if not says_the_same(check, standing.get(gate.name), as_app=as_app):
            desk.still_mine()
            github.checks.write(pull.head_sha, check, gateways.settings.public_url or "")
    if observed.mergeability is Mergeability.UNKNOWN:
        desk.look_again(now + timedelta(seconds=2))
