"""Who may approve: the pipeline's users and teams, resolved on GitHub, and the reviews counted against them."""

from __future__ import annotations

from bot.domain.approvals import ApprovalRule, Approvals, count_approvals
from bot.domain.pipeline import Environment, Pipeline
from bot.domain.pull_requests import Login, PullRequest
from bot.domain.world import ChangeKind, Evaluation
from bot.gateways.github.repository import Repository
from policies.evidence import Run


def count_for_change(
    repository: Repository,
    bot: Login,
    pipeline: Pipeline,
    rules: Environment,
    kind: ChangeKind,
    pull_request: PullRequest,
    evaluation: Evaluation | None,
) -> Approvals:
    """The approvals of one change, at the pull request's head and before its merge. Asks nothing if none is needed."""
    count = rules.rollback.approvals if kind is ChangeKind.ROLLBACK else rules.approvals.count
    if count == 0:
        return Approvals(ApprovalRule(0))
    reviews = repository.pulls.reviews(pull_request.number)
    obstacles: list[str] = []
    permitted = _permitted(repository, rules, obstacles)
    excluded: dict[Login, str] = {bot: "is the bot"}
    if rules.approvals.not_author:
        excluded |= _authors(repository, pipeline, pull_request, evaluation, obstacles)
    reviewers = {review.author for review in reviews} - excluded.keys()
    writers = {login for login in reviewers if permitted is None and repository.people.may_write(login)}
    rule = ApprovalRule(count, permitted, excluded, tuple(obstacles), described=" or ".join(rules.approvals.allowed))
    return count_approvals(reviews, rule, head=pull_request.head_sha, writers=writers, until=pull_request.merged_at)


def _permitted(repository: Repository, rules: Environment, obstacles: list[str]) -> frozenset[Login] | None:
    """Everybody whom `approvals.from` names; None where it names nobody and whoever may write counts."""
    if not rules.approvals.allowed:
        return None
    logins: set[Login] = set()
    for name in rules.approvals.allowed:
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
    repository: Repository,
    pipeline: Pipeline,
    pull_request: PullRequest,
    evaluation: Evaluation | None,
    obstacles: list[str],
) -> dict[Login, str]:
    """Whose approval would be of their own work."""
    excluded = {pull_request.author: "opened the pull request"}
    run = evaluation.evidence.subject.run if evaluation else None
    if not isinstance(run, Run):
        return excluded
    trainer = _login_of(repository, pipeline, run.user)
    if trainer is not None:
        excluded[trainer] = "trained the model"
    elif run.user not in pipeline.identities:
        obstacles.append(
            f"nobody knows who “{run.user}”, who trained the model, is on GitHub:"
            " add them to `identities` in the pipeline"
        )
    return excluded


def _login_of(repository: Repository, pipeline: Pipeline, user: str) -> Login | None:
    """The GitHub login of an MLflow user; None for a machine and for somebody whom nobody knows."""
    if user in pipeline.identities:
        known = pipeline.identities[user]
        return Login(known) if known else None
    is_login = user.replace("-", "").isalnum() and user.isascii() and len(user) <= 39
    return Login(user) if is_login and repository.people.is_collaborator(Login(user)) else None
