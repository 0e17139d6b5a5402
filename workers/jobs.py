"""What a worker does with a key: read the real world, decide, act, so that the world converges on what was merged."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from bot.comments import checks, issues
from bot.domain.actions import Action, LookAgain, LookAt, SetCheck, UpdateBody
from bot.domain.candidates import evaluations_needed, patience
from bot.domain.errors import Misconfigured
from bot.domain.gates import (
    Fate,
    Gate,
    Mergeability,
    PullRequestObservation,
    gates,
    next_look,
    worst_of,
)
from bot.domain.keys import (
    EnvironmentKey,
    Key,
    ModelKey,
    PullRequestKey,
    RegisteredModelKey,
    RepositoryKey,
)
from bot.domain.pipeline import Pipeline
from bot.domain.promotion import decide
from bot.domain.pull_requests import CheckState, PullRequest
from bot.gateways.github.client import GitHubRefusal
from bot.wiring import Gateways
from policies.documents import InvalidDocument, Problem
from workers.apply import Effects, says_the_same
from workers.deploy_files import DeployFiles
from workers.execution import Desk
from workers.observe import glance_at_model, observe_model
from workers.observe_pull_request import PullRequestObserver, observe_repair, problems_at
from workers.repository_view import RepositoryView

_PROBLEMS_TTL: Final = 7 * 86_400


def look_at(key: Key, desk: Desk, gateways: Gateways) -> None:
    """Bring what `key` names one look further. Every look can be the first, the last, or the same again."""
    now = datetime.now(UTC)
    match key:
        case RegisteredModelKey(model):
            _find_owner(model, desk, gateways)
        case ModelKey(repository, model):
            _converge_model(repository, model, desk, gateways, now)
        case PullRequestKey(repository, number):
            _converge_pull_request(repository, number, desk, gateways, now)
        case RepositoryKey(repository):
            _sweep(repository, desk, gateways, now)
        case EnvironmentKey(repository, environment):
            _look_at_environment(repository, environment, desk, gateways, now)


# --- one model --------------------------------------------------------------------------------------------------------


def _find_owner(model: str, desk: Desk, gateways: Gateways) -> None:
    """The one deploy repository whose pipeline names the model goes on with it; with two it goes nowhere."""
    owners = _owners(model, gateways)
    if len(owners) == 1:
        desk.look_at(ModelKey(owners[0], model))
    for repository in owners if len(owners) > 1 else ():
        desk.look_at(RepositoryKey(repository))


def _owners(model: str, gateways: Gateways) -> list[str]:
    """The served repositories whose pipeline can be read and names the model."""
    return [name for name, pipeline in _pipelines(gateways).items() if pipeline.owns(model)]


def _pipelines(gateways: Gateways) -> dict[str, Pipeline]:
    """The pipelines of the served repositories by repository; where the bot cannot read, it cannot act either."""
    pipelines = {}
    for name in gateways.settings.repositories:
        with suppress(InvalidDocument, Misconfigured, GitHubRefusal):
            repository = gateways.github(name)
            pipelines[name] = DeployFiles(repository).pipeline(repository.git.head()).pipeline
    return pipelines


def _converge_model(repository: str, model: str, desk: Desk, gateways: Gateways, now: datetime) -> None:
    try:
        view = RepositoryView(gateways, repository, now)
    except InvalidDocument:
        desk.look_at(RepositoryKey(repository))  # says what is wrong in which file
        return
    shared = len(gateways.settings.repositories) > 1 and _owners(model, gateways) != [repository]
    if shared or not view.pipeline.pipeline.owns(model):
        return
    world = observe_model(view, model, gateways.registry.model(model), now)
    effects = Effects(view, desk, model)
    for action in decide(world, now):
        effects.apply(action)


# --- one pull request -------------------------------------------------------------------------------------------------


def _converge_pull_request(repository: str, number: int, desk: Desk, gateways: Gateways, now: datetime) -> None:
    github = gateways.github(repository)
    pull = github.pulls.get(number)
    if pull is None or pull.base_ref != github.default_branch():
        return
    try:
        view = RepositoryView(gateways, repository, now)
    except InvalidDocument:
        _check_repair(repository, pull, desk, gateways, now)
        return
    observer = PullRequestObserver(view, now)
    effects = Effects(view, desk)
    actions = _open_actions(view, observer, pull, now) if pull.is_open else _closed_actions(observer, pull)
    for action in actions:
        effects.apply(action)


def _open_actions(
    view: RepositoryView, observer: PullRequestObserver, pull: PullRequest, now: datetime
) -> list[Action]:
    observed = observer.observe(pull)
    decided = gates(observed, now)
    for other in view.pull_requests:
        if other.is_open and other.head_sha == pull.head_sha and other.number != pull.number:
            decided = worst_of(decided, gates(observer.observe(other), now))
    actions = _check_actions(view, pull.head_sha, decided)
    if actions:
        actions += [LookAt(ModelKey(view.name, model)) for model in observer.models_touched(pull, observed)]
    if observer.is_own(pull) and observed.changes:
        actions.append(UpdateBody(pull.number, observer.standing(pull, observed)))
    if (again := _when_again(view, observed, decided, now)) is not None:
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


def _when_again(
    view: RepositoryView, observed: PullRequestObservation, decided: tuple[Gate, ...], now: datetime
) -> datetime | None:
    """When the next look can see something new that no webhook announces."""
    longest = view.gateways.settings.sweep_interval.total_seconds()
    times = [next_look(observed, now)]
    if observed.mergeability is Mergeability.UNKNOWN:
        times.append(now + timedelta(seconds=2))
    waiting = [c.evaluation.evidence.asked_at for c in observed.changes if c.evaluation]
    if decided[0].state is CheckState.IN_PROGRESS and waiting:
        times.append(now + patience(max(waiting), now, longest))
    return min((time for time in times if time is not None), default=None)


def _closed_actions(observer: PullRequestObserver, pull: PullRequest) -> list[Action]:
    actions: list[Action] = []
    standing = observer.standing(pull, None)
    if observer.is_own(pull):
        actions.append(UpdateBody(pull.number, standing))
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


# --- a whole repository -----------------------------------------------------------------------------------------------


def _sweep(repository: str, desk: Desk, gateways: Gateways, now: datetime) -> None:
    """Look at everything in a repository at one head, and queue each key that has something to do."""
    try:
        view = RepositoryView(gateways, repository, now)
    except InvalidDocument as invalid:
        _report_files(repository, tuple(invalid.problems), desk, gateways)
        _queue_open_pull_requests(repository, desk, gateways)
        return
    _report_files(repository, problems_at(view.files, view.head), desk, gateways)
    registered = {model.name: model for model in gateways.registry.models()}
    named = {model for model, _ in view.manifest.entries} | {r.model for r in view.judgements}
    shared = _report_shared(view, registered.keys() | named, desk)
    for model in sorted((registered.keys() | named) - shared):
        if not view.pipeline.pipeline.owns(model):
            continue
        world = glance_at_model(view, model, registered.get(model), now)
        if evaluations_needed(world, now) or decide(world, now):
            desk.look_at(ModelKey(repository, model))
    _queue_open_pull_requests(repository, desk, gateways)


def _queue_open_pull_requests(repository: str, desk: Desk, gateways: Gateways) -> None:
    for pull in gateways.github(repository).pulls.all():
        if pull.is_open:
            desk.look_at(PullRequestKey(repository, pull.number))


def _look_at_environment(repository: str, environment: str, desk: Desk, gateways: Gateways, now: datetime) -> None:
    """Queue every model that stands, or is proposed, in one environment."""
    try:
        view = RepositoryView(gateways, repository, now)
    except InvalidDocument:
        desk.look_at(RepositoryKey(repository))
        return
    named = {model for model, name in view.manifest.entries if name == environment}
    named |= {r.model for r in view.judgements if r.environment == environment}
    for model in sorted(named):
        desk.look_at(ModelKey(repository, model))


def _report_shared(view: RepositoryView, models: set[str], desk: Desk) -> set[str]:
    """The models that other repositories own too: one issue each here, as the others say it there, while it is so."""
    gateways = view.gateways
    if len(gateways.settings.repositories) == 1 or not models:
        return set()
    pipelines = _pipelines(gateways)
    owners = {model: [name for name, pipeline in pipelines.items() if pipeline.owns(model)] for model in models}
    shared = {model: names for model, names in sorted(owners.items()) if view.name in names and len(names) > 1}
    key = f"shared:{view.name}"
    wanted = json.dumps(shared).encode()
    if gateways.cache.get(key) == wanted:
        return set(shared)
    desk.still_mine()
    noticeboard = view.repository.issues
    for model, names in shared.items():
        noticeboard.report(*issues.shared_model(view.name, model, [name for name in names if name != view.name]))
    noticeboard.resolve(*(issues.marker("shared-model", view.name, model) for model in models - shared.keys()))
    gateways.cache.set(key, wanted, _PROBLEMS_TTL)
    return set(shared)


def _report_files(repository: str, problems: tuple[Problem, ...], desk: Desk, gateways: Gateways) -> None:
    """One issue while files cannot be read, closed when they can; a cache spares asking GitHub when nothing changed."""
    key = f"problems:{repository}"
    title, body = issues.invalid_files(repository, problems)
    wanted = body if problems else "none"
    if gateways.cache.get(key) == wanted.encode():
        return
    desk.still_mine()
    noticeboard = gateways.github(repository).issues
    if problems:
        noticeboard.report(title, body)
    else:
        noticeboard.resolve(body.splitlines()[0])
    gateways.cache.set(key, wanted.encode(), _PROBLEMS_TTL)
