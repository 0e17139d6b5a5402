"""A real model in each kind of store: logged by MLflow's client, digested, scanned, downloaded, loaded elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from bot.cli import cli
from bot.domain.errors import Refused
from bot.gateways.artifacts.copies import Copies, Original
from bot.gateways.artifacts.opening import open_place
from bot.gateways.scan import scan_directory
from tests.stores.conftest import Place
from tests.stores.digests import sha256sum

LOAD = """
import sys, warnings
warnings.simplefilter("ignore")
import mlflow.pyfunc
from sklearn.datasets import load_breast_cancer
features, labels = load_breast_cancer(return_X_y=True, as_frame=True)
for line in sys.stdin:
    predicted = mlflow.pyfunc.load_model(line.strip()).predict(features)
    print((predicted == labels).mean(), flush=True)
"""


@pytest.fixture(scope="module")
def accuracy() -> Iterator[Callable[[Path], float]]:
    """How good the model in a directory is, loaded by a process that has nothing but MLflow."""
    with subprocess.Popen(
        [sys.executable, "-c", LOAD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:

        def ask(directory: Path) -> float:
            other.stdin.write(f"{directory}\n")
            other.stdin.flush()
            return float(other.stdout.readline())

        yield ask
        other.stdin.close()


def test_a_model_is_digested_scanned_downloaded_and_loaded(
    place, trained, logged, registry, artifacts, mlflow, accuracy, tmp_path
):
    name, number = logged(place, trained)
    version = registry.model(name).version(number)
    target = tmp_path / "downloaded"

    found = artifacts.digest(version)
    assert found.digest == sha256sum(trained)
    assert registry.model_file(version).flavors == ("python_function", "sklearn")
    with artifacts.downloaded(version) as (directory, listed):
        assert listed == found
        assert scan_directory(directory, listed.files) == ()
    done = CliRunner().invoke(
        cli,
        ["download", name, "--version", str(number), "--to", str(target), "--json"],
        env={"MLFLOW_TRACKING_URI": mlflow.url, "PROMOTION_REPOSITORIES": ""},
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["digest"] == found.digest == sha256sum(target)
    assert accuracy(target) > 0.9


@pytest.mark.parametrize("kind", ["local", "s3", "gcs", "azure"])
def test_any_of_them_can_hold_the_copies(kind, place_of, trained, tmp_path, artifacts, registry, logged):
    name, number = logged(Place("proxy", "mlflow-artifacts:/originals", {}), trained)
    version = registry.model(name).version(number)
    digest = artifacts.digest(version).digest
    second = place_of(kind).uri
    original = Original(name, number, digest, lambda: artifacts.files(version))

    first = Copies(open_place(second)).bring(original)

    assert first.files == len(artifacts.listing(version))
    assert Copies(open_place(second)).bring(original).files == 0
    assert {f.path for f in Copies(open_place(second)).files(digest)} == {
        path for path, _ in artifacts.listing(version)
    }
    with pytest.raises(Refused, match="has no version with the digest"):
        Copies(open_place(second)).files(f"sha256:{0:064x}")
