"""How fast a signed GitHub delivery of 10 KB is acknowledged, beside a bare Flask view that does the same work.

All servers run at once with two processes each and are measured in turns, so that what else the machine does meets all
of them; CPU per request says the most where the machine is busy.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from benchmarks.load import SECRET
from bot.gateways.embedded_redis import embedded_redis
from bot.sandbox.ports import free_port

ROUNDS: Final = 4
SECONDS: Final = 2.0  # a round
CONNECTIONS: Final = 32
PATH: Final = "/webhooks/github"
ROOT: Final = Path(__file__).parents[1]

_GRANIAN: Final = (sys.executable, "-m", "granian", "--workers", "2", "--factory", "--log-level", "error")
_OURS: Final = (sys.executable, "-m", "bot.cli", "web")
_BARE: Final = (*_GRANIAN, "--interface", "wsgi", "--blocking-threads", "1", "benchmarks.bare:application")
_GTHREAD: Final = (
    *(sys.executable, "-m", "gunicorn", "--log-level", "error", "--workers", "2", "--worker-class", "gthread"),
    *("--threads", "4", "--keep-alive", "30", "benchmarks.bare:application()"),
)


@dataclass
class Server:
    """A running server, its process tree, and what was measured of it."""

    name: str
    port: int
    process: psutil.Process
    rates: list[float] = field(default_factory=list)  # requests a second
    cpu: list[float] = field(default_factory=list)  # seconds a request
    p50: list[float] = field(default_factory=list)  # seconds
    p99: list[float] = field(default_factory=list)

    def tree(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]

    def used(self) -> float:
        return sum(sum(process.cpu_times()[:2]) for process in self.tree())

    def measure(self) -> None:
        before = self.used()
        arguments = [str(self.port), PATH, str(SECONDS), str(CONNECTIONS)]
        load = [sys.executable, "-m", "benchmarks.load", *arguments]
        done = subprocess.run(load, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60)
        result = json.loads(done.stdout)
        if result["failed"]:
            raise RuntimeError(f"{self.name} refused {result['failed']} deliveries")
        self.rates.append(result["answered"] / result["seconds"])
        self.cpu.append((self.used() - before) / result["answered"])
        self.p50.append(result["p50"])
        self.p99.append(result["p99"])


def run() -> list[tuple[str, str]]:
    """Lines of the table: what, measured."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        environment = {
            **os.environ,
            "REDIS_URL": stack.enter_context(embedded_redis(folder)).reveal(),
            "MLFLOW_WEBHOOK_SECRET": SECRET,
            "GITHUB_WEBHOOK_SECRET": SECRET,
            "PROMOTION_REPOSITORIES": "acme/models",
        }
        ours, bare, gthread = (
            stack.enter_context(_running(name, command, environment))
            for name, command in (("promotion-bot", _OURS), ("bare, granian", _BARE), ("bare, gthread", _GTHREAD))
        )
        servers = (ours, bare, gthread)
        for _ in range(ROUNDS):
            for server in servers:
                server.measure()
        largest = max(process.memory_info().rss for process in ours.tree())
        return [
            *(_row(server) for server in servers),
            ("throughput against bare, granian (≥ 70 %)", f"{_ratio(ours, bare):.0%}"),
            ("throughput against bare, gthread (> 100 %)", f"{_ratio(ours, gthread):.0%}"),
            ("CPU against bare, granian", f"{statistics.median(ours.cpu) / statistics.median(bare.cpu):.0%}"),
            ("largest web process, RSS (< 120 MB)", f"{largest / 2**20:.0f} MB"),
            ("promotion-bot --help, best of 5 (< 0.5 s)", f"{_help():.2f} s"),
        ]


def _row(server: Server) -> tuple[str, str]:
    middle = statistics.median
    return server.name, (
        f"{middle(server.rates):.0f}/s, p50 {middle(server.p50) * 1e3:.1f} ms, p99 {middle(server.p99) * 1e3:.1f} ms, "
        f"{middle(server.cpu) * 1e3:.2f} ms of CPU a request"
    )


def _ratio(one: Server, other: Server) -> float:
    """The middle one of the rounds' ratios: each round's servers met about the same machine."""
    return statistics.median(a / b for a, b in zip(one.rates, other.rates, strict=True))


def _help() -> float:
    def once() -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "bot.cli", "--help"], cwd=ROOT, check=True, capture_output=True)
        return time.perf_counter() - started

    return min(once() for _ in range(5))


@contextmanager
def _running(name: str, command: tuple[str, ...], environment: dict[str, str]) -> Iterator[Server]:
    port = free_port()
    address = ("--bind", f"127.0.0.1:{port}") if "gunicorn" in command else ("--port", str(port))
    process = subprocess.Popen([*command, *address], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not _listens(port):
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError(f"{name} does not start")
            time.sleep(0.05)
        time.sleep(1)  # for the second of the two processes
        yield Server(name, port, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(20)


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
