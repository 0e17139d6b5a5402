"""The real server process: limits, slow senders, kept connections, an orderly end."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from bot.domain.keys import RepositoryKey
from bot.gateways.queue import WorkQueue
from bot.sandbox.ports import free_port
from bot.settings import Secret
from tests.conftest import wait_until
from tests.web.payloads import github, mlflow, model_event, push

ROOT = Path(__file__).parents[2]


def started(url: Secret, port: int, **further: str) -> subprocess.Popen[bytes]:
    """`promotion-bot web` with no more than it needs: neither GitHub's nor MLflow's credentials."""
    environment = {
        **os.environ,
        "MLFLOW_WEBHOOK_SECRET": "mlflow-new",
        "GITHUB_WEBHOOK_SECRET": "github-new",
        "PROMOTION_REPOSITORIES": "acme/models",
        "REDIS_URL": url.reveal(),
        **further,
    }
    return subprocess.Popen([sys.executable, "-m", "bot.cli", "web", "--port", str(port)], env=environment, cwd=ROOT)


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def server(valkey_url: Secret, port: int) -> Iterator[subprocess.Popen[bytes]]:
    process = started(valkey_url, port)
    try:
        wait_until(lambda: get(port, "/readyz") == 200, "the server is ready")
        wait_until(lambda: len(psutil.Process(process.pid).children()) >= 2, "both processes run")
        yield process
    finally:
        process.terminate()
        process.wait(60)


def get(port: int, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def send(port: int, head: str, body: bytes = b"") -> tuple[int, bytes]:
    """Status and body of the answer to what is sent as it is."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
        response = http.client.HTTPResponse(client)
        response.begin()
        return response.status, response.read()


@pytest.mark.usefixtures("server")
def test_a_signed_delivery_is_queued(port: int, valkey: redis.Redis) -> None:
    delivery = github("push", push())
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for _ in range(5):  # on one connection
        client.request("POST", "/webhooks/github", delivery["data"],
                       {**delivery["headers"], "Content-Type": "application/json"})  # fmt: skip
        response = client.getresponse()
        assert (response.status, response.read().startswith(b'{"status": 202')) == (202, True)
    assert [c.key for c in WorkQueue(valkey).claim()] == [RepositoryKey("acme/models")]


@pytest.mark.usefixtures("server")
def test_a_chunked_delivery_is_queued(port: int, valkey: redis.Redis) -> None:
    delivery = mlflow(model_event())
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    pieces = (delivery["data"][at : at + 10] for at in range(0, len(delivery["data"]), 10))
    client.request("POST", "/webhooks/mlflow", pieces,
                   {**delivery["headers"], "Content-Type": "application/json"}, encode_chunked=True)  # fmt: skip
    assert client.getresponse().status == 202
    assert valkey.zcard("promotion:inbox") == 1


@pytest.mark.usefixtures("server")
def test_what_says_that_it_is_too_large_is_refused_unread(port: int) -> None:
    assert send(port, "POST /webhooks/mlflow HTTP/1.1\nHost: x\nContent-Length: 1048577")[0] == 413
    assert send(port, "POST /webhooks/github HTTP/1.1\nHost: x\nContent-Length: 99999999999")[0] == 413


@pytest.mark.usefixtures("server")
def test_chunks_without_end_are_refused_at_the_limit(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(b"POST /webhooks/mlflow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        for _ in range(17):  # one more than 1 MB, and never the last one
            client.sendall(chunk)
        response = http.client.HTTPResponse(client)
        response.begin()
        assert response.status == 413


@pytest.mark.usefixtures("server")
def test_senders_that_never_finish_stop_nobody(port: int) -> None:
    head = (
        b"POST /webhooks/github HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    )
    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(30)]
    try:
        for client in slow:
            client.sendall(head)
        for _ in range(20):
            assert get(port, "/healthz") == 200
    finally:
        for client in slow:
            client.close()


@pytest.mark.usefixtures("server")
def test_a_header_with_an_underscore_does_not_pass_for_another(port: int) -> None:
    delivery = github("ping", {})
    body, signature = delivery["data"], delivery["headers"]["X-Hub-Signature-256"]
    head = (
        "POST /webhooks/github HTTP/1.1\nHost: x\nContent-Type: application/json\nX-GitHub-Event: ping\n"
        f"{{name}}: {signature}\nContent-Length: {len(body)}"
    )
    assert send(port, head.format(name="X-Hub-Signature-256"), body)[0] == 200
    assert send(port, head.format(name="X_Hub_Signature_256"), body)[0] == 401


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("path", ["/%", "/%00", "/%ff%fe", "/..%2f..", "/webhooks%252fgithub", "//x", "/healthz/"])
def test_odd_paths_are_not_found(port: int, path: str) -> None:
    assert send(port, f"GET {path} HTTP/1.1\nHost: x")[0] in (400, 404)


@pytest.mark.usefixtures("server")
def test_metrics_add_up_over_the_processes(port: int) -> None:
    before = refused(port)
    for _ in range(10):
        assert send(port, "POST /webhooks/github HTTP/1.1\nHost: x\nContent-Length: 0")[0] == 401
    assert refused(port) == before + 10


def test_metrics_may_have_a_port_of_their_own(valkey_url: Secret) -> None:
    port, measured = free_port(), free_port()
    process = started(valkey_url, port, PROMOTION_METRICS_PORT=str(measured), PROMOTION_BOARD_TOKEN="t" * 20)
    try:
        wait_until(lambda: get(port, "/readyz") == get(measured, "/metrics") == 200, "both ports answer")
        for _ in range(10):
            assert send(port, "POST /webhooks/github HTTP/1.1\nHost: x\nContent-Length: 0")[0] == 401
        assert refused(measured) == 10, "whichever process counted"
        assert get(port, "/metrics") == 401
        killed = listening(process.pid, measured)
        killed.kill()
        killed.wait(60)
        wait_until(lambda: get(measured, "/metrics") == 200, "another process measures")
        children = psutil.Process(process.pid).children(recursive=True)
    finally:
        process.terminate()
        assert process.wait(60) == 0
    wait_until(lambda: not any(child.is_running() for child in children), "nothing is left running")


def listening(parent: int, port: int) -> psutil.Process:
    """The child process that has a port."""
    children = psutil.Process(parent).children(recursive=True)
    (found,) = [p for p in children if port in {c.laddr.port for c in p.net_connections() if c.status == "LISTEN"}]
    return found


def refused(port: int) -> float:
    """How many deliveries to GitHub's endpoint had a wrong signature, as Prometheus reads it."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as response:
        lines = response.read().decode().splitlines()
    name = 'promotion_webhooks_total{event="unknown",source="github",status="401"} '
    return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))


def test_it_is_small(server: subprocess.Popen[bytes]) -> None:
    for process in [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]:
        assert process.memory_info().rss < 120 * 2**20


def test_it_ends_when_it_is_told_to(server: subprocess.Popen[bytes]) -> None:
    children = psutil.Process(server.pid).children(recursive=True)
    server.send_signal(signal.SIGTERM)
    assert server.wait(60) == 0
    wait_until(lambda: not any(child.is_running() for child in children), "nothing is left running")


def test_a_killed_server_leaves_no_process_behind(valkey_url: Secret) -> None:
    port = free_port()
    process = started(valkey_url, port, PROMOTION_METRICS_PORT=str(free_port()))
    wait_until(lambda: get(port, "/healthz") == 200, "the server is up")
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait(60)
    wait_until(lambda: not any(child.is_running() for child in children), "nothing is left running")
