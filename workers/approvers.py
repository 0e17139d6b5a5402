"""Who may approve: the pipeline's users and teams, resolved on GitHub, and the reviews counted against them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bot.domain.approvals import ApprovalRule, Approvals, count_approvals
from bot.domain.instructions import Said
from bot.domain.manifest import Entry
from bot.domain.pipeline import Environment, Pipeline
from bot.domain.pull_requests import Login, PullRequest
from bot.domain.world import ChangeKind, Evaluation
from bot.gateways.github.repository import Repository
from policies.evidence import Run
from workers.repository_view import RepositoryView

_ASKING: Final[Mapping[Said, str]] = {
    Said.PROMOTE: "asked for the promotion",
    Said.ROLLBACK: "asked for the rollback",
    Said.OVERRIDE: "asked for an override",
}


@dataclass(frozen=True, slots=True)
class Counted:
    """The change whose approvals are counted: one entry in one pull request."""

    model: str
    entry: Entry | None
    kind: ChangeKind
    pull_request: PullRequest
    evaluation: Evaluation | None


def count_for_change(view: RepositoryView, pipeline: Pipeline, rules: Environment, counted: Counted) -> Approvals:
    """The approvals of one change, at the pull request's head and before its merge. Asks nothing if none is needed."""
    count = rules.rollback.approvals if counted.kind is ChangeKind.ROLLBACK else rules.approvals.count
    if count == 0:
        return Approvals(ApprovalRule(0))
    repository, pull_request = view.repository, counted.pull_request
    reviews = repository.pulls.reviews(pull_request.number)
    obstacles: list[str] = []
    may = permitted(repository, rules.approvals.allowed, obstacles)
    excluded: dict[Login, str] = {view.gateways.login(): "is the bot"}
    if rules.approvals.not_author:
        excluded |= _authors(view, pipeline, counted, rules.name, obstacles)
    reviewers = {review.author for review in reviews} - excluded.keys()
    writers = {login for login in reviewers if may is None and repository.people.may_write(login)}
    rule = ApprovalRule(count, may, excluded, tuple(obstacles), described=" or ".join(rules.approvals.allowed))
    return count_approvals(reviews, rule, head=pull_request.head_sha, writers=writers, until=pull_request.merged_at)


def permitted(repository: Repository, names: Sequence[str], obstacles: list[str]) -> frozenset[Login] | None:
    """Everybody whom a list of logins and `@organisation/team` names; None where it names nobody.

    A team that cannot be read is told to `obstacles`.
    """
    if not names:
        return None
    logins: set[Login] = set()
    for name in names:
        if not name.startswith("@"):
            logins.add(Login(name))
            continue
        members = repository.people.team_members(name)
        if members is None:
            obstacles.append(f"the members of {name} cannot be read: give the bot the permission “Members: read”")
        else:
            logins |= members
    return frozenset(logins)


def _authors(
    view: RepositoryView, pipeline: Pipeline, counted: Counted, environment: str, obstacles: list[str]
) -> dict[Login, str]:
    """Whose approval would be of their own work."""
    repository, pull_request, evaluation = view.repository, counted.pull_request, counted.evaluation
    excluded = {pull_request.author: "opened the pull request"}
    pushed_by = repository.git.commit(pull_request.head_sha).author
    if pushed_by:
        excluded.setdefault(pushed_by, "pushed to the branch")
    version = counted.entry.version if counted.entry else None
    for instruction in view.instructions(counted.model, environment):
        if instruction.told.version == version and instruction.told.said in _ASKING:
            excluded.setdefault(instruction.by, _ASKING[instruction.told.said])
    run = evaluation.evidence.subject.run if evaluation else None
    if not isinstance(run, Run):
        return excluded
    trainer = login_of(repository, pipeline, run.user)
    if trainer is not None:
        excluded[trainer] = "trained the model"
    elif run.user not in pipeline.identities:
        obstacles.append(
            f"nobody knows who “{run.user}”, who trained the model, is on GitHub:"
            " add them to `identities` in the pipeline"
        )
    return excluded


def login_of(repository: Repository, pipeline: Pipeline, user: str) -> Login | None:
    """The GitHub login of an MLflow user; None for a machine and for somebody whom nobody knows."""
    if user in pipeline.identities:
        known = pipeline.identities[user]
        return Login(known) if known else None
    is_login = user.replace("-", "").isalnum() and user.isascii() and len(user) <= 39
    return Login(user) if is_login and repository.people.is_collaborator(Login(user)) else None
