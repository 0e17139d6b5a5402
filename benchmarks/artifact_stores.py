"""Digest and download of a model of 1,000 files and 1 GB from each kind of store, beside the store's own client.

A download is compared with the client's download, a digest with reading the same files by the client and hashing each,
with nothing written, where the client can do that.

The stores are the emulators of the tests, on this machine, so what is compared is what the clients cost: theirs in one
process, ours in another. `BENCHMARK_MEGABYTES` makes the model smaller, `BENCHMARK_STORES` names some of the stores.
"""

from __future__ import annotations

import hashlib
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
from dataclasses import dataclass
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
THEIRS = ("their download", "their read")
WORK = (*THEIRS, "digest", "download")
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
                {what: place.measure(theirs_process if what in THEIRS else ours_process, what) for what in WORK}
                for _ in range(ROUNDS)
            ]
        theirs, their_read, digest, download = (min(each[what]["seconds"] for each in rounds) for what in WORK)
        processor = " / ".join(f"{min(each[what]['processor'] for each in rounds):.1f}" for what in WORK)
        yield f"{kind}: {CLIENTS[kind].download}", f"{MEGABYTES / theirs:.0f} MB/s"
        yield f"{kind}: {CLIENTS[kind].read}", f"{MEGABYTES / their_read:.0f} MB/s"
        yield f"{kind}: digest", f"{MEGABYTES / digest:.0f} MB/s"
        yield f"{kind}: download, digested", f"{MEGABYTES / download:.0f} MB/s"
        yield (
            f"{kind}: ratios to the client's read and download (at least 0.8)",
            f"{their_read / digest:.2f}, {theirs / download:.2f}",
        )
        yield f"{kind}: processor seconds of the client's download and read, digest, download", processor
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
        reader.stdin.write(f"{what}\t{self._folder}/target-{self._targets}\n")
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
    subprocess.run(["cp", "-r", urlsplit(uri).path, target], check=True)
    _sha256sum(target)


def _sha256sum(folder: Path) -> None:
    command = f"find {folder} -type f -print0 | xargs -0 sha256sum"
    subprocess.run(command, shell=True, check=True, stdout=subprocess.DEVNULL)


def _with_mlflow(uri: str, target: Path) -> None:
    import mlflow.artifacts

    target.mkdir()
    mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(target))


def _with_boto3(uri: str, target: Path) -> None:
    """As `aws s3 cp --recursive` does it: one transfer manager for all files."""
    from s3transfer.manager import TransferConfig, TransferManager

    client, bucket, keys = _s3(uri)
    paths = _paths(keys, urlsplit(uri).path.strip("/"), target)
    with TransferManager(client, TransferConfig(max_request_concurrency=CLIENTS_THREADS)) as manager:
        for started in [manager.download(bucket, key, str(path)) for key, path in paths.items()]:
            started.result()


def _read_with_boto3(uri: str, _target: Path) -> None:
    client, bucket, keys = _s3(uri)
    _at_once(keys, lambda key: hashlib.sha256(client.get_object(Bucket=bucket, Key=key)["Body"].read()))


def _s3(uri: str) -> tuple[Any, str, list[str]]:
    import boto3
    from botocore.config import Config

    client = boto3.client(
        "s3",
        endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"],
        config=Config(max_pool_connections=CLIENTS_THREADS),
    )
    bucket, prefix = urlsplit(uri).netloc, urlsplit(uri).path.strip("/")
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
    return client, bucket, [found["Key"] for page in pages for found in page["Contents"]]


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


def _read_with_google(uri: str, _target: Path) -> None:
    from google.cloud import storage
    from requests.adapters import HTTPAdapter

    client = storage.Client()
    client._http.mount("http://", HTTPAdapter(pool_maxsize=CLIENTS_THREADS))  # noqa: SLF001 -- as its documentation says
    bucket = client.bucket(urlsplit(uri).netloc)
    found = list(bucket.list_blobs(prefix=urlsplit(uri).path.strip("/") + "/"))
    _at_once(found, lambda blob: hashlib.sha256(blob.download_as_bytes()))


