"""The App's permissions: what is missing and what is too much is named, and the documentation says the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.gateways.cache import Cache
from bot.sandbox.github import GitHubSandbox
from bot.sandbox.github.links import APP_PERMISSIONS
from bot.settings import AppCredentials, Secret, Settings
from bot.wiring import Gateways, without_queue
from workers.diagnosis import Diagnosis, State, diagnose
from workers.diagnosis.github_account import OPTIONAL, PERMISSIONS

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


@pytest.fixture
def gateways(settings: Settings) -> Iterator[Gateways]:
    with GitHubSandbox() as github:
        app = github.add_app("promotion-bot")
        github.add_repository("acme/models", {"README.md": ""}, {}, [app])
        credentials = AppCredentials(str(app.id), Secret(app.private_key_pem))
        known = replace(
            settings,
            github_api_url=github.api_url,
            github_credentials=credentials,
            repositories=("acme/models",),
            mlflow_tracking_uri="what://nowhere",
        )
        yield Gateways(known, Cache(None))


def permissions(gateways: Gateways) -> list[Diagnosis]:
    return [found for found in diagnose(gateways) if "the App's permissions" in found.what]


def test_github_is_looked_at_although_redis_is_away(gateways: Gateways, tmp_path: Path) -> None:
    nowhere = Secret(f"unix://{tmp_path}/no-server.sock")
    found = {each.what: each for each in diagnose(without_queue(replace(gateways.settings, redis_url=nowhere)))}
    assert found["queue"].state is State.AWAY
    assert found["GitHub sign-in"].state is State.GOOD
    assert found["acme/models: the App's permissions"].state is State.GOOD
    assert [each.what for each in found.values() if "Redis" in each.says and each.state is not State.GOOD] == ["queue"]


def test_what_the_app_needs_is_enough_and_not_too_much(gateways: Gateways) -> None:
    assert [found.state for found in permissions(gateways)] == [State.GOOD]


@pytest.mark.parametrize("name", sorted(PERMISSIONS))
def test_each_permission_that_is_missing_is_named(
    gateways: Gateways, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delitem(APP_PERMISSIONS, name)
    (found,) = permissions(gateways)
    assert found.state is State.BAD
    assert f"give it {name}: {PERMISSIONS[name][0]}" in found.says


@pytest.mark.parametrize("name", sorted(n for n, (level, _) in PERMISSIONS.items() if level == "write"))
def test_reading_is_not_enough_where_the_bot_writes(
    gateways: Gateways, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(APP_PERMISSIONS, name, "read")
    (found,) = permissions(gateways)
    assert f"give it {name}: write" in found.says


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("administration", "read"),
        ("actions", "read"),
        ("workflows", "write"),
        ("secrets", "read"),
        ("statuses", "write"),
        ("members", "write"),
        ("contents", "admin"),
        ("merge_queues", "write"),
    ],
)
def test_each_permission_that_is_too_much_is_named(
    gateways: Gateways, monkeypatch: pytest.MonkeyPatch, name: str, level: str
) -> None:
    monkeypatch.setitem(APP_PERMISSIONS, name, level)
    (found,) = permissions(gateways)
    assert found.state is State.UNKNOWN
    assert f"more than it needs: {name}: {level}" in found.says


def test_a_merge_queue_may_be_read(gateways: Gateways, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(APP_PERMISSIONS, "merge_queues", "read")
    assert [found.state for found in permissions(gateways)] == [State.GOOD]


def test_the_documentation_names_the_same_permissions() -> None:
    section = OPERATIONS.read_text().partition("## The App's permissions")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([a-z ()]+) \| (read|write)(, optional)? \| (.+) \|$", section, re.MULTILINE)
    names = {"commit statuses": "statuses", "members (organisation)": "members"}
    said = {
        names.get(name, name.replace(" ", "_")): (level, why, bool(optional)) for name, level, optional, why in rows
    }
    wanted = {name: (level, why, False) for name, (level, why) in PERMISSIONS.items()}
    assert said == wanted | {name: (level, why, True) for name, (level, why) in OPTIONAL.items()}


def test_the_stand_in_grants_what_the_bot_says_it_needs() -> None:
    assert {name: level for name, (level, _) in PERMISSIONS.items()} == APP_PERMISSIONS
