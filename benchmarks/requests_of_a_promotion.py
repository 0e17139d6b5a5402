"""What a promotion asks of GitHub and MLflow, counted at a real MLflow server and the GitHub stand-in."""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks.place import place
from bot.domain.errors import NotYet
from bot.domain.keys import CommentKey, ModelKey, RepositoryKey
from tests.e2e.house import Cost, House, house


def run() -> Iterator[tuple[str, str]]:
    """Requests of each step of a promotion, and of ninety at once."""
    with place() as there, house(there.registry, there.redis) as world:
        for what, cost in _promotion(world):
            yield (
                what,
                f"{len(cost.github)} to GitHub (and {cost.unchanged} answered with 304), {len(cost.mlflow)} to MLflow",
            )
        with house(there.registry, there.redis, owns="fraud-*") as crowd:
            yield from _ninety(crowd)


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

    name, pull = world.repository.repo.full_name, world.proposed("production", 2)
    comment = world.repository.comment(pull.number, "alice", "/hold because of lunch")
    with world.counted() as command:
        world.look(CommentKey(name, pull.number, comment))
    yield "a command (GitHub: at most 8)", command

    world.say(pull, "alice", "/resume")
    world.register(accuracy=0.97)
    world.event()
    world.repository.repo.strict = True
    world.repository.push({"README.md": "Hello\n"})
    world.look(key)  # GitHub computes whether it can be merged only when it is asked
    with world.counted() as refresh:
        world.look_and_follow(key)
    yield "a refresh after a moved base (GitHub: at most 12)", refresh


def _ninety(world: House) -> Iterator[tuple[str, str]]:
    """90 models registered at once, looked at one after the other as a worker does, at GitHub's real limits."""
    names = [f"{world.model}-{number:02}" for number in range(90)]
    for name in names:
        world.register(model=name)
    before = len(world.github.requests)
    started = time.monotonic()
    for name in names:
        _look_in_turn(world, ModelKey(world.repository.repo.full_name, name))
    seen = world.github.requests[before:]
    created = [s.at for s in seen if s.method == "POST" and s.path.endswith(("/pulls", "/issues", "/comments"))]
    most = max(sum(at <= other < at + 60 for other in created) for at in created)
    opened = [pull.head_ref.rpartition("/")[2] for pull in world.repository.pulls("all")]
    refused = sum(s.status in (403, 429) for s in seen)
    yield "90 models: content created in any minute (at most 80)", f"{most}, all in {time.monotonic() - started:.0f} s"
    yield "90 models: requests answered with 403 or 429", str(refused)
    yield "90 models: opened in the order of registration", str(opened == [f"{name}-v1" for name in names])


def _look_in_turn(world: House, key: ModelKey) -> None:
    """A look, put back for as long as its turn is away, as the queue does."""
    while True:
        try:
            world.look(key)
        except NotYet as waits:
            time.sleep(waits.retry_after or 0.0)
        else:
            return
