"""Who the bot is on GitHub: its sign-in, what it may do, and whether its webhook arrives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bot.domain.errors import PromotionError
from bot.domain.github_app import EVENTS, OPTIONAL, OPTIONAL_EVENTS, PERMISSIONS
from bot.gateways.github.account import Hook, app_account, own_rights, repository_hooks, token_scopes
from bot.settings import AppCredentials
from bot.wiring import Gateways
from workers.diagnosis.finding import Diagnosis, State, looked

_LEVELS: Final = ("", "read", "write", "admin")
_CLASSIC: Final = frozenset({"repo", "public_repo", "read:org"})
_APP_PAGE: Final = "docs/operations.md#the-apps-permissions"
_SETTINGS: Final = "docs/operations.md#settings"


def look_at_account(gateways: Gateways) -> Iterator[Diagnosis]:
    """The sign-in, and the App's webhook or the token's scopes."""
    sign_in = looked("GitHub sign-in", _SETTINGS, lambda: f"as {gateways.login()}")
    yield sign_in
    if sign_in.state is not State.GOOD:
        return
    if isinstance(gateways.settings.github_credentials, AppCredentials):
        yield from _app_webhook(gateways)
    else:
        yield from _scopes(gateways)


def _scopes(gateways: Gateways) -> Iterator[Diagnosis]:
    what = "GitHub token"
    try:
        scopes = token_scopes(gateways.github_client)
    except PromotionError as error:
        yield Diagnosis.of_error(what, error, _SETTINGS)
        return
    page = "make a fine-grained token for these repositories alone: https://github.com/settings/personal-access-tokens"
    if scopes is None:
        return  # a fine-grained one: what it may do is tried on each repository
    if not scopes & {"repo", "public_repo"}:
        yield Diagnosis(what, State.BAD, "it lacks the scope repo (or public_repo)", page)
    if surplus := sorted(scopes - _CLASSIC):
        yield Diagnosis(what, State.UNKNOWN, f"it may more than it needs: {', '.join(surplus)}", page)
    elif scopes & {"repo", "public_repo"}:
        yield Diagnosis(what, State.GOOD, f"has the scopes {', '.join(sorted(scopes))}")


# --- the webhook ------------------------------------------------------------------------------------------------------


def _app_webhook(gateways: Gateways) -> Iterator[Diagnosis]:
    what = "GitHub webhook"
    try:
        account = app_account(gateways.github_client)
    except PromotionError as error:
        yield Diagnosis.of_error(what, error, _APP_PAGE)
        return
    yield from _webhook(what, gateways.settings.public_url, account.hook, account.page)


def repository_webhook(gateways: Gateways, name: str) -> Iterator[Diagnosis]:
    """The repository's own webhook, which a bot with a token depends on."""
    what, page = f"{name}: webhook", f"Settings → Webhooks of {name}"
    try:
        hooks = repository_hooks(gateways.github_client, name)
    except PromotionError as error:
        yield Diagnosis.of_error(what, error, page)
        return
    wanted = _address(gateways.settings.public_url)
    if hooks is None:
        says = "the bot's token may not see it, which is as it should be"
        yield Diagnosis(what, State.UNKNOWN, says, f"look: {page}")
    elif found := [hook for hook in hooks if wanted in ("", hook.url)]:
        yield from _webhook(what, gateways.settings.public_url, found[0], page)
    else:
        yield Diagnosis(what, State.BAD, f"none delivers to {wanted}", f"add it: {page}")


def _webhook(what: str, public_url: str | None, hook: Hook, page: str) -> Iterator[Diagnosis]:
    if public_url is None:
        says = "PROMOTION_PUBLIC_URL is not set, so nobody knows where it should deliver"
        yield Diagnosis(what, State.UNKNOWN, says, _SETTINGS)
    elif not hook.url:
        yield Diagnosis(what, State.BAD, "there is none", f"let it deliver to {_address(public_url)}: {page}")
    if not hook.url:
        return
    if wrong := list(_differences(hook, _address(public_url))):
        yield Diagnosis(what, State.BAD, "; ".join(wrong), f"put it right: {page}")
    elif public_url is not None:
        yield Diagnosis(what, State.GOOD, f"delivers to {hook.url}")
    yield _last_delivery(f"{what}: last delivery", hook, page)