def _with_azure(uri: str, target: Path) -> None:
    container, names = _azure(uri)
    paths = _paths(names, urlsplit(uri).path.strip("/"), target)

    def one(name: str) -> None:
        with paths[name].open("wb") as file:
            container.download_blob(name).readinto(file)

    _at_once(names, one)


def _read_with_azure(uri: str, _target: Path) -> None:
    container, names = _azure(uri)
    _at_once(names, lambda name: hashlib.sha256(container.download_blob(name).readall()))


def _azure(uri: str) -> tuple[Any, list[str]]:
    from azure.storage.blob import BlobServiceClient

    service = BlobServiceClient.from_connection_string(os.environ["AZURE_STORAGE_CONNECTION_STRING"])
    container = service.get_container_client(urlsplit(uri).netloc.partition("@")[0])
    prefix = urlsplit(uri).path.strip("/")
    return container, [blob.name for blob in container.list_blobs(name_starts_with=f"{prefix}/")]


def _paths(names: list[str], prefix: str, target: Path) -> dict[str, Path]:
    """Where each object goes; its folder is there."""
    paths = {name: target / name.removeprefix(f"{prefix}/") for name in names}
    for folder in {path.parent for path in paths.values()}:
        folder.mkdir(parents=True, exist_ok=True)
    return paths


def _at_once(items: list[Any], one: Callable[[Any], Any]) -> None:
    """Each of them, as many at once as the client would; what comes of it is not kept."""

    def done(item: Any) -> None:  # noqa: ANN401 -- a name, or the client's object
        one(item)

    with ThreadPoolExecutor(CLIENTS_THREADS) as pool:
        list(pool.map(done, items))


@dataclass(frozen=True)
class Client:
    """What a store's own client does with a URI and a folder, and what that is called."""

    download: str
    downloads: Callable[[str, Path], None]
    read: str
    reads: Callable[[str, Path], None]


AT_ONCE = f"{CLIENTS_THREADS} at once"
CLIENTS: dict[str, Client] = {
    "local": Client(
        "cp -r, then sha256sum",
        _with_cp_and_sha256sum,
        "sha256sum, in place",
        lambda uri, _target: _sha256sum(Path(urlsplit(uri).path)),
    ),
    # MLflow's client reads nothing that it does not write.
    "proxy": Client(
        "MLflow's download_artifacts", _with_mlflow, "MLflow's download_artifacts, once more", _with_mlflow
    ),
    "s3": Client(
        f"boto3's transfer manager, {AT_ONCE}", _with_boto3, f"boto3's get_object, hashed, {AT_ONCE}", _read_with_boto3
    ),
    "gcs": Client(
        f"Google's transfer manager, {AT_ONCE}", _with_google, f"Google's download_as_bytes, hashed, {AT_ONCE}",
        _read_with_google,
    ),
    "azure": Client(
        f"Azure's download_blob into files, {AT_ONCE}", _with_azure, f"Azure's download_blob, hashed, {AT_ONCE}",
        _read_with_azure,
    ),
}  # fmt: skip


def _read(kind: str, uri: str) -> None:
    """Measure what each line of the input names, with where it goes; Python's start and imports are no part of it."""
    registry = Registry(os.environ["MLFLOW_TRACKING_URI"])
    model = registry.model("stores")
    version = model.version(1) if model else None
    assert version is not None
    artifacts = Artifacts(registry)
    artifacts.fetch(version, "MLmodel", 1_000)  # what is imported late is imported now
    for line in sys.stdin:
        what, _, path = line.rstrip("\n").partition("\t")
        target = Path(path)
        started, worked = time.perf_counter(), _processor()
        match what:
            case "their download":
                CLIENTS[kind].downloads(uri, target)
            case "their read":
                CLIENTS[kind].reads(uri, target)
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
