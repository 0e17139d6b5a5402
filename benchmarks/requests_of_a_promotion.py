"""What a promotion asks of GitHub and MLflow, counted at a real MLflow server and the GitHub stand-in."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from bot.domain.keys import ModelKey, RepositoryKey
from bot.gateways.embedded_redis import embedded_redis
from tests.e2e.house import Cost, House, house
from tests.services import mlflow_server


def run() -> Iterator[tuple[str, str]]:
    """Requests of opening a proposal, of settling a merge, and of a sweep that finds nothing to do."""
    with (
        tempfile.TemporaryDirectory() as folder,
        mlflow_server(Path(folder), allow_webhooks=False) as registry,
        embedded_redis(Path(folder)) as cache,
        house(registry.url, cache) as world,
    ):
        for what, cost in _promotion(world):
            yield (
                what,
                f"{len(cost.github)} to GitHub (and {cost.unchanged} answered with 304), {len(cost.mlflow)} to MLflow",
            )


def _promotion(world: House) -> Iterator[tuple[str, Cost]]:
    world.register()
    world.to_production(1)
    with world.counted() as sweep:
        world.look(RepositoryKey(world.repository.repo.full_name))
    yield "a sweep with nothing to do (GitHub: at most 3)", sweep

    world.register(accuracy=0.96)
    key = ModelKey(world.repository.repo.full_name, world.model)
    with world.counted() as opening:
        world.look_and_follow(key)
    yield "opening a proposal (GitHub: at most 12)", opening

    world.event()
    world.approve_and_merge(world.proposed("production", 2))
    with world.counted() as settling:
        world.look_and_follow(key)
    yield "settling a merge (GitHub: at most 12)", settling
