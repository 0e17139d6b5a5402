"""`promotion-bot register` and `compare` against a real registry: what a data scientist does after training."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable
from dataclasses import replace

import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient

from bot.cli import cli
from bot.domain.errors import Refused
from bot.domain.versions import VersionStatus
from bot.gateways.registration import LINEAGE_TAGS, Registered, wait_until_ready
from bot.gateways.registry import TAG_VALUE_LIMIT, Registry
from tests.gateways.conftest import MLMODEL

Invoke = Callable[..., Result]
LINEAGE = {
    "git_commit": "0f1e2d3c4b",
    "git_branch": "main",
    "git_dirty": "false",
    "git_repository": "acme/training",
    "data_version": "data-v1.0",
    "data_hash": "md5:d41d8cd98f00b204e9800998ecf8427e",
    "data_path": "data/dataset.csv",
}


@pytest.fixture
def invoke(mlflow) -> Invoke:
    """`promotion-bot …` with nothing but the registry's address."""
    return lambda *arguments: CliRunner().invoke(cli, arguments, env={"MLFLOW_TRACKING_URI": mlflow.url})


@pytest.fixture
def name() -> str:
    return f"registering-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def run_id(client: MlflowClient) -> Callable[..., str]:
    """A run, finished unless said otherwise."""

    def make(status: str = "FINISHED", **tags: str) -> str:
        run = client.create_run("0", tags=tags).info.run_id
        if status != "RUNNING":
            client.set_terminated(run, status)
        return run

    return make


def test_a_runs_model_is_registered_with_its_lineage_once(invoke, name, run_id, log_model, client):
    run = run_id(**LINEAGE, model_type="random_forest", **{"mlflow.user": "dana"})
    model = log_model(run_id=run)

    first = invoke("register", run, name, "--description", "the first", "--tag", "team=risk", "--wait", "--json")

    assert first.exit_code == 0, first.exception
    assert json.loads(first.stdout) == {
        "model": name,
        "version": 1,
        "new": True,
        "status": "READY",
        "source": f"models:/{model.model_id}",
        "run_id": run,
        "tags": {**LINEAGE, "team": "risk"},
    }
    version = client.get_model_version(name, "1")
    assert (version.tags, version.description, version.run_id) == ({**LINEAGE, "team": "risk"}, "the first", run)
    assert set(LINEAGE) < set(LINEAGE_TAGS)

    second = invoke("register", run, name, "--description", "better said", "--tag", "team=fraud")
    assert f"{name} v1: there already, from run {run}" in second.stdout
    version = client.get_model_version(name, "1")
    assert (version.tags["team"], version.description) == ("fraud", "better said")
    assert len(client.search_model_versions(f"name = '{name}'")) == 1


def test_a_tag_that_is_too_long_is_cut(invoke, name, run_id, log_model, client):
    run = run_id()
    log_model(run_id=run)
    assert invoke("register", run, name, "--tag", f"note={'x' * 9_000}").exit_code == 0
    note = client.get_model_version(name, "1").tags["note"]
    assert (len(note), note[-2:]) == (TAG_VALUE_LIMIT, "x…")


def test_a_model_among_a_runs_artifacts_is_found(invoke, name, run_id, client, mlflow, registry, artifacts, tmp_path):
    run = run_id()
    for path in ("models/best", "plots"):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "models" / "best" / "MLmodel").write_bytes(MLMODEL)
    (tmp_path / "plots" / "roc.png").write_bytes(b"")
    client.log_artifacts(run, str(tmp_path))

    assert invoke("register", run, name).exit_code == 0
    assert invoke("register", run, name, "--json").exit_code == 0

    [version] = registry.model(name).versions
    assert version.source.endswith(f"{run}/artifacts/models/best")
    assert artifacts.listing(version) == (("MLmodel", len(MLMODEL)),)


def test_one_of_several_models_has_to_be_named(invoke, name, run_id, log_model, registry):
    run = run_id()
    one, other = log_model(run_id=run), log_model(run_id=run)

    several = invoke("register", run, name)
    assert isinstance(several.exception, Refused)
    assert f"“model” ({one.model_id})" in str(several.exception)
    assert "Say which with --path NAME, or its id" in str(several.exception)
    assert registry.model(name) is None, "nothing is begun that cannot be done"

    assert invoke("register", run, name, "--path", other.model_id).exit_code == 0
    assert registry.model(name).versions[0].source == f"models:/{other.model_id}"
    assert "has no model “nothing”" in str(invoke("register", run, name, "--path", "nothing").exception)


