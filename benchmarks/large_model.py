"""Digest and scan of a 2 GB model on this machine's disk, beside `sha256sum` on the same file."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from bot.gateways.artifacts import Artifacts
from bot.gateways.registry import Registry
from bot.gateways.scan import scan_directory
from tests.memory import peak_memory

SIZE = 2 * 2**30  # bytes


def run() -> Iterator[tuple[str, str]]:
    """Seconds of each, the ratio of the digest's speed, and the largest memory of the process that did both."""
    with tempfile.TemporaryDirectory() as folder:
        file = _register(Path(folder))
        rounds = [(_sha256sum(file), _ours(folder)) for _ in range(3)]
    reference = min(seconds for seconds, _ in rounds)
    digest = min(ours["digest"] for _, ours in rounds)
    scan = min(ours["scan"] for _, ours in rounds)
    peak = max(ours["peak"] for _, ours in rounds)
    yield "sha256sum of a 2 GB file", f"{reference:.2f} s"
    yield "content digest of the model", f"{digest:.2f} s"
    yield "its speed against sha256sum (at least 80 %)", f"{reference / digest:.0%}"
    yield "scan for unsafe code", f"{scan:.2f} s"
    yield "largest memory of both (< 300 MB)", f"{peak / 2**20:.0f} MB"


def _register(folder: Path) -> Path:
    """A version whose one large file is a pickle of 2 GB of bytes, which a scanner has to walk past."""
    from mlflow import MlflowClient

    client = MlflowClient(_registry(folder))
    experiment = client.create_experiment("large", artifact_location=(folder / "artifacts").as_uri())
    run = client.create_run(experiment)
    model = Path(url2pathname(urlsplit(run.info.artifact_uri).path)) / "model"
    model.mkdir(parents=True)
    _write(model)
    client.create_registered_model("large")
    client.create_model_version("large", f"{run.info.artifact_uri}/model", run.info.run_id)
    return model / "model.pkl"


def _registry(folder: Path) -> str:
    return f"sqlite:///{folder}/mlflow.db"


def _write(model: Path) -> None:
    (model / "MLmodel").write_text("flavors: {}\n")
    block = os.urandom(2**20)
    with (model / "model.pkl").open("wb") as file:
        file.write(b"\x80\x05\x8e" + struct.pack("<Q", SIZE))
        for _ in range(SIZE // len(block)):
            file.write(block)
        file.write(b".")


def _sha256sum(file: Path) -> float:
    started = time.perf_counter()
    subprocess.run(["sha256sum", file], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def _ours(folder: str) -> dict[str, float]:
    """In a process of its own, whose memory is nobody else's."""
    answer = subprocess.run([sys.executable, "-m", __name__, folder], check=True, capture_output=True)
    measured: dict[str, float] = json.loads(answer.stdout)
    return measured


def _measure(folder: str) -> None:
    registry = Registry(_registry(Path(folder)))
    model = registry.model("large")
    version = model.version(1) if model else None
    assert version is not None
    artifacts = Artifacts(registry)
    started = time.perf_counter()
    digest = artifacts.digest(version)
    between = time.perf_counter()
    found = scan_directory(next(Path(folder).glob("artifacts/*/artifacts/model")), digest.files)
    ended = time.perf_counter()
    assert found == (), found
    print(json.dumps({"digest": between - started, "scan": ended - between, "peak": peak_memory()}))


if __name__ == "__main__":
    _measure(sys.argv[1])
