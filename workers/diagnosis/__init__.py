"""What keeps the bot from working: every credential, permission, webhook and file, looked at once."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version

from bot.domain.pipeline import Pipeline
from bot.wiring import Gateways, without_queue
from workers.diagnosis import registry
from workers.diagnosis.clock import look_at_clocks
from workers.diagnosis.deploy_repository import look_at_repository
from workers.diagnosis.finding import Diagnosis, State
from workers.diagnosis.github_account import look_at_account
from workers.diagnosis.queue_server import look_at_queue

__all__ = ["Diagnosis", "State", "diagnose"]


def diagnose(gateways: Gateways) -> Iterator[Diagnosis]:
    """Everything that the settings name, one after the other; what one thing lacks does not hide the next."""
    own = f"promotion-bot {version('promotion-bot')}, Python {platform.python_version()}"
    yield Diagnosis("version", State.GOOD, f"{own}, MLflow's client {version('mlflow-skinny')}")
    queue = list(look_at_queue(gateways.settings))
    yield from queue
    if any(each.state is State.AWAY for each in queue):
        gateways = without_queue(replace(gateways.settings, redis_url=None))  # GitHub is asked all the same
    yield from look_at_clocks(gateways)
    yield from registry.look_at_registry(gateways)
    yield from look_at_account(gateways)
    pipelines: list[Pipeline] = []
    for name in gateways.settings.repositories:
        yield from look_at_repository(gateways, name, pipelines)
    yield from registry.look_at_rights(gateways, pipelines)
