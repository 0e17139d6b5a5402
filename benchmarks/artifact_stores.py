"""Digest and download of a model of 1,000 files and 1 GB from each kind of store, beside the store's own client.

The stores are the emulators of the tests, on this machine, so what is compared is what the clients cost: theirs in one
process, ours in another. `BENCHMARK_MEGABYTES` makes the model smaller, `BENCHMARK_STORES` names some of the stores.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mlflow import MlflowClient

from bot.gateways.artifacts import Artifacts
from bot.gateways.artifacts.download import Download, Existing, download
from bot.gateways.artifacts.opening import open_place
from bot.gateways.registry import Registry
from bot.sandbox.mlflow_server import MlflowServer
from tests.memory import peak_memory
from tests.stores.emulators import EMULATORS, NotInstalled

MEGABYTES = int(os.environ.get("BENCHMARK_MEGABYTES", "1000"))
FILES = MEGABYTES  # of a megabyte each
KINDS = tuple(os.environ.get("BENCHMARK_STORES", "local,proxy,s3,gcs,azure").split(","))
ROUNDS = 3
WORK = ("theirs", "digest", "download")
# What `aws s3 cp` and `azcopy` do at once by default is of this order.
CLIENTS_THREADS = 10


def run() -> Iterator[tuple[str, str]]:
    """For each store the best of some rounds, taken in turns: throughput, ratios to the client's, processor, memory."""
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            try:
                place = _Place(kind, Path(folder), stack)
            except NotInstalled as missing:
                yield kind, str(missing)
                continue
            theirs_process, ours_process = (stack.enter_context(place.reader()) for _ in range(2))
            before = place.measure(ours_process, "nothing")["peak"]
            rounds = [
                {what: place.measure(theirs_process if what == "theirs" else ours_process, what) for what in WORK}
                for _ in range(ROUNDS)
            ]
        theirs, digest, download = (min(each[what]["seconds"] for each in rounds) for what in WORK)
        processor = " / ".join(f"{min(each[what]['processor'] for each in rounds):.1f}" for what in WORK)
        yield f"{kind}: {CLIENTS[kind][0]}", f"{MEGABYTES / theirs:.0f} MB/s"
        yield f"{kind}: digest", f"{MEGABYTES / digest:.0f} MB/s"
        yield f"{kind}: download, digested", f"{MEGABYTES / download:.0f} MB/s"
        yield f"{kind}: their ratios to the client (at least 0.8)", f"{theirs / digest:.2f}, {theirs / download:.2f}"
        yield f"{kind}: processor seconds of the client, digest, download", processor
        peak = max(each[what]["peak"] for each in rounds for what in ("digest", "download"))
        yield (
            f"{kind}: largest memory (< 300 MB), and with the libraries alone",
            f"{peak / 2**20:.0f} MB, {before / 2**20:.0f} MB",
        )


class _Place:
    """A registered version whose files are in a store of the kind, and the processes that read it."""

    def __init__(self, kind: str, folder: Path, stack: ExitStack) -> None:
        self._kind, self._folder, self._targets = kind, folder, 0
        source = folder / "source"
        _write(source)
        self._environment = dict(os.environ)
        server = stack.enter_context(MlflowServer(folder / "server", allow_webhooks=False))
        location = self._location(stack)
        self._environment["MLFLOW_TRACKING_URI"] = server.url
        # A server takes what it or its machine keeps only from the run's own directory.
        client = MlflowClient(server.url)
        run = client.create_run(client.create_experiment("stores", artifact_location=location))
        self._uri = f"{run.info.artifact_uri}/model"
        if kind == "proxy":
            shutil.copytree(source, server.artifacts / urlsplit(self._uri).path.lstrip("/"))
        else:
            _upload(source, self._uri)
        client.create_registered_model("stores")
        client.create_model_version("stores", self._uri, run.info.run_id)

    def _location(self, stack: ExitStack) -> str:
        """Where runs keep their artifacts: in the store of the kind, which runs while the stack lasts."""
        match self._kind:
            case "local":
                return (self._folder / "store").as_uri()
            case "proxy":
                return "mlflow-artifacts:/models"
            case _:
                emulator = stack.enter_context(EMULATORS[self._kind](self._folder))
                emulator.make("models")
                os.environ.update(emulator.environment)
                self._environment |= emulator.environment
                return emulator.place("models", "runs")

    def reader(self) -> subprocess.Popen[str]:
        """A process that measures what it is told to; closing its input ends it."""
        command = [sys.executable, "-m", __name__, self._kind, self._uri]
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self._environment, text=True
        )

    def measure(self, reader: subprocess.Popen[str], what: str) -> dict[str, float]:
        """Seconds that it took, and the largest memory of that process so far in bytes.

        What was written before is on the disk by then, and stays: a file system is slow to make files where it has
        just removed as many.
        """
        assert reader.stdin is not None
        assert reader.stdout is not None
        os.sync()
        self._targets += 1
        reader.stdin.write(f"{what} {self._folder}/target-{self._targets}\n")
        reader.stdin.flush()
        measured: dict[str, float] = json.loads(reader.stdout.readline())
        return measured


