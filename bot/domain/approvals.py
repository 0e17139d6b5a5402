"""Who has approved, who still must: counted from reviews at one head commit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from bot.domain.pull_requests import Login, Review, ReviewState


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """What an environment asks: `count` approvals of `permitted` people, none of them `excluded`.

    `permitted` is resolved: the logins of every user and team that the pipeline names, or None for everybody who may
    write. `excluded` maps a login to why its approval does not count. `obstacles` say what keeps the rule from being
    judged at all, such as a team that cannot be read: approvals stay missing until they are mended.
    """

    count: int
    permitted: frozenset[Login] | None = None
    excluded: Mapping[Login, str] | None = None
    obstacles: tuple[str, ...] = ()
    described: str = ""


@dataclass(frozen=True, slots=True)
class Approvals:
    """How the reviews stand against a rule."""

    rule: ApprovalRule
    approved_by: tuple[Login, ...] = ()
    changes_requested_by: tuple[Login, ...] = ()
    not_counted: tuple[str, ...] = ()

    @property
    def missing(self) -> int:
        """How many approvals are still needed."""
        return max(0, self.rule.count - len(self.approved_by))

    @property
    def satisfied(self) -> bool:
        """Whether the approvals are there."""
        if self.rule.count == 0:
            return True
        return not (self.missing or self.changes_requested_by or self.rule.obstacles)


def count_approvals(
    reviews: Iterable[Review],
    rule: ApprovalRule,
    *,
    head: str,
    writers: Collection[Login],
    until: datetime | None = None,
) -> Approvals:
    """Count the reviews of `head` by each person's latest word, up to `until` (the merge) where given.

    `writers` are the reviewers who may write to the repository now. A comment changes nobody's earlier word, an
    approval of an older head does not count, and what a person who is not permitted says neither helps nor blocks.
    """
    latest: dict[Login, Review] = {}
    for review in sorted(reviews, key=lambda r: r.submitted_at):
        decisive = review.state in (
            ReviewState.APPROVED,
            ReviewState.CHANGES_REQUESTED,
            ReviewState.DISMISSED,
        )
        if decisive and (until is None or review.submitted_at <= until):
            latest[review.author] = review
    approved: list[Login] = []
    blocked: list[Login] = []
    ignored: list[str] = []
    for login, review in sorted(latest.items(), key=lambda item: item[1].submitted_at):
        reason = _why_not(login, rule, writers)
        if review.state is ReviewState.CHANGES_REQUESTED and reason is None:
            blocked.append(login)
        elif review.state is ReviewState.APPROVED and reason is not None:
            ignored.append(f"{login}: {reason}")
        elif review.state is ReviewState.APPROVED and review.commit != head:
            ignored.append(f"{login}: approved an older commit, {review.commit[:7]}")
        elif review.state is ReviewState.APPROVED:
            approved.append(login)
    return Approvals(rule, tuple(approved), tuple(blocked), tuple(ignored))


def _why_not(login: Login, rule: ApprovalRule, writers: Collection[Login]) -> str | None:
    if rule.excluded and login in rule.excluded:
        return rule.excluded[login]
    if rule.permitted is not None and login not in rule.permitted:
        return "is not among those who may approve"
    if rule.permitted is None and login not in writers:
        return "may not write to the repository"
    return None
