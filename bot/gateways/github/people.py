"""Who people are and what they may, asked when it matters."""

from __future__ import annotations

from urllib.parse import quote

from bot.domain.pull_requests import Login
from bot.gateways.github.api import RepositoryApi
from bot.gateways.github.client import GitHubRefusal


class People:
    """People as GitHub knows them in one repository."""

    def __init__(self, api: RepositoryApi) -> None:
        self._api = api

    def may_write(self, login: Login) -> bool:
        """Whether a person may write to the repository now."""
        row = self._api.get_or_none(f"/collaborators/{quote(login)}/permission")
        return row is not None and row["permission"] in ("write", "admin", "maintain")

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