def _address(public_url: str | None) -> str:
    return f"{public_url}/webhooks/github" if public_url else ""


def _differences(hook: Hook, wanted: str) -> Iterator[str]:
    if wanted and hook.url != wanted:
        yield f"it delivers to {hook.url} instead of {wanted}"
    if hook.content_type != "json":
        yield "it delivers forms instead of application/json"
    if not hook.has_secret:
        yield "it has no secret, so every delivery is refused"
    if not hook.active:
        yield "it is switched off"
    if hook.url.startswith("https:") and not hook.checks_certificates:
        yield "it does not check the certificate of where it delivers to"
    lacking = EVENTS - hook.events if "*" not in hook.events else frozenset()
    if lacking - OPTIONAL_EVENTS:
        yield f"it lacks the events {', '.join(sorted(lacking - OPTIONAL_EVENTS))}"


def _last_delivery(what: str, hook: Hook, page: str) -> Diagnosis:
    if not hook.deliveries:
        return Diagnosis(what, State.UNKNOWN, "GitHub has delivered nothing yet", "push a commit, and look again")
    last = hook.deliveries[0]
    said = f"{last.event}, {last.at:%Y-%m-%d %H:%M} UTC"
    if 200 <= last.code < 300:
        return Diagnosis(what, State.GOOD, f"{said}, answered with {last.code}")
    if last.code in (401, 403):
        mend = f"enter the secret that GITHUB_WEBHOOK_SECRET holds: {page}"
        return Diagnosis(what, State.BAD, f"{said}, refused with {last.code}: its secret is not the bot's", mend)
    says = f"{said}, was answered with {last.code}" if last.code else f"{said}, did not arrive"
    mend = f"is the address reached from GitHub, and the service up? Redeliver: {page}"
    return Diagnosis(what, State.BAD, says, mend)


# --- permissions ------------------------------------------------------------------------------------------------------


def look_at_rights(gateways: Gateways, name: str) -> Iterator[Diagnosis]:
    """What the bot may do in one repository: what it lacks, and what it has beyond its needs."""
    if isinstance(gateways.settings.github_credentials, AppCredentials):
        yield from _permissions(gateways, name)
        return
    what = f"{name}: the token's rights"
    try:
        rights = own_rights(gateways.github_client, name)
    except PromotionError as error:
        yield Diagnosis.of_error(what, error, f"give the bot's user write access: Settings → Collaborators of {name}")
        return
    if "push" not in rights:
        mend = f"give the bot's user write access: Settings → Collaborators of {name}"
        yield Diagnosis(what, State.BAD, "it may not write", mend)
    elif surplus := rights & {"admin", "maintain"}:
        says = f"it may more than it needs: {', '.join(sorted(surplus))}"
        yield Diagnosis(what, State.UNKNOWN, says, f"make it write only: Settings → Collaborators of {name}")
    else:
        yield Diagnosis(what, State.GOOD, "write, and no more")
    yield from repository_webhook(gateways, name)


def _permissions(gateways: Gateways, name: str) -> Iterator[Diagnosis]:
    what = f"{name}: the App's permissions"
    try:
        granted = gateways.github_client.permissions(name)
    except PromotionError as error:
        yield Diagnosis.of_error(what, error, _APP_PAGE)
        return
    if not granted:
        yield Diagnosis(what, State.UNKNOWN, "GitHub does not say", _APP_PAGE)
        return
    lacking = [
        f"{permission}: {level} ({why})"
        for permission, (level, why) in PERMISSIONS.items()
        if _LEVELS.index(granted.get(permission, "")) < _LEVELS.index(level)
    ]
    surplus = [
        f"{permission}: {level}"
        for permission, level in sorted(granted.items())
        if _LEVELS.index(level) > _LEVELS.index({**OPTIONAL, **PERMISSIONS}.get(permission, ("", ""))[0])
    ]
    if lacking:
        mend = "change the App's permissions, then accept them in the installation: " + _APP_PAGE
        yield Diagnosis(what, State.BAD, f"give it {', '.join(lacking)}", mend)
    if surplus:
        mend = "take them away in the App's settings: " + _APP_PAGE
        yield Diagnosis(what, State.UNKNOWN, f"it has more than it needs: {', '.join(surplus)}", mend)
    if not lacking and not surplus:
        yield Diagnosis(what, State.GOOD, "what it needs and no more")