def test_what_cannot_be_registered_is_said(invoke, name, run_id, client, log_model):
    empty, running, deleted = run_id(), run_id("RUNNING"), run_id()
    log_model(run_id=deleted)
    client.delete_run(deleted)
    for run, options, said in (
        (uuid.uuid4().hex, (), "has no such thing"),
        ("../x", (), "refused to read the run"),
        (empty, (), "has logged no model: no artifact of it holds an MLmodel file"),
        (running, (), "is RUNNING; only what a finished run logged"),
        (deleted, (), "is deleted; restore it first"),
        (empty, ("--tag", "promotion.production.status=live"), "is one that the bot itself writes"),
        (empty, ("--tag", "validation_status=passed"), "is one that the bot itself writes"),
    ):
        refused = invoke("register", run, name, *options)
        assert isinstance(refused.exception, Refused), refused.output
        assert said in str(refused.exception)
    wrong = CliRunner().invoke(cli, ["register", empty, name, "--tag", "team"])
    assert wrong.exit_code == 2
    assert "“team” is not KEY=VALUE" in wrong.output


def test_waiting_ends_with_what_mlflow_says(registry, client, name, run_id, log_model, monkeypatch):
    run = run_id()
    model_id = log_model(run_id=run).model_id
    client.create_registered_model(name)
    client.create_model_version(name, f"models:/{model_id}", run, model_id=model_id)
    version = registry.model(name).version(1)
    states = iter([VersionStatus.PENDING_REGISTRATION, VersionStatus.READY])
    read = Registry.model

    def later(self: Registry, model: str):
        found = read(self, model)
        return replace(found, versions=(replace(found.versions[0], status=next(states)),))

    monkeypatch.setattr(Registry, "model", later)
    pending = Registered(replace(version, status=VersionStatus.PENDING_REGISTRATION), {}, is_new=True)
    assert wait_until_ready(registry, pending, lambda: True).status is VersionStatus.READY
    assert wait_until_ready(registry, pending, lambda: False).status is VersionStatus.PENDING_REGISTRATION
    failed = Registered(replace(version, status=VersionStatus.FAILED_REGISTRATION), {}, is_new=True)
    with pytest.raises(Refused, match="failed to register"):
        wait_until_ready(registry, failed, lambda: True)


def test_a_version_that_is_not_ready_in_time_is_said(invoke, name, run_id, log_model, monkeypatch):
    run = run_id()
    log_model(run_id=run)
    assert invoke("register", run, name).exit_code == 0
    read = Registry.model

    def pending(self: Registry, model: str):
        found = read(self, model)
        return replace(found, versions=(replace(found.versions[0], status=VersionStatus.PENDING_REGISTRATION),))

    monkeypatch.setattr(Registry, "model", pending)
    waited = invoke("register", run, name, "--wait", "--timeout", "1", "--json")
    assert waited.exit_code == 3
    assert json.loads(waited.stdout)["status"] == "PENDING_REGISTRATION"
    assert "it is not ready after 1 s" in waited.stderr


def test_a_version_that_failed_to_register_does_not_stand_in_the_way(invoke, name, run_id, log_model, monkeypatch):
    run = run_id()
    log_model(run_id=run)
    assert invoke("register", run, name).exit_code == 0
    read = Registry.model

    def first_failed(self: Registry, model: str):
        first, *others = read(self, model).versions
        failed = replace(first, status=VersionStatus.FAILED_REGISTRATION)
        return replace(read(self, model), versions=(failed, *others))

    monkeypatch.setattr(Registry, "model", first_failed)
    assert f"{name} v2: registered from run {run}" in invoke("register", run, name, "--wait").stdout
    assert f"{name} v2: there already" in invoke("register", run, name).stdout


