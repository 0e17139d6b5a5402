"""What GitHub knows of the bot itself: its App or token, its webhooks, and what became of their deliveries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.gateways.github.api import time_of
from bot.gateways.github.client import GitHubClient, GitHubRefusal


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery of a webhook: `code` is how it was answered, 0 or 5xx where it was not."""

    event: str
    code: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Hook:
    """A webhook as it is set up. `events` are GitHub's names, `*` for all; `deliveries` are the newest first."""

    url: str
    content_type: str
    checks_certificates: bool
    has_secret: bool
    active: bool
    events: frozenset[str]
    deliveries: tuple[Delivery, ...] = ()


@dataclass(frozen=True, slots=True)
class AppAccount:
    """The App that the bot is; `page` is where its owner sets it up."""

    slug: str
    page: str
    hook: Hook


def app_account(client: GitHubClient) -> AppAccount:
    """The App with its webhook (https://docs.github.com/en/rest/apps/webhooks)."""
    app = client.ask_as_app("/app")
    config = client.ask_as_app("/app/hook/config")
    deliveries = client.ask_as_app("/app/hook/deliveries") if config.get("url") else []
    hook = _hook(config, app.get("events") or (), deliveries)
    return AppAccount(str(app["slug"]), _settings_page(app), hook)


def _settings_page(app: Mapping[str, Any]) -> str:
    """Where the App's owner finds its settings: a person's, or an organisation's."""
    owner, slug = app.get("owner") or {}, app["slug"]
    site = str(app.get("html_url", "")).partition("/apps/")[0].partition("/github-apps/")[0]
    if owner.get("type") == "Organization":
        return f"{site}/organizations/{owner.get('login')}/settings/apps/{slug}"
    return f"{site}/settings/apps/{slug}"


def repository_hooks(client: GitHubClient, repository: str) -> tuple[Hook, ...] | None:
    """The webhooks of a repository; None for who may not see them (https://docs.github.com/en/rest/repos/webhooks)."""
    path = f"/repos/{repository}/hooks"
    try:
        return tuple(
            _hook(
                row["config"],
                row["events"],
                client.ask(repository, f"{path}/{row['id']}/deliveries")[0],
                active=row["active"],
            )
            for row in client.ask(repository, path)[0]
        )
    except GitHubRefusal as refusal:
        if refusal.status != 404:
            raise
        return None


def _hook(config: Mapping[str, Any], events: Any, deliveries: Any, *, active: bool = True) -> Hook:  # noqa: ANN401
    return Hook(
        url=str(config.get("url") or ""),
        content_type=str(config.get("content_type") or "form"),
        checks_certificates=str(config.get("insecure_ssl", "0")) == "0",
        has_secret=bool(config.get("secret")),
        active=active,
        events=frozenset(map(str, events)),
        deliveries=tuple(
            Delivery(str(row["event"]), int(row["status_code"]), time_of(row["delivered_at"])) for row in deliveries
        ),
    )


def token_scopes(client: GitHubClient) -> frozenset[str] | None:
    """What a classic token may do; None for a fine-grained one, of which GitHub does not tell.

    https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps
    """
    said = client.ask("", "/user")[1].get("x-oauth-scopes")
    return None if said is None else frozenset(part.strip() for part in said.split(",") if part.strip())


def own_rights(client: GitHubClient, repository: str) -> frozenset[str]:
    """What the bot's token may do in a repository: `pull`, `push`, `admin` and so on."""
    said = client.ask(repository, f"/repos/{repository}")[0].get("permissions") or {}
    return frozenset(name for name, may in said.items() if may)
