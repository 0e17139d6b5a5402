"""The story of a model in each kind of store: trained and registered by the example, promoted, downloaded, verified."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from bot.cli import cli
from bot.gateways.embedded_redis import embedded_redis
from bot.sandbox.mlflow_server import MlflowServer
from bot.settings import Secret
from tests.documentation.company import MODEL, at_a_terminal, company
from tests.examples.training import Training, copied
from tests.stores.conftest import Place
from tests.stores.digests import sha256sum

pytestmark = pytest.mark.timeout(900)  # programs that import MLflow


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory, mlflow: MlflowServer) -> Training:
    """The example's training repository, from a clean commit."""
    training = copied(tmp_path_factory.mktemp("team") / "breast-cancer", mlflow.url)
    training.ok("./setup-dvc.sh")
    training.ok("python", "prepare.py")
    return training


@pytest.fixture(scope="module")
def cache_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secret]:
    with embedded_redis(tmp_path_factory.mktemp("valkey")) as url:
        yield url


def test_what_the_example_trains_goes_to_production_and_comes_back_as_it_was(
    place: Place, team: Training, mlflow: MlflowServer, cache_url: Secret, tmp_path: Path
) -> None:
    with company(mlflow.url, cache_url) as built:
        experiment = f"trained for {place.kind}"
        number = built.mlflow.create_experiment(experiment, artifact_location=place.uri)
        options = ("--experiment-name", experiment, "--model-type", "logistic_regression")
        person = {**place.environment, "LOGNAME": "dana"}
        team.ok("python", "train.py", *options, **person)
        assert team.ok("python", "register.py", team.run_id(), **person) == "1"
        (logged,) = built.mlflow.search_logged_models([number])
        assert logged.artifact_location.startswith(place.uri)

        built.to_production(1)
        target = tmp_path / "model"
        done = CliRunner().invoke(
            cli,
            ["download", MODEL, "--environment", "production", "--to", str(target), "--json"],
            env=at_a_terminal(built, tmp_path),
        )

        assert done.exit_code == 0, done.output
        assert (built.stage(1), json.loads(done.stdout)["verified"]) == ("Production", True)
        entry = built.manifest().entry(MODEL, "production")
        assert entry.digest == sha256sum(target) == sha256sum(team.folder / "models/model")