# --- compare ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def two(invoke, name, run_id, log_model, client) -> str:
    """A model whose second version is better, larger, and learned from other data."""
    for accuracy, data, weights in ((0.91, "data-v1.0", b"1"), (0.955, "data-v2.0", b"22" * 1000)):
        run = run_id(data_version=data)
        client.log_metric(run, "accuracy", accuracy)
        client.log_metric(run, "cost", 3.0)
        client.log_param(run, "depth", data[-3])
        log_model({"MLmodel": MLMODEL, "model.bin": weights}, run_id=run)
        assert invoke("register", run, name).exit_code == 0
    return name


def test_two_versions_side_by_side(invoke, two, tmp_path):
    found = json.loads(invoke("compare", two, "1", "2", "--json").stdout)
    assert found["metrics"][0] == {"name": "accuracy", "before": 0.91, "after": 0.955}
    assert found["params"] == [{"name": "depth", "before": "1", "after": "2"}]
    assert found["data"] == [{"name": "data_version", "before": "data-v1.0", "after": "data-v2.0"}]
    assert found["size"] == [
        {"name": "bytes", "before": len(MLMODEL) + 1, "after": len(MLMODEL) + 2000},
        {"name": "files", "before": 2, "after": 2},
    ]
    assert found["signature"] == []

    table = invoke("compare", two, "1", "2").stdout
    assert "data-v2.0" in table
    assert f"{len(MLMODEL) + 2000:,}" in table
    assert "signature: the same" in table
    markdown = invoke("compare", two, "1", "2", "--markdown").stdout
    assert "| `accuracy` | 0.91 | 0.955 | ↑ +0.045 |" in markdown
    assert "| `data_version` | `data-v1.0` | `data-v2.0` |" in markdown
    assert "| Files | 2 | 2 |" in markdown


@pytest.fixture
def odd(invoke, name, run_id, log_model, client) -> str:
    """A model whose versions have numbers that are none, and no signature; a third one has no files at all."""
    for sign in (1, -1):
        run = run_id()
        for metric, value in (("nothing", math.nan), ("endless", sign * math.inf), ("errors", 0.0)):
            client.log_metric(run, metric, value)
        for number in range(60):
            client.log_metric(run, f"of_class_{number:02}", 0.5)
        log_model({"MLmodel": b"flavors: {}"}, run_id=run)
        assert invoke("register", run, name).exit_code == 0
    run = run_id()
    client.create_model_version(name, f"mlflow-artifacts:/0/{run}/artifacts/model", run)
    return name


def test_numbers_that_are_none_are_compared_as_such(invoke, odd, tmp_path, recwarn):
    def strict(constant: str) -> float:
        raise AssertionError(f"{constant} is not JSON")

    picture = tmp_path / "odd.png"
    done = invoke("compare", odd, "1", "2", "--json", "--plot", str(picture))
    found = json.loads(done.stdout, parse_constant=strict)
    metrics = {row["name"]: (row["before"], row["after"]) for row in found["metrics"]}
    assert metrics["nothing"] == ("NaN", "NaN")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert not [warning for warning in recwarn if "matplotlib" in warning.filename or "plot" in warning.filename]
    markdown = invoke("compare", odd, "1", "2", "--markdown").stdout
    assert "| `nothing` | nan | nan | – |" in markdown
    assert "| `endless` | 1.79769e+308 | -1.79769e+308 | – |" in markdown
    assert "… and 13 more" in markdown


def test_what_a_version_lacks_is_not_called_the_same(invoke, odd):
    assert "signature: neither has one" in invoke("compare", odd, "1", "2").stdout
    assert "Neither has a signature." in invoke("compare", odd, "1", "2", "--markdown").stdout
    gone = invoke("compare", odd, "2", "3", "--json")
    assert json.loads(gone.stdout)["size"][0] == {"name": "bytes", "before": 11, "after": None}
    assert "the size of version 3" in gone.stderr


def test_the_metrics_are_drawn(invoke, two, tmp_path):
    picture = tmp_path / "compared.png"
    assert invoke("compare", two, "1", "2", "--plot", str(picture)).exit_code == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 5_000
    refused = invoke("compare", two, "1", "2", "--plot", str(tmp_path / "no" / "compared.png"))
    assert "cannot be written" in str(refused.exception)
    assert invoke("compare", two, "1", "2", "--plot", "x.pdf").exit_code != 0
    assert invoke("compare", two, "1", "2", "--json", "--markdown").exit_code != 0
