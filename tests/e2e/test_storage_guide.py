"""The commands of docs/storage.md, run from the page in their order, with a real registry and an S3 server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.settings import AppCredentials, Secret
from tests.e2e.house import House, house
from tests.stores import emulators

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "storage.md").read_text(), re.DOTALL)
WEIGHTS = {"data/weights.bin": b"1" * 50_000}


@pytest.fixture
def built(registry_url: str, cache_url: Secret) -> Iterator[House]:
    with house(registry_url, cache_url, model="fraud-detector") as built:
        yield built


@pytest.fixture
def shell(built: House, tmp_path: Path):
    """A shell with `promotion-bot` on its path; what it prints, and where it stands."""
    settings = built.gateways.settings
    credentials = settings.github_credentials
    assert isinstance(credentials, AppCredentials)
    program, home = tmp_path / "bin" / "promotion-bot", tmp_path / "home"
    program.parent.mkdir()
    home.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bot.cli "$@"\n')
    program.chmod(0o755)
    with emulators.s3(tmp_path) as store:
        store.make("models-backup")
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(emulators.STORE_VARIABLES)},
            **store.environment,
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "MLFLOW_TRACKING_URI": settings.mlflow_tracking_uri,
            "GITHUB_API_URL": settings.github_api_url,
            "GITHUB_APP_ID": credentials.app_id,
            "GITHUB_APP_PRIVATE_KEY": credentials.private_key.reveal(),
            "PROMOTION_REPOSITORIES": ",".join(settings.repositories),
        }

        def run(block: str, **further: str) -> str:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", block],
                cwd=home,
                env={**environment, **further},
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
            return done.stdout

        yield run, home


@pytest.mark.slow
def test_the_guides_commands_do_what_it_says(built: House, shell) -> None:
    run, home = shell
    register, compare, download, digest, sync, back, by_hand = BLOCKS
    built.register(files=WEIGHTS)
    run_id = built.mlflow.get_model_version("fraud-detector", "1").run_id
    built.register(accuracy=0.97, files=WEIGHTS)
    built.event()
    entry = built.manifest().entry("fraud-detector", "staging")
    assert entry is not None
    (home / "versions.yaml").write_text(built.repository.file("versions.yaml") or "")

    assert "fraud-detector v1: there already, from run" in run(register, RUN_ID=run_id or "")
    assert built.tags(1)["team"] == "risk"
    assert "accuracy" in run(compare)
    assert "| `accuracy` | 0.95 | 0.97 |" in (home / "compared.md").read_text()
    assert (home / "compared.png").read_bytes().startswith(b"\x89PNG")
    assert "fraud-detector v2 (50,0" in run(download)
    assert f"sha256:{run(digest).split()[0]}" == entry.digest
    assert "1 version: 1 copied" in run(sync)
    run(back)
    run(by_hand)
    for restored in ("restored", "by-hand"):
        assert (home / restored / "data" / "weights.bin").read_bytes() == WEIGHTS["data/weights.bin"]
