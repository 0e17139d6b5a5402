"""The real server process: limits on what it reads, kept connections, a clean stop."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from bot.sandbox.mlflow_server import free_port
from bot.settings import Secret
from tests.conftest import wait_until


@pytest.fixture
def server(valkey_url: Secret, environ: dict[str, str]) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    port = free_port()
    command = [sys.executable, "-m", "bot.cli", "web", "--port", str(port)]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("GITHUB_", "MLFLOW_", "PROMOTION_"))}
    process = subprocess.Popen(command, env={**inherited, **environ, "REDIS_URL": valkey_url.reveal()})
    try:
        wait_until(lambda: _healthy(port), "the server answers")
        yield port, process
    finally:
        process.kill()
        process.wait()


def _healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def test_an_endless_body_is_not_read_beyond_the_limit(server: tuple[int, subprocess.Popen[bytes]]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server[0], timeout=20)
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(300):
            sent += 100_000
            yield b"x" * 100_000

    try:
        connection.request(
            "POST", "/webhooks/mlflow", body=endless(), headers={"Transfer-Encoding": "chunked"}, encode_chunked=True
        )
        assert connection.getresponse().status == 413
    except (BrokenPipeError, ConnectionResetError):
        assert sent < 30_000_000, "the server hung up on what nobody needs"
    finally:
        connection.close()


def test_an_announced_body_over_the_limit_is_refused_unread(server: tuple[int, subprocess.Popen[bytes]]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server[0], timeout=20)
    connection.putrequest("POST", "/webhooks/github")
    connection.putheader("Content-Length", "30000000")
    connection.endheaders(b"x" * 1000)
    assert connection.getresponse().status == 413
    connection.close()


def test_a_connection_is_kept(server: tuple[int, subprocess.Popen[bytes]]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server[0], timeout=20)
    ports = set()
    for _ in range(5):
        connection.request("GET", "/healthz")
        assert connection.getresponse().read()
        ports.add(connection.sock.getsockname()[1])
    assert len(ports) == 1
    connection.close()


def test_sigterm_stops_it_cleanly(server: tuple[int, subprocess.Popen[bytes]]) -> None:
    port, process = server
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 0
    assert not _healthy(port)
