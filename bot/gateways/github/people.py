"""Who people are and what they may, asked when it matters."""

from __future__ import annotations

from enum import IntEnum
from urllib.parse import quote

from bot.domain.pull_requests import Login
from bot.gateways.github.api import RepositoryApi
from bot.gateways.github.client import GitHubRefusal


class Role(IntEnum):
    """What somebody may do in a repository, each more than the one before."""

    NONE = 0
    READ = 1
    TRIAGE = 2
    WRITE = 3
    MAINTAIN = 4
    ADMIN = 5


class People:
    """People as GitHub knows them in one repository."""

    def __init__(self, api: RepositoryApi) -> None:
        self._api = api

    def role(self, login: Login) -> Role:
        """What a person may do in the repository now.

        `role_name` tells triage and maintain apart; an organisation's own roles only show in `permission`.
        """
        row = self._api.get_or_none(f"/collaborators/{quote(login)}/permission") or {}
        said = (str(row.get(name, "")).upper() for name in ("role_name", "permission"))
        return max((Role[name] for name in said if name in Role.__members__), default=Role.NONE)

    def may_write(self, login: Login) -> bool:
        """Whether a person may write to the repository now."""
        return self.role(login) >= Role.WRITE

    def may_read(self, login: Login) -> bool:
        """Whether a person belongs here: on a public repository everyone may read, so there it takes triage."""
        return self.role(login) >= (Role.READ if self._api.is_private() else Role.TRIAGE)

    def is_collaborator(self, login: Login) -> bool:
        """Whether GitHub knows the login as somebody with rights of their own here."""
        try:
            self._api.get(f"/collaborators/{quote(login)}")
        except GitHubRefusal:
            return False
        return True

    def team_members(self, team: str) -> frozenset[Login] | None:
        """The members of `@organisation/team`; None where the team cannot be read."""
        organisation, _, slug = team.removeprefix("@").partition("/")
        try:
            return frozenset(
                Login(row["login"])
                for page in self._api.organisation_pages(f"/{quote(organisation)}/teams/{quote(slug)}/members")
                for row in page
            )
        except GitHubRefusal:
            return None
