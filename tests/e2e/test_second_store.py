"""A second store for disaster recovery: what `sync` copies, finds missing or damaged, and what comes back from it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from bot.domain.errors import Misconfigured, Refused
from bot.gateways.artifacts.store import Entry
from bot.gateways.artifacts.through_mlflow import ProxiedStore
from bot.settings import AppCredentials
from tests.conftest import wait_until
from tests.e2e.conftest import Run
from tests.e2e.house import House
from tests.e2e.proxy import proxied

ROOT = Path(__file__).parents[2]

WEIGHTS = b"1" * 100_000


@pytest.fixture
def second(tmp_path: Path) -> Path:
    return tmp_path / "second"


@pytest.fixture
def sync(run: Run, second: Path) -> Callable[..., tuple[int, list[dict[str, object]]]]:
    """`promotion-bot sync --json`: exit code and what it says of each version."""

    def sync(*options: str) -> tuple[int, list[dict[str, object]]]:
        done = run("sync", "--to", str(second), "--json", *options)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, json.loads(done.stdout)["versions"]

    return sync


def blobs(second: Path) -> dict[str, Path]:
    return {path.parent.name + path.name: path for path in second.glob("sha256/??/*")}


def test_only_what_is_missing_is_copied(world: House, run: Run, sync, second: Path) -> None:
    world.register(files={"weights.bin": WEIGHTS})
    world.to_production(1)

    code, [first] = sync()
    assert code == 0
    assert first | {"digest": None} == {
        "model": world.model,
        "version": 1,
        "digest": None,
        "environments": ["production", "staging"],
        "outcome": "copied",
        "files": 2,
        "bytes": len(WEIGHTS)
        + len(next(p for p in blobs(second).values() if b"model of" in p.read_bytes()).read_bytes()),
        "mended": 0,
        "problem": None,
    }
    entry = world.manifest().entry(world.model, "production")
    assert entry is not None
    assert entry.digest.removeprefix("sha256:") in blobs(second), "the manifest's digest is the name of the list"

    world.register(accuracy=0.97, files={"weights.bin": WEIGHTS})
    world.event()
    written = {name: path.stat().st_mtime_ns for name, path in blobs(second).items()}
    assert [(v["version"], v["outcome"], v["files"]) for v in sync()[1]] == [(1, "there", 0), (2, "copied", 1)]
    assert all(path.stat().st_mtime_ns == written[name] for name, path in blobs(second).items() if name in written)
    line = run("sync", "--to", str(second), "--environment", "production").stdout
    assert f"{world.model} v1 (production, {entry.digest[:19]}…): there\n1 version: 1 there\n" in line


def test_a_changed_byte_and_a_missing_file_are_found_and_mended(world: House, sync, second: Path) -> None:
    world.register(files={"weights.bin": WEIGHTS})
    world.event()
    sync()
    whole = {name: path.read_bytes() for name, path in blobs(second).items()}
    weights = next(path for path in blobs(second).values() if path.read_bytes() == WEIGHTS)
    weights.write_bytes(WEIGHTS[:-1] + b"2")

    assert [v["outcome"] for v in sync("--check", "presence")[1]] == ["there"]
    code, [found] = sync()

    assert (code, found["outcome"], found["mended"], found["files"]) == (0, "mended", 1, 1)
    weights.unlink()
    assert sync("--check", "presence")[1][0]["outcome"] == "copied"
    entry = world.manifest().entry(world.model, "staging")
    assert entry is not None
    blobs(second)[entry.digest.removeprefix("sha256:")].write_text("0  x\n")
    found = sync("--check", "presence")[1][0]
    assert (found["outcome"], found["mended"]) == ("mended", 1), "the list is always read"
    assert {name: path.read_bytes() for name, path in blobs(second).items()} == whole


def test_each_version_is_named_also_one_whose_files_are_there_as_anothers(world: House, sync, second: Path) -> None:
    for accuracy in (0.95, 0.96):
        world.register(accuracy=accuracy, files={"MLmodel": b"flavors: {}\n"})
        world.event()
    sync("--history")
    about = [json.loads(path.read_text()) for path in sorted(second.glob("versions/*/*.json"))]
    assert [(each["version"], each["files"], each["bytes"]) for each in about] == [(1, 1, 12), (2, 1, 12)]


def test_what_was_live_before_is_copied_where_it_is_asked_for(world: House, sync) -> None:
    world.register()
    world.event()
    world.register(accuracy=0.97)
    world.event()
    assert [v["version"] for v in sync("--environment", "staging")[1]] == [2]
    assert [v["version"] for v in sync("--environment", "staging", "--history")[1]] == [1, 2]


def test_a_model_comes_back_from_the_second_store_without_mlflow(
    world: House, run: Run, sync, second: Path, tmp_path: Path
) -> None:
    world.register(files={"data/weights.bin": WEIGHTS})
    world.event()
    sync()
    target = tmp_path / "back"
    download = (
        "download",
        world.model,
        "--environment",
        "staging",
        "--from",
        str(second),
        "--to",
        str(target),
        "--json",
    )

    done = run(*download, mlflow="http://127.0.0.1:9")

    assert done.exit_code == 0, done.exception
    assert json.loads(done.stdout)["verified"] is True
    assert (target / "data" / "weights.bin").read_bytes() == WEIGHTS
    shutil.rmtree(target)
    next(path for path in blobs(second).values() if path.read_bytes() == WEIGHTS).write_bytes(b"2" * 100_000)
    assert "somebody changed them" in str(run(*download).exception)
    assert not target.exists()


def test_what_cannot_be_copied_is_said_of_that_version_alone(world: House, run: Run, sync, second: Path) -> None:
    world.register()
    world.event()
    manifest = world.repository.file("versions.yaml") or ""
    entry = world.manifest().entry(world.model, "staging")
    assert entry is not None
    other = f"  {world.model}-gone:\n    staging:\n      version: 3\n      digest: {entry.digest[:-1]}0\n"
    world.repository.push({"versions.yaml": manifest.replace(entry.digest, f"sha256:{0:064x}") + other})

    code, found = sync()

    assert code == 1
    problems = {v["model"]: str(v["problem"]) for v in found}
    assert "somebody changed them after they were promoted" in problems[world.model]
    assert f"no model “{world.model}-gone”" in problems[f"{world.model}-gone"]
    assert not list(second.glob("versions/*/*")), "nothing names what is not right"
    again = run("sync", "--to", str(second))
    assert again.exit_code == 1
    assert "2 versions: 2 refused" in again.stdout


def test_while_mlflow_is_away_what_is_there_is_there_and_what_is_missing_waits(
    world: House, run: Run, sync, second: Path
) -> None:
    world.register()
    world.event()
    assert sync()[0] == 0
    world.register(accuracy=0.97)
    world.event()

    away = run("sync", "--to", str(second), "--history", "--json", mlflow="http://127.0.0.1:9")

    assert away.exit_code == 3
    found = json.loads(away.stdout)["versions"]
    assert [(v["version"], v["outcome"]) for v in found] == [(1, "there"), (2, "unreachable")]
    assert "127.0.0.1:9" in found[1]["problem"]
    assert [v["outcome"] for v in sync("--history")[1]] == ["there", "copied"]


def test_a_version_whose_run_was_deleted_is_copied_and_one_without_files_is_refused(world: House, sync) -> None:
    world.register()
    world.event()
    run_id = world.mlflow.get_model_version(world.model, "1").run_id
    world.mlflow.delete_run(run_id)
    assert sync()[1][0]["outcome"] == "copied"

    world.register(accuracy=0.97)
    world.event()
    source = world.mlflow.get_model_version(world.model, "2").source
    get_artifact_repository(source, tracking_uri=world.gateways.settings.mlflow_tracking_uri).delete_artifacts()
    code, found = sync()
    assert code == 1
    assert "has no files" in str(found[0]["problem"])


def test_a_right_that_is_missing_for_one_version_is_said_of_that_one(
    world: House, sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    for accuracy in (0.95, 0.97):
        world.register(accuracy=accuracy)
        world.event()
    read = ProxiedStore.entries
    asked = []

    def not_at_first(store: ProxiedStore, directory: str) -> list[Entry]:
        asked.append(directory)
        if len(asked) == 1:
            raise Misconfigured("It needs s3:ListBucket on models.")
        return read(store, directory)

    monkeypatch.setattr(ProxiedStore, "entries", not_at_first)
    code, found = sync("--history")
    assert code == 2
    assert [(v["outcome"], v["problem"]) for v in found] == [
        ("misconfigured", "It needs s3:ListBucket on models."),
        ("copied", None),
    ]


def test_a_sync_that_is_told_to_end_leaves_nothing_half_done_and_goes_on(
    world: House, second: Path, sync, tmp_path: Path
) -> None:
    world.register(files={"weights.bin": WEIGHTS, "slow.bin": b"2" * 10})
    world.event()
    on_the_way = tmp_path / "tmp"
    on_the_way.mkdir()
    settings = world.gateways.settings
    credentials = settings.github_credentials
    assert isinstance(credentials, AppCredentials)
    with proxied("mlflow", settings.mlflow_tracking_uri) as proxy:
        goes_on = threading.Event()

        def hold(said: str) -> None:
            if "/slow.bin" in said:
                goes_on.wait(120)

        proxy.fault = hold
        environment = {
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(on_the_way),
            "MLFLOW_TRACKING_URI": proxy.url,
            "GITHUB_API_URL": settings.github_api_url,
            "GITHUB_APP_ID": credentials.app_id,
            "GITHUB_APP_PRIVATE_KEY": credentials.private_key.reveal(),
            "PROMOTION_REPOSITORIES": ",".join(settings.repositories),
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "bot.cli", "sync", "--to", str(second)],
            env={**os.environ, **environment},
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            wait_until(lambda: len(blobs(second)) == 2 and list(on_the_way.iterdir()), "two of three files are there")
            process.terminate()
            goes_on.set()
            _, said = process.communicate(timeout=180)
        finally:
            process.kill()
    assert process.returncode == 143, said
    assert "the same command goes on" in said
    assert list(on_the_way.iterdir()) == []
    assert not (second / "versions").exists(), "nothing names what is not whole"
    code, [found] = sync()
    assert (code, found["outcome"], found["files"], found["bytes"]) == (0, "copied", 1, 10)


def test_what_cannot_be_done_is_said(world: House, run: Run, tmp_path: Path) -> None:
    world.register()
    world.event()
    for arguments, said in (
        (("ftp://host/x",), "is no store that can be written here"),
        (("wasbs://x",), "wasbs://CONTAINER@ACCOUNT"),
        ((str(tmp_path), "--environment", "stagin"), "did you mean “staging”"),
        ((str(tmp_path), "--repository", "a/b"), "is not among PROMOTION_REPOSITORIES"),
    ):
        done = run("sync", "--to", *arguments)
        assert isinstance(done.exception, Refused)
        assert said in str(done.exception)
    assert "--to is empty" in str(run("sync", "--to", "").output)
    done = run("sync", "--to", "/proc/nothing")
    assert done.exit_code == 1
    assert "could not be written" in done.stdout
