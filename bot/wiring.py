"""The only place that builds gateways from settings and hands them out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property

from bot.domain.errors import Misconfigured, Service
from bot.domain.keys import Urgency
from bot.domain.pull_requests import Login
from bot.gateways.artifacts import Artifacts
from bot.gateways.cache import Cache, sealing_key
from bot.gateways.dvc.access import Access
from bot.gateways.dvc.tracking import Dvc
from bot.gateways.github.client import GitHubClient
from bot.gateways.github.repository import Repository
from bot.gateways.measurements import Measurements
from bot.gateways.mlflow_api import preload as preload_registry
from bot.gateways.outbox import Outbox
from bot.gateways.receivers import receivers_of
from bot.gateways.redis_connection import connect
from bot.gateways.registry import Registry
from bot.settings import Secret, Settings, is_installation_token


@dataclass
class Gateways:
    """The outside world as one process sees it; built before it forks, safe to use after."""

    settings: Settings
    cache: Cache
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    _repositories: dict[str, Repository] = field(default_factory=dict)

    @cached_property
    def measurements(self) -> Measurements:
        """What this process measures."""
        return Measurements(self.cache.connection)

    @cached_property
    def outboxes(self) -> tuple[Outbox, ...]:
        """Where notifications wait to be sent, one for each receiver."""
        return tuple(Outbox(self.cache.connection, receiver) for receiver in receivers_of(self.settings))

    @cached_property
    def registry(self) -> Registry:
        """The model registry."""
        settings = self.settings
        return Registry(settings.mlflow_tracking_uri, settings.mlflow_registry_uri, self.measurements.request)

    @cached_property
    def artifacts(self) -> Artifacts:
        """The stores that hold model versions' files."""
        return Artifacts(self.registry)

    @cached_property
    def dvc(self) -> Dvc:
        """DVC's files in training repositories, and its remotes."""
        return Dvc(Access(self.settings.dvc_roots, self.settings.dvc_hosts))

    @cached_property
    def github_client(self) -> GitHubClient:
        """GitHub, signed in as the bot, or as a person who looks at what the bot did."""
        settings, credentials = self.settings, self.settings.github_credentials
        bot = Login(settings.bot_login) if settings.bot_login and isinstance(credentials, Secret) else None
        return GitHubClient(
            settings.github_api_url, credentials, self.cache, settings.repositories, bot, self.measurements
        )

    def github(self, repository: str) -> Repository:
        """One deploy repository."""
        if repository not in self._repositories:
            self._repositories[repository] = Repository(self.github_client, self.cache, repository)
        return self._repositories[repository]

    @contextmanager
    def serving(self, urgency: Urgency, answered: set[Service], silent: dict[Service, str]) -> Iterator[None]:
        """For the time of one look: how urgent its requests to GitHub are, which services answer, and which not."""
        self.registry.answered.clear()
        self.registry.silent.clear()
        self.github_client.serve(urgency)
        try:
            yield
        finally:
            answered |= self.registry.answered | self.github_client.answered
            silent |= self.registry.silent

    def login(self) -> Login:
        """Who the bot is on GitHub."""
        return self.github_client.login()


def build(settings: Settings) -> Gateways:
    """The gateways that `settings` describe; nothing is connected to yet."""
    if settings.redis_url is None:
        raise Misconfigured("REDIS_URL is missing; `promotion-bot up` starts a queue of its own")
    if is_installation_token(settings.github_credentials):
        raise Misconfigured(
            "GITHUB_TOKEN is an installation's token (ghs_…): it ends within hours and cannot say whose it is. Set"
            " GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY, or a token of an account"
        )
    return Gateways(replace(settings, bot_login=None), _cache(settings))


def without_queue(settings: Settings) -> Gateways:
    """The gateways for one command that only reads: what is read is remembered where REDIS_URL names a server."""
    return Gateways(settings, _cache(settings))


def _cache(settings: Settings) -> Cache:
    connection = connect(settings.redis_url) if settings.redis_url else None
    return Cache(connection, sealing_key(settings.github_credentials))


def preload() -> None:
    """Import what is slow to import, once, before a worker forks."""
    preload_registry()
