"""`promotion-bot app create`: the GitHub App that the bot is, with the rights that it needs, by one click."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import click

from bot.cli import options, output
from bot.domain.errors import Misconfigured, Refused
from bot.settings import Needs

if TYPE_CHECKING:
    from bot.gateways.github.new_app import NewApp

_PATIENCE: Final = 3600.0  # seconds; GitHub's code is good for as long
_NAME_LENGTH: Final = 34  # characters that GitHub allows
_KEY: Final = "promotion-bot.pem"
_SETTINGS: Final = "promotion-bot.env"


@click.group("app", help="The GitHub App that the bot is.")
def command() -> None:
    """Commands about the App."""


@command.command("create")
@click.option("--organization", metavar="LOGIN", help="Who owns the App.  [default: who is signed in]")
@click.option("--name", default="promotion-bot", show_default=True, help="Its name, which nobody on GitHub has yet.")
@click.option("--to", default=".", type=click.Path(path_type=Path, file_okay=False), help="Where its key is written.")
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="The page's port.  [default: a free one]")
@output.as_json
def create(organization: str | None, name: str, to: Path, port: int, as_json: bool) -> None:
    """Have GitHub make the App in your browser, with the permissions and events that it needs, and keep its key."""
    from bot.cli.app_page import HOST, AppPage
    from bot.domain.github_app import site_of
    from bot.gateways.github.new_app import new_app

    settings = options.prepared(Needs(0))
    if settings.public_url is None:
        raise Misconfigured("PROMOTION_PUBLIC_URL is missing: it is the address that GitHub delivers webhooks to")
    if not 0 < len(name) <= _NAME_LENGTH:
        raise click.BadParameter(f"GitHub takes 1 to {_NAME_LENGTH} characters", param_hint="--name")
    _expect_new(to)
    if port:
        options.expect_free(HOST, port)
    owner = f"/organizations/{quote(organization, safe='')}" if organization else ""
    form_url = f"{site_of(settings.github_api_url)}{owner}/settings/apps/new"
    with AppPage(name, settings.public_url, form_url, partial(new_app, settings.github_api_url), port) as page:
        output.say(f"Open {page.url} in a browser on this machine, and create the App there.", err=True)
        app = page.wait(_PATIENCE)
    if app is None:
        raise Refused("nobody created the App within an hour; begin again")
    _keep(app, to)
    _tell(app, to, as_json)


def _expect_new(folder: Path) -> None:
    """Raise Refused before GitHub makes anything, where its key could not be kept."""
    there = [name for name in (_KEY, _SETTINGS) if (folder / name).exists()]
    if there:
        raise Refused(f"{' and '.join(there)} in {folder} would be written over: move them away, or say --to")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Refused(f"{folder} is no directory that can be written: say another with --to")


def _keep(app: NewApp, folder: Path) -> None:
    key = folder.resolve() / _KEY
    _write(key, app.private_key.reveal())
    _write(
        folder / _SETTINGS,
        f"GITHUB_APP_ID={app.app_id}\n"
        f"GITHUB_APP_PRIVATE_KEY_FILE={key}\n"
        f"GITHUB_WEBHOOK_SECRET={app.webhook_secret.reveal()}\n",
    )


def _write(path: Path, text: str) -> None:
    """Write a new file that its owner alone may read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def _tell(app: NewApp, folder: Path, as_json: bool) -> None:
    install = f"{app.page}/installations/new"
    if as_json:
        files = {"private_key": str(folder / _KEY), "settings": str(folder / _SETTINGS)}
        output.print_json({"app_id": app.app_id, "slug": app.slug, "install": install, **files})
        return
    output.say(
        f"The App {app.slug} ({app.app_id}) is made. Its settings are in {folder / _SETTINGS}, its key beside them."
    )
    output.say(f"Install it on the deploy repositories: {install}")
    output.say("Then see whether all is well: promotion-bot doctor")
