"""What a person does from the command line with a token of their own: the bot's rights are never lent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bot.comments import by_person
from bot.domain import naming
from bot.domain.errors import Refused
from bot.domain.manifest import Entry
from bot.domain.manifest_editing import new_manifest, set_entry
from bot.domain.pull_requests import Check, CheckName, CheckState, PullRequest
from bot.domain.versions import RegisteredModel, VersionStatus
from workers.evaluate import Evaluator
from workers.history import history
from workers.reading import expect_environment, version_of
from workers.repository_view import RepositoryView


def promote(view: RepositoryView, model: RegisteredModel, number: int | None, environment: str | None) -> PullRequest:
    """Open the pull request that puts a version into an environment; by default the newest into the first without."""
    ready = [v.version for v in model.versions if v.status is VersionStatus.READY]
    if number is None and not ready:
        raise Refused(f"“{model.name}” has no version that is ready")
    version = version_of(model, number if number is not None else max(ready))
    entries = view.manifest.of_model(model.name)
    if environment is None:
        names = [e.name for e in view.pipeline.pipeline.environments]
        free = (n for n in names if n not in entries or entries[n].version != version.version)
        environment = next(free, names[-1])
    name = expect_environment(view, environment)
    if name in entries and entries[name].version == version.version:
        raise Refused(f"version {version.version} of “{model.name}” is in {name} already")
    evaluator = Evaluator(view, model)
    digest = evaluator.read_again(version).digest
    recorded = [p.after for p in history(view, model, model.name, None) if p.after is not None]
    entry = Entry(version.version, digest, evaluator.release(version, [*entries.values(), *recorded]))
    return _open(view, model.name, name, entry)


def roll_back(view: RepositoryView, model: RegisteredModel, number: int | None, environment: str) -> PullRequest:
    """Open the pull request that goes back to what an environment had before, or to a named version that it had."""
    name = expect_environment(view, environment)
    now = view.manifest.entry(model.name, name)
    if now is None:
        raise Refused(f"“{model.name}” is not in {name}, so there is nothing to go back from")
    past = [p.before for p in history(view, model, model.name, name) if p.before is not None]
    earlier = [entry for entry in past if entry.version != now.version and number in (None, entry.version)]
    if not earlier:
        what = f"version {number} was never" if number is not None else "nothing else was"
        raise Refused(f"{what} in {name}; `promotion-bot promote` puts a new version there")
    return _open(view, model.name, name, earlier[0])


def _open(view: RepositoryView, model: str, environment: str, entry: Entry) -> PullRequest:
    pipeline, git = view.pipeline.pipeline, view.repository.git
    path = pipeline.manifest_path(environment)
    branch = naming.branch_by_person(environment, model, entry.version)
    standing = next((p for p in view.pull_requests if p.is_open and p.head_ref == branch), None)
    if standing is not None and view.files.manifest(standing.head_sha, pipeline).entry(model, environment) == entry:
        return standing  # a new commit would void its approvals
    before = view.files.text(view.head, path)
    names = [e.name for e in pipeline.environments]
    after = set_entry(before if before is not None else new_manifest(), model, environment, entry, names)
    commit = git.create_commit(view.head, {path: after}, naming.commit_message(environment, model, entry))
    git.point_branch(branch, commit.sha)
    title = naming.title(environment, model, entry.version)
    return view.repository.pulls.open(branch, title, by_person.body(model, environment, entry))


@dataclass(frozen=True, slots=True)
class Followed:
    """A pull request as it was last seen, and what the policy said of it by then."""

    pull: PullRequest
    policy: CheckState


def follow(
    view: RepositoryView, pull: PullRequest, changed: Callable[[Check], None], pause: Callable[[], bool]
) -> Followed:
    """Tell each change of a pull request's checks until the policy has spoken or nobody waits for it any more.

    `pause` says whether time is left.
    """
    told: dict[str, Check] = {}
    while True:
        now = view.repository.pulls.get(pull.number) or pull
        there = view.repository.checks.shown(now.head_sha)
        for name, check in there.items():
            if told.get(name) != check:
                told[name] = check
                changed(check)
        policy = there.get(CheckName.POLICY)
        if policy is not None and policy.state is not CheckState.IN_PROGRESS:
            return Followed(now, policy.state)
        if not now.is_open or not pause():
            return Followed(now, CheckState.IN_PROGRESS)
