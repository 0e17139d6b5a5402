"""One deploy repository with everything that the bot reads and writes in it."""

from __future__ import annotations

from bot.gateways.cache import Cache
from bot.gateways.github.api import RepositoryApi
from bot.gateways.github.checks import Checks
from bot.gateways.github.client import GitHubClient
from bot.gateways.github.comments import Comments
from bot.gateways.github.deployments import Deployments
from bot.gateways.github.git import Git
from bot.gateways.github.issues import Issues
from bot.gateways.github.people import People
from bot.gateways.github.pulls import Pulls
from bot.gateways.github.releases import Releases


class Repository:
    """One repository; reads are conditional or cached for ever by object id, writes happen once."""

    def __init__(self, client: GitHubClient, cache: Cache, name: str) -> None:
        api = RepositoryApi(client, cache, name)
        self.name = name
        self.cache = cache
        self.default_branch = api.default_branch
        self.git = Git(api)
        self.pulls = Pulls(api)
        self.checks = Checks(api)
        self.deployments = Deployments(api)
        self.releases = Releases(api)
        self.issues = Issues(api)
        self.comments = Comments(api)
        self.people = People(api)
