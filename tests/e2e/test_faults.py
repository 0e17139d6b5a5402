"""What breaks on the way: vanished versions, MLflow away, a dying queue. It is said, or it only costs time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from bot.domain.actions import Action
from bot.domain.errors import Unreachable
from bot.domain.keys import ModelKey
from bot.gateways.embedded_redis import embedded_redis
from bot.gateways.redis_connection import connect
from bot.settings import Secret
from tests.e2e.house import FILES, House, everything, house, without_names
from tests.e2e.proxy import Proxy, Write
from tests.e2e.service import service
from tests.passing import end_leases
from workers.apply import Effects

# --- a version is deleted in MLflow -----------------------------------------------------------------------------------


def test_a_version_deleted_while_it_is_proposed_takes_its_pull_request_along(world: House) -> None:
    world.register()
    world.event()
    pull = world.proposed("production", 1)
    world.mlflow.delete_model_version(world.model, "1")
    world.settle()
    assert not pull.is_open
    assert "Closed without merging" in pull.body
    assert world.repository.branches() == ["main"]


def test_a_version_deleted_before_it_was_ever_live_takes_its_pull_request_along(
    registry_url: str, cache_url: Secret
) -> None:
    files = {"promotion.yaml": FILES["promotion.yaml"].replace("merge: auto", "merge: manual")}
    with house(registry_url, cache_url, files) as built:
        built.register()
        built.event()
        pull = built.proposed("staging", 1)
        built.mlflow.delete_model_version(built.model, "1")
        built.settle()
        assert not pull.is_open
        built.register()
        built.event()
        assert built.proposed("staging", 2).is_open, "the next one is proposed as ever"
        assert not pull.is_open


def test_a_model_deleted_with_all_its_versions_takes_its_pull_request_along(world: House) -> None:
    world.register()
    world.event()
    pull = world.proposed("production", 1)
    world.mlflow.delete_registered_model(world.model)
    world.settle()
    assert not pull.is_open
    (issue,) = world.repository.issues()
    assert "v1, live in staging, is not in the registry" in issue.title


def test_a_version_deleted_between_merge_and_effect_has_none_and_an_issue_says_so(world: House) -> None:
    world.register()
    world.event()
    pull = world.proposed("production", 1)
    world.approve_and_merge(pull)
    world.mlflow.delete_model_version(world.model, "1")
    world.settle()
    reasons = {issue.title.partition(": ")[2]: issue.body for issue in world.repository.issues()}
    assert set(reasons) == {"v1 in production has no effect", "v1, live in staging, is not in the registry"}
    assert "version 1 is not in the registry" in reasons["v1 in production has no effect"]
    assert "without effect" in pull.body
    assert world.repository.branches() == ["main"]
    assert world.repository.tags() == {}
    assert world.repository.releases() == []
    assert world.aliases() == {}
    before = len(world.repository.deployments()), len(world.repository.issues("all"))
    world.settle()
    assert (len(world.repository.deployments()), len(world.repository.issues("all"))) == before

    world.repository.revert(pull.number, as_user="alice").merge("alice")
    world.register()
    world.to_production(2)
    assert world.stage(2) == "Production"
    assert world.repository.issues() == [], "what is mended is not complained of any more"


def test_a_version_deleted_after_it_was_authorised_is_reported(world: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deleted in the middle: after the judgement was recorded, before the tag and release were made."""
    world.register()
    world.event()
    pull = world.proposed("production", 1)
    world.approve_and_merge(pull)
    _stop_before(world, monkeypatch, lambda action: type(action).__name__ == "CreateTag")
    world.mlflow.delete_model_version(world.model, "1")
    world.settle()
    assert "not in the registry any more" in pull.body
    titles = sorted(issue.title.partition(": ")[2] for issue in world.repository.issues())
    assert titles == [f"v1, live in {where}, is not in the registry" for where in ("production", "staging")]
    assert world.repository.tags() == {}
    assert world.repository.branches() == ["main"]