def _write(folder: Path) -> None:
    """Files in ten directories, all of them different."""
    block = os.urandom(1_000_000)
    for number in range(FILES):
        path = folder / f"part{number % 10}" / f"weights-{number:04}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(number.to_bytes(4, "big") + block[4:])
    (folder / "MLmodel").write_text("flavors: {}\n")


def _upload(source: Path, uri: str) -> None:
    store = open_place(uri)
    files = [path for path in source.rglob("*") if path.is_file()]
    with ThreadPoolExecutor(CLIENTS_THREADS) as pool:
        list(pool.map(lambda path: store.put(path.relative_to(source).as_posix(), path), files))  # type: ignore[arg-type]


# --- what a process of its own does -----------------------------------------------------------------------------------


def _with_cp_and_sha256sum(uri: str, target: Path) -> None:
    source = urlsplit(uri).path
    subprocess.run(["cp", "-r", source, target], check=True)
    subprocess.run(
        f"find {target} -type f -print0 | xargs -0 sha256sum", shell=True, check=True, stdout=subprocess.DEVNULL
    )


def _with_mlflow(uri: str, target: Path) -> None:
    import mlflow.artifacts

    target.mkdir()
    mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(target))


def _with_boto3(uri: str, target: Path) -> None:
    import boto3
    from botocore.config import Config

    client = boto3.client(
        "s3",
        endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"],
        config=Config(max_pool_connections=CLIENTS_THREADS),
    )
    bucket, prefix = urlsplit(uri).netloc, urlsplit(uri).path.strip("/")
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
    keys = [found["Key"] for page in pages for found in page["Contents"]]
    _each(keys, prefix, target, lambda key, path: client.download_file(bucket, key, str(path)))


def _with_google(uri: str, target: Path) -> None:
    from google.cloud import storage
    from google.cloud.storage import transfer_manager

    bucket = storage.Client().bucket(urlsplit(uri).netloc)
    prefix = urlsplit(uri).path.strip("/") + "/"
    names = [blob.name.removeprefix(prefix) for blob in bucket.list_blobs(prefix=prefix)]
    results = transfer_manager.download_many_to_path(
        bucket,
        names,
        str(target),
        blob_name_prefix=prefix,
        max_workers=CLIENTS_THREADS,
        worker_type=transfer_manager.THREAD,
        raise_exception=True,
    )
    assert len(results) == FILES + 1


def _with_azure(uri: str, target: Path) -> None:
    from azure.storage.blob import BlobServiceClient

    service = BlobServiceClient.from_connection_string(os.environ["AZURE_STORAGE_CONNECTION_STRING"])
    container = service.get_container_client(urlsplit(uri).netloc.partition("@")[0])
    prefix = urlsplit(uri).path.strip("/")

    def one(name: str, path: Path) -> None:
        with path.open("wb") as file:
            container.download_blob(name).readinto(file)

    _each([blob.name for blob in container.list_blobs(name_starts_with=f"{prefix}/")], prefix, target, one)


def _each(names: list[str], prefix: str, target: Path, one: Callable[[str, Path], Any]) -> None:
    paths = {name: target / name.removeprefix(f"{prefix}/") for name in names}
    for folder in {path.parent for path in paths.values()}:
        folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(CLIENTS_THREADS) as pool:
        list(pool.map(lambda name: one(name, paths[name]), names))


CLIENTS: dict[str, tuple[str, Callable[[str, Path], None]]] = {
    "local": ("cp -r, then sha256sum", _with_cp_and_sha256sum),
    "proxy": ("MLflow's download_artifacts", _with_mlflow),
    "s3": (f"boto3's download_file, {CLIENTS_THREADS} at once", _with_boto3),
    "gcs": (f"Google's transfer manager, {CLIENTS_THREADS} at once", _with_google),
    "azure": (f"Azure's download_blob, {CLIENTS_THREADS} at once", _with_azure),
}


def _read(kind: str, uri: str) -> None:
    """Measure what each line of the input names, with where it goes; Python's start and imports are no part of it."""
    registry = Registry(os.environ["MLFLOW_TRACKING_URI"])
    model = registry.model("stores")
    version = model.version(1) if model else None
    assert version is not None
    artifacts = Artifacts(registry)
    artifacts.fetch(version, "MLmodel", 1_000)  # what is imported late is imported now
    for line in sys.stdin:
        what, target = line.split()[0], Path(line.split()[1])
        started, worked = time.perf_counter(), _processor()
        match what:
            case "theirs":
                CLIENTS[kind][1](uri, target)
            case "digest":
                artifacts.digest(version)
            case "download":
                download(Download("the model", artifacts.files(version)), target, Existing.STAYS)
        seconds, processor = time.perf_counter() - started, _processor() - worked
        print(json.dumps({"seconds": seconds, "processor": processor, "peak": peak_memory()}), flush=True)


def _processor() -> float:
    """Seconds that this process and those that it started were on a processor; the store's are not in it."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


if __name__ == "__main__":
    _read(sys.argv[1], sys.argv[2])
