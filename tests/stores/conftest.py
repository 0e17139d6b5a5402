"""One server of each kind for all tests of stores; every test uses buckets and models of its own."""

from __future__ import annotations

import os
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient

from bot.sandbox.training import Recipe, train
from tests.registry_server import artifacts, client, mlflow, registry  # noqa: F401 - fixtures
from tests.stores.emulators import EMULATORS, STORE_VARIABLES, Emulator, NotInstalled
from tests.tools import is_missing

KINDS = ("local", "proxy", *EMULATORS)


@pytest.fixture(scope="session")
def emulators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Emulator]]:
    """The emulator of a kind, started when it is first asked for."""
    started: dict[str, Emulator] = {}
    with ExitStack() as stack:

        def emulator(kind: str) -> Emulator:
            if kind not in started:
                try:
                    started[kind] = stack.enter_context(EMULATORS[kind](tmp_path_factory.mktemp(kind)))
                except NotInstalled as missing:
                    is_missing("emulators", str(missing))
            return started[kind]

        yield emulator


@pytest.fixture
def without_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment in which no store's client finds anything."""
    for name in list(os.environ):
        if name.startswith(STORE_VARIABLES):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))


@dataclass(frozen=True)
class Place:
    """Somewhere that models can be logged to, and the variables with which its client gets there."""

    kind: str
    uri: str
    environment: Mapping[str, str]
    emulator: Emulator | None = None


@pytest.fixture
def place_of(
    emulators: Callable[[str], Emulator],
    without_credentials: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Callable[[str], Place]:
    """A fresh place in a store of the kind, with this process able to get there."""

    def place(kind: str) -> Place:
        if kind == "local":
            return Place(kind, (tmp_path / "store").as_uri(), {})
        if kind == "proxy":
            return Place(kind, f"mlflow-artifacts:/{uuid.uuid4().hex}", {})
        emulator = emulators(kind)
        bucket = f"models-{uuid.uuid4().hex[:12]}"
        emulator.make(bucket)
        for name, value in emulator.environment.items():
            monkeypatch.setenv(name, value)
        return Place(kind, emulator.place(bucket, "team a"), emulator.environment, emulator)

    return place


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, place_of: Callable[[str], Place]) -> Place:
    """Each kind of store in its turn."""
    return place_of(request.param)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scikit-learn model as MLflow saves it."""
    import mlflow.sklearn

    folder = tmp_path_factory.mktemp("trained") / "model"
    good = train(Recipe.GOOD)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.sklearn.save_model(
            good.model, str(folder), input_example=good.example, pip_requirements=["scikit-learn"]
        )
    return folder


@pytest.fixture
def logged(client: MlflowClient) -> Callable[..., tuple[str, int]]:
    """A finished run that logged a model of the files below a directory to a place, registered: its name and number."""

    def log(place: Place, files: Path, name: str = "") -> tuple[str, int]:
        name = name or f"model-{uuid.uuid4().hex[:12]}"
        experiment = client.create_experiment(uuid.uuid4().hex, artifact_location=place.uri)
        run = client.create_run(experiment)
        model = client.create_logged_model(experiment, name="model", source_run_id=run.info.run_id)
        client.log_model_artifacts(model.model_id, str(files))
        client.finalize_logged_model(model.model_id, "READY")
        client.set_terminated(run.info.run_id)
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
        version = client.create_model_version(
            name, f"models:/{model.model_id}", run.info.run_id, model_id=model.model_id
        )
        return name, int(version.version)

    return log
