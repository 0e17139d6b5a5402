"""The bot goes on under another name: from a token to an App. Its records were those of the name before."""

from __future__ import annotations

from dataclasses import replace

from bot.gateways.redis_connection import connect
from bot.settings import AppCredentials, Secret
from bot.wiring import build
from tests.e2e.house import House, house


def as_an_app(world: House) -> None:
    """The same settings with the App's key, and nothing in Redis."""
    settings = world.gateways.settings
    assert settings.redis_url is not None
    connect(settings.redis_url).flushall()
    app = next(app for app in world.github.world.apps.values() if app.slug == "promotion-bot")
    credentials = AppCredentials(str(app.id), Secret(app.private_key_pem))
    world.gateways = build(replace(settings, github_credentials=credentials))


def test_what_is_live_stays_live_and_open_proposals_are_left_to_people(registry_url: str, cache_url: Secret) -> None:
    with house(registry_url, cache_url, app=False) as world:
        for accuracy in (0.95, 0.96):
            world.to_production(world.register(accuracy))
        world.register(0.97)
        world.event()
        (open_before,) = world.repository.pulls()
        before = ([world.stage(number) for number in (1, 2, 3)], world.aliases())
        assert before == (["Archived", "Production", "Staging"], {"champion": 2, "staging": 3})

        as_an_app(world)
        world.settle()

        assert ([world.stage(number) for number in (1, 2, 3)], world.aliases()) == before
        assert world.repository.issues() == []
        assert [pull.number for pull in world.repository.pulls()] == [open_before.number]
        live = {d["environment"]: d["payload"]["version"] for d in world.repository.deployments() if by_the_app(d)}
        assert live == {"staging": 3, "production": 2}

        open_before.close("alice")
        world.to_production(world.register(0.98))
        assert world.stage(4) == "Production"


def by_the_app(deployment: dict[str, dict[str, str]]) -> bool:
    return deployment["creator"]["login"] == "promotion-bot[bot]"
