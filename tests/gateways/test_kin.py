"""A run's relatives at a real tracking server."""

from __future__ import annotations

import pytest
import requests
from mlflow import MlflowClient

from bot.domain.lineage import Kin, Origin, Training
from bot.gateways import kin
from bot.gateways.kin import Relatives
from bot.gateways.registry import Registry

HASH = "md5:" + "c" * 32


def origin(run_id: str, parent: str = "", **data: str) -> Origin:
    return Origin(data=data, code={}, model={}, circumstances={}, training=Training(run_id, parent=parent))


def start(client: MlflowClient, **tags: str) -> str:
    return str(client.create_run("0", tags={name.replace("__", "."): said for name, said in tags.items()}).info.run_id)


def test_relatives_share_the_parent_or_the_data(client: MlflowClient, registry: Registry) -> None:
    parent = str(client.create_run("0", run_name="sweep").info.run_id)
    mine = start(client, mlflow__parentRunId=parent, data_hash=HASH)
    sibling = start(client, mlflow__parentRunId=parent)
    same_data = start(client, data_hash=HASH)
    start(client, data_hash="md5:" + "d" * 32)
    found = Relatives(registry).of(origin(mine, parent, data_hash=HASH, data_version="v1"))
    assert found == Kin(False, "sweep", frozenset({mine, sibling}), frozenset({mine, same_data}))


def test_a_run_that_is_deleted_or_was_never_there(client: MlflowClient, registry: Registry) -> None:
    mine = start(client)
    client.delete_run(mine)
    assert Relatives(registry).of(origin(mine)).run_is_deleted
    assert Relatives(registry).of(origin("0" * 32)) == Kin()
    orphan = start(client, mlflow__parentRunId="0" * 32)
    assert Relatives(registry).of(origin(orphan, "0" * 32)).below_parent == {orphan}


@pytest.mark.parametrize("value", ["x' OR tags.a = '", '"', "a`b", "x\\", "%", "\n", "v" * 600])
def test_what_could_end_the_filter_is_not_searched_for(client: MlflowClient, registry: Registry, value: str) -> None:
    mine = start(client)
    assert Relatives(registry).of(origin(mine, value, data_version=value)) == Kin()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every request of this process."""
    paths: list[str] = []
    send = requests.Session.send

    def counting(session: requests.Session, request: requests.PreparedRequest, **options: object) -> requests.Response:
        paths.append(str(request.path_url))
        return send(session, request, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(requests.Session, "send", counting)
    return paths


def test_many_relatives_are_read_page_by_page(
    client: MlflowClient, registry: Registry, monkeypatch: pytest.MonkeyPatch, asked: list[str]
) -> None:
    monkeypatch.setattr(kin, "_RUNS_A_PAGE", 2)
    runs = {start(client, data_hash="md5:" + "e" * 32) for _ in range(5)}
    asked.clear()
    found = Relatives(registry).of(origin(next(iter(runs)), data_hash="md5:" + "e" * 32))
    assert found.on_same_data == runs
    assert len(asked) == 1 + 3
