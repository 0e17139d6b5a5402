"""The command line from outside: quick help, exit codes, one message for what is wrong."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from bot.cli import exit_code
from bot.domain.errors import Misconfigured, Refused, Unreachable
from bot.sandbox.ports import free_port
from tests.conftest import wait_until

ROOT = Path(__file__).parents[2]


def promotion_bot(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    command = [sys.executable, "-m", "bot.cli", *arguments]
    return subprocess.run(command, env={**path, **environment}, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_help_lists_the_commands() -> None:
    done = promotion_bot("--help")
    assert done.returncode == 0
    for name in ("up", "web", "worker"):
        assert f"\n  {name} " in done.stdout


def test_help_imports_no_library_but_that_of_commands() -> None:
    """The others take seconds."""
    program = """
        import atexit, sys
        before = set(sys.modules)
        from bot.cli import main
        names = lambda: {name.partition(".")[0] for name in set(sys.modules) - before} - sys.stdlib_module_names
        atexit.register(lambda: print("imported:", sorted(names())))
        sys.argv[1:] = ["--help"]
        main()
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert "Usage:" in done.stdout
    assert done.stdout.endswith("imported: ['bot', 'click']\n")


def test_version() -> None:
    assert promotion_bot("--version").stdout.startswith("promotion-bot, version ")


def test_errors_have_their_exit_codes() -> None:
    assert [exit_code(error) for error in (Refused(""), Misconfigured(""), Unreachable(""))] == [1, 2, 3]


@pytest.mark.parametrize("arguments", [("nonsense",), ("up", "--port", "x"), ("web", "--port", "0"), ("up", "extra")])
def test_wrong_usage_is_2(arguments: tuple[str, ...]) -> None:
    assert promotion_bot(*arguments).returncode == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("lineage", "churn", "x"),
        ("compare", "churn", "v1", "0"),
        ("validate", "churn", "0", "--environment", "staging"),
        ("download", "churn", "--version", "1.4", "--to", "model"),
        ("rollback", "churn", "--in", "production", "--to", "9999999999"),
        ("promote", "churn@"),
    ],
)
def test_what_is_no_version_is_2_and_said(arguments: tuple[str, ...]) -> None:
    done = promotion_bot(*arguments)
    assert done.returncode == 2
    assert "is not a version such as 7 or v7" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "say exactly one of"),
        (("--version", "1", "--alias", "champion"), "say exactly one of"),
        (("--version", "1", "--from", "backup"), "--from needs --environment"),
    ],
)
def test_what_is_downloaded_has_to_be_said_in_one_way(arguments: tuple[str, ...], said: str) -> None:
    done = promotion_bot("download", "churn", "--to", "model", *arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_message_moves_no_terminal(tmp_path: Path) -> None:
    place = tmp_path / "\x1b[31m\u202e"
    place.mkdir()
    refused = promotion_bot("policy", "test", str(place))
    assert refused.returncode == 1
    assert f"there is no *.test.yaml in {tmp_path}/\\x1b[31m\\u202e\n" in refused.stderr


@pytest.mark.parametrize("command", ["up", "web", "worker"])
def test_missing_settings_are_2_and_named(command: str) -> None:
    done = promotion_bot(command)
    assert done.returncode == 2
    assert "PROMOTION_REPOSITORIES is missing" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["web", "worker"])
def test_a_command_that_shares_a_queue_says_that_it_needs_one(command: str, environ: dict[str, str]) -> None:
    done = promotion_bot(command, **environ)
    assert done.returncode == 2
    assert "REDIS_URL is missing" in done.stderr


def test_an_address_in_use_is_2(environ: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = promotion_bot("up", "--port", str(taken.getsockname()[1]), **environ)
    assert done.returncode == 2
    assert "--port" in done.stderr


def test_up_runs_everything_and_ends_when_told_to(environ: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "bot.cli", "up", "--port", str(port)]
    said, log = tmp_path / "said", tmp_path / "log"
    with said.open("w") as output, log.open("w") as errors:
        everything = {**os.environ, **environ}
        process = subprocess.Popen(command, env=everything, cwd=ROOT, stdout=output, stderr=errors)
    try:
        wait_until(lambda: "200 OK" in ask(port, "/readyz"), "it is ready")
        wait_until(lambda: 'promotion_jobs_total{kind="Repository"' in ask(port, "/metrics"), "a first look")
        family = psutil.Process(process.pid).children(recursive=True)
    finally:
        process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    wait_until(lambda: not any(child.is_running() for child in family), "nothing is left running")
    (listening,) = [line for line in log.read_text().splitlines() if f"Listening at: http://127.0.0.1:{port}" in line]
    assert json.loads(listening)["level"] == "info", "the web server's lines have the form of all others"
    assert said.read_text() == ""


def ask(port: int, path: str) -> str:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            parts = []
            while part := client.recv(65536):
                parts.append(part)
            return b"".join(parts).decode()
    except OSError:
        return ""
