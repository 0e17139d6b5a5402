"""The model registry: its version, what the bot may do there, and whether its webhook arrives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from packaging.version import InvalidVersion, Version

from bot.domain.errors import PromotionError
from bot.domain.pipeline import Pipeline
from bot.gateways.mlflow_server import Account, account, server_version
from bot.gateways.mlflow_webhooks import Tried, inspect_webhook, try_webhook
from bot.wiring import Gateways
from workers.diagnosis.finding import Diagnosis, State

OLDEST: Final = "3.1"
_ENOUGH: Final = frozenset({"EDIT", "MANAGE"})
_MOST_NAMED: Final = 5
_CREDENTIALS: Final = "docs/registry.md#credentials-and-permissions"
_SERVER: Final = "docs/registry.md#webhooks"
_SYNC: Final = "promotion-bot webhooks sync"


def look_at_registry(gateways: Gateways) -> Iterator[Diagnosis]:
    """Whether MLflow can be read, its version, its webhook."""
    try:
        count = len(gateways.registry.models())
    except PromotionError as error:
        yield Diagnosis.of_error("MLflow registry", error, _CREDENTIALS)
        return
    yield Diagnosis("MLflow registry", State.GOOD, f"{count} registered models can be read")
    yield _version(gateways)
    yield from _webhook(gateways)


def _version(gateways: Gateways) -> Diagnosis:
    what = "MLflow version"
    try:
        version = server_version(gateways.registry)
        is_old = version is not None and Version(version) < Version(OLDEST)
    except PromotionError as error:
        return Diagnosis.of_error(what, error, _CREDENTIALS)
    except InvalidVersion:
        version = None
    if version is None:
        return Diagnosis(what, State.UNKNOWN, "the server does not tell", f"see to it that it is {OLDEST} or later")
    if is_old:
        mend = f"upgrade the server to {OLDEST} or later: docs/registry.md"
        return Diagnosis(what, State.BAD, f"{version} is too old", mend)
    return Diagnosis(what, State.GOOD, version)


# --- the webhook ------------------------------------------------------------------------------------------------------


def _webhook(gateways: Gateways) -> Iterator[Diagnosis]:
    what, address = "MLflow webhook", gateways.settings.mlflow_delivers_to
    if address is None:
        says = "PROMOTION_PUBLIC_URL is not set, so nobody knows where it should deliver"
        yield Diagnosis(what, State.UNKNOWN, says, "docs/operations.md#settings")
        return
    try:
        differences = inspect_webhook(gateways.registry, "promotion-bot", address)
        if differences:
            yield Diagnosis(what, State.BAD, "; ".join(differences), _SYNC)
            return
        yield Diagnosis(what, State.GOOD, f"delivers to {address}")
        yield _delivery(try_webhook(gateways.registry, "promotion-bot"), address)
    except PromotionError as error:
        yield Diagnosis.of_error(what, error, _SERVER)


def _delivery(tried: Tried, address: str) -> Diagnosis:
    """What became of a delivery that MLflow was asked to make now; it does not say what became of earlier ones."""
    what = "MLflow webhook: delivery"
    if tried.status is not None and 200 <= tried.status < 300:
        return Diagnosis(what, State.GOOD, f"one made just now was answered with {tried.status}")
    if tried.status == 401:
        return Diagnosis(what, State.BAD, "one made just now was refused: its secret is not the bot's", _SYNC)
    if tried.status is not None:
        says = f"one made just now was answered with {tried.status}"
        mend = f"is {address} (PROMOTION_INTERNAL_URL or PROMOTION_PUBLIC_URL) this service's address? {_SERVER}"
        return Diagnosis(what, State.BAD, says, mend)
    if "public ip" in tried.error.lower() or "private" in tried.error.lower():
        mend = f"set MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS=true in the MLflow server's environment: {_SERVER}"
        return Diagnosis(what, State.BAD, f"MLflow does not deliver to the private address {address}", mend)
    if "scheme" in tried.error.lower():
        mend = f"set MLFLOW_WEBHOOK_ALLOWED_SCHEMES=http,https in the MLflow server's environment: {_SERVER}"
        return Diagnosis(what, State.BAD, f"MLflow does not deliver by http to {address}", mend)
    says = f"MLflow could not deliver to {address}: {tried.error}"
    return Diagnosis(what, State.BAD, says, f"is the service up, and reached from the MLflow server? {_SERVER}")


# --- permissions ------------------------------------------------------------------------------------------------------


def look_at_rights(gateways: Gateways, pipelines: Sequence[Pipeline]) -> Iterator[Diagnosis]:
    """What the bot's user may do in MLflow, and whether the pipelines name models that are there."""
    try:
        names = [model.name for model in gateways.registry.models()]
        yield from _unmatched(pipelines, names)
        yield from _account(account(gateways.registry), [n for n in names if any(p.owns(n) for p in pipelines)])
    except PromotionError as error:
        yield Diagnosis.of_error("MLflow permissions", error, _CREDENTIALS)


def _unmatched(pipelines: Sequence[Pipeline], names: Sequence[str]) -> Iterator[Diagnosis]:
    for pipeline in pipelines:
        if names and not any(pipeline.owns(name) for name in names):
            says = f"{', '.join(pipeline.models)} names none of the {len(names)} registered models"
            yield Diagnosis("models", State.UNKNOWN, says, "compare `models` in promotion.yaml with MLflow's names")


def _account(known: Account | None, owned: Sequence[str]) -> Iterator[Diagnosis]:
    what = "MLflow permissions"
    if known is None:
        says = "MLflow does not tell who the bot is: it has no accounts, and everybody who reaches it may write"
        yield Diagnosis(what, State.UNKNOWN, says, _CREDENTIALS)
        return
    if known.is_admin:
        says = f"{known.name} is an administrator, which is more than the bot needs"
        mend = f"give the bot a user of its own with EDIT on its models: {_CREDENTIALS}"
        yield Diagnosis(what, State.UNKNOWN, says, mend)
        return
    everything = known.models.get("*", "")
    granted = {name: known.models.get(name, everything) for name in owned}
    lacking = [name for name, level in granted.items() if level and level not in _ENOUGH]
    unsaid = [name for name, level in granted.items() if not level]
    if lacking:
        says = f"{known.name} may not write {_some(lacking)}"
        yield Diagnosis(what, State.BAD, says, f"give it EDIT on them: {_CREDENTIALS}")
    if unsaid:
        says = f"nothing is granted to {known.name} on {_some(unsaid)}; the server's default_permission decides"
        yield Diagnosis(what, State.UNKNOWN, says, f"give it EDIT on them: {_CREDENTIALS}")
    if not lacking and not unsaid:
        yield Diagnosis(what, State.GOOD, f"{known.name} may write the {len(owned)} models that are promoted")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
