"""What a worker does with a key: read the real world, decide, act, so that the world converges on what was merged."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from bot.comments import issues
from bot.domain.actions import RecordAdoption
from bot.domain.candidates import evaluations_needed
from bot.domain.errors import Misconfigured, Refused
from bot.domain.keys import (
    CommentKey,
    EnvironmentKey,
    Key,
    ModelKey,
    PullRequestKey,
    RecheckKey,
    RegisteredModelKey,
    RepositoryKey,
)
from bot.domain.naming import ref_safe
from bot.domain.pipeline import Pipeline
from bot.domain.promotion import decide
from bot.domain.telling import happenings
from bot.domain.versions import RegisteredModel
from bot.gateways.github.client import GitHubRefusal
from bot.gateways.measurements import LAST_SWEEP
from bot.wiring import Gateways
from policies.documents import InvalidDocument, Problem
from workers.apply import Effects
from workers.commands import look_at_comment
from workers.deploy_files import DeployFiles
from workers.desk import Desk
from workers.look_at_batch import look_at_batch
from workers.look_at_pull_request import Writing, look_at_pull_request
from workers.observe import glance_at_model, observe_model
from workers.observe_pull_request import problems_at
from workers.projection import Sweep, show_model, show_problems
from workers.repository_view import RepositoryView
from workers.telling import measure_verdict, tell

_PROBLEMS_TTL: Final = 7 * 86_400
_HEARD_FOR: Final = timedelta(days=3)  # an older comment without an answer was meant for nobody here


def look_at(key: Key, desk: Desk, gateways: Gateways) -> None:
    """Bring what `key` names one look further. Every look can be the first, the last, or the same again.

    Raises Refused for a repository that is not served: the queue is no authority on what the bot works for.
    """
    if not isinstance(key, RegisteredModelKey) and key.repository not in gateways.settings.repositories:
        raise Refused(f"{key.repository} is not among PROMOTION_REPOSITORIES")
    now = gateways.clock()
    match key:
        case RegisteredModelKey(model):
            _find_owner(model, desk, gateways)
        case ModelKey(repository, model):
            _converge_model(repository, model, desk, gateways, now)
        case PullRequestKey(repository, number):
            look_at_pull_request(repository, number, desk, gateways, now)
        case RecheckKey(repository, number):
            look_at_pull_request(repository, number, desk, gateways, now, Writing.ANEW)
        case CommentKey():
            look_at_comment(key, desk, gateways, now)
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
    decided = decide(world, now)
    for action in decided:
        effects.apply(action)
        measure_verdict(gateways, repository, action)
        tell(gateways, happenings(world, decided, action), now)
    show_model(desk.queue, world, now)


# --- a whole repository -----------------------------------------------------------------------------------------------


def _sweep(repository: str, desk: Desk, gateways: Gateways, now: datetime) -> None:
    """Look at everything in a repository at one head, and queue each key that has something to do."""
    try:
        view = RepositoryView(gateways, repository, now)
    except InvalidDocument as invalid:
        _report_files(repository, tuple(invalid.problems), desk, gateways)
        show_problems(desk.queue, repository, invalid.problems, now)
        _queue_what_people_wait_for(repository, desk, gateways, now)
        return
    problems = problems_at(view.files, view.head)
    _report_files(repository, problems, desk, gateways)
    models = _models_of(view, desk)
    if view.has_lost_completions:
        _show(view.before_asking(), models, problems, desk)
    sweep = Sweep(desk.queue, view)
    for model, registered in models.items():
        world = glance_at_model(view, model, registered, now)
        sweep.saw(world)
        if evaluations_needed(world, now) or any(not isinstance(a, RecordAdoption) for a in decide(world, now)):
            desk.look_at(ModelKey(repository, model))
    if view.adopting is not None and sweep.models:
        desk.look_at(ModelKey(repository, sweep.models[0]))  # one look records it for all
    sweep.finish(problems)
    _queue_what_people_wait_for(repository, desk, gateways, now)
    for rules in view.pipeline.pipeline.environments:
        if rules.group is not None:
            desk.look_at(EnvironmentKey(repository, rules.name))
    gateways.measurements.keep(LAST_SWEEP, now.timestamp(), repository)


def _models_of(view: RepositoryView, desk: Desk) -> Mapping[str, RegisteredModel | None]:
    """Every model that the repository alone owns, by name: those registered, and those that it names or has judged."""
    registered = {model.name: model for model in view.gateways.registry.models()}
    view.know_all_models(registered)
    named = {model for model, _ in view.manifest.entries} | {r.model for r in view.judgements}
    shared = _report_shared(view, registered.keys() | named, desk)
    owned = filter(view.pipeline.pipeline.owns, (registered.keys() | named) - shared)
    return {model: registered.get(model) for model in sorted(owned)}


def _show(
    view: RepositoryView, models: Mapping[str, RegisteredModel | None], problems: Sequence[Problem], desk: Desk
) -> None:
    """Fill the board from lists: asking GitHub about one deployment after the other can take its hour's requests."""
    sweep = Sweep(desk.queue, view)
    for model, registered in models.items():
        sweep.saw(glance_at_model(view, model, registered, view.now))
    sweep.finish(problems)


def _queue_what_people_wait_for(repository: str, desk: Desk, gateways: Gateways, now: datetime) -> None:
    """Open pull requests and comments without an answer, whether or not the files can be read."""
    github = gateways.github(repository)
    for pull in github.pulls.all():
        if pull.is_open:
            desk.look_at(PullRequestKey(repository, pull.number))
    for comment in github.comments.log().unanswered(now - _HEARD_FOR):
        desk.look_at(CommentKey(repository, comment.issue, comment.id))


def _look_at_environment(repository: str, environment: str, desk: Desk, gateways: Gateways, now: datetime) -> None:
    """Look at an environment's batch, and queue every model that stands in it and the proposals for it."""
    try:
        view = RepositoryView(gateways, repository, now)
    except InvalidDocument:
        desk.look_at(RepositoryKey(repository))
        return
    rules = next((e for e in view.pipeline.pipeline.environments if e.name == environment), None)
    if rules is not None and rules.group is not None:
        look_at_batch(view, rules, desk, now)
        return
    named = {model for model, name in view.manifest.entries if name == environment}
    named |= {r.model for r in view.judgements if r.environment == environment}
    for model in sorted(named):
        desk.look_at(ModelKey(repository, model))
    for pull in view.pull_requests:
        if pull.is_open and pull.head_ref.startswith(f"promotion/{ref_safe(environment)}/"):
            desk.look_at(PullRequestKey(repository, pull.number))


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