def test_a_version_deleted_while_it_is_live_is_reported_until_another_takes_its_place(world: House) -> None:
    world.register()
    pull = world.to_production(1)
    world.mlflow.delete_model_version(world.model, "1")
    world.settle()
    titles = sorted(issue.title.partition(": ")[2] for issue in world.repository.issues())
    assert titles == [f"v1, live in {where}, is not in the registry" for where in ("production", "staging")]
    assert "not in the registry any more" in pull.body
    before = everything(world)
    world.settle()
    assert everything(world) == before, "said once"

    world.register(accuracy=0.96)
    world.to_production(2)
    assert world.stage(2) == "Production"
    assert world.aliases() == {"staging": 2, "champion": 2}
    assert world.repository.issues() == []


def _stop_before(world: House, monkeypatch: pytest.MonkeyPatch, wanted: Callable[[Action], bool]) -> None:
    """A look at the model that is lost right before an effect."""
    apply = Effects.apply

    def applied(self: Effects, action: Action) -> None:
        if wanted(action):
            raise Unreachable("lost")
        apply(self, action)

    with monkeypatch.context() as patched:
        patched.setattr(Effects, "apply", applied)
        with pytest.raises(Unreachable):
            world.look(ModelKey(world.repository.repo.full_name, world.model))


# --- MLflow is away ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["before it is done", "after it is done"])
def test_mlflow_away_at_each_of_its_writes_costs_only_time(
    behind: tuple[House, Proxy], undisturbed: str, after: bool
) -> None:
    built, mlflow = behind
    seen: set[Write] = set()

    def goes_away(write: Write) -> None:
        mlflow.away = write not in seen
        seen.add(write)

    if after:
        mlflow.wrote = goes_away
    else:
        mlflow.before = goes_away
    built.register()
    _patiently(built, mlflow, built.event)
    built.approve_and_merge(built.proposed("production", 1))
    _patiently(built, mlflow, built.settle)
    assert len(seen) >= 10
    assert without_names(everything(built), built) == undisturbed


def test_mlflow_away_from_the_beginning_and_after_the_merge_is_waited_for(
    behind: tuple[House, Proxy], undisturbed: str
) -> None:
    built, mlflow = behind
    built.register()
    mlflow.away = True
    with pytest.raises(Unreachable, match="MLflow"):
        built.event()
    assert built.repository.pulls("all") == []
    mlflow.away = False
    built.event()
    pull = built.proposed("production", 1)
    built.approve_and_merge(pull)
    mlflow.away = True
    with pytest.raises(Unreachable, match="MLflow"):
        built.settle()
    assert built.repository.issues("all") == [], "nobody is blamed for it"
    assert built.stage(1) == "Staging"
    mlflow.away = False
    built.settle()
    assert without_names(everything(built), built) == undisturbed


def _patiently(built: House, mlflow: Proxy, step: Callable[[], None]) -> None:
    """What the queue does: try again, once MLflow is back."""
    for _ in range(60):
        try:
            step()
        except Unreachable:
            if not mlflow.away:
                raise
            mlflow.away = False
        else:
            return
    raise AssertionError("it never comes to an end")


# --- the queue dies ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_emptied_queue_at_each_write_costs_only_time(
    registry_url: str, cache_url: Secret, tmp_path: Path, undisturbed: str
) -> None:
    with service(registry_url, cache_url, tmp_path) as running:
        running.worker.start()
        running.disturb(lambda: connect(cache_url).flushall())
        running.story()
        assert without_names(everything(running.house), running.house) == undisturbed
        assert len(running.disturbed) >= 30


@pytest.mark.slow
def test_a_queue_that_dies_and_comes_back_costs_only_time(registry_url: str, tmp_path: Path, undisturbed: str) -> None:
    """Each third write it is gone, and comes back with what it had on disk."""
    with ExitStack() as everything_else:
        server = ExitStack()
        url = server.enter_context(embedded_redis(tmp_path))
        everything_else.callback(server.close)
        running = everything_else.enter_context(service(registry_url, url, tmp_path))

        def die_and_come_back() -> None:
            server.close()
            server.enter_context(embedded_redis(tmp_path))
            end_leases(connect(url))

        running.worker.start()
        running.disturb(die_and_come_back, every=3)
        running.story()
        assert without_names(everything(running.house), running.house) == undisturbed
        assert len(running.disturbed) >= 10
