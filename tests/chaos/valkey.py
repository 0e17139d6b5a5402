"""The embedded queue's server on a disk of its own, which can be killed, emptied, and run out of space."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import redis

from bot.gateways.embedded_redis import embedded_redis
from bot.gateways.redis_connection import connect

_SIZE: Final = 2 << 30  # bytes; memory is taken only for what is written


class Disk:
    """A small file system in memory; `can_fill` is False where this user may not mount one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        owner = f"uid={os.getuid()},gid={os.getgid()},mode=700"
        self.can_fill = _mount("-t", "tmpfs", "-o", f"size={_SIZE},{owner}", "tmpfs", str(folder))

    def fill(self) -> None:
        """Leave no space: the next write is answered with ENOSPC."""
        while not self._resize(shutil.disk_usage(self.folder).used):
            continue  # something was written since the look, for which that is too small

    def free(self) -> None:
        """Give the space back."""
        self._resize(_SIZE)

    def close(self) -> None:
        """Unmount it; what was on it is gone."""
        unmount(self.folder)

    def _resize(self, size: int) -> bool:
        return _mount("-o", f"remount,size={size}", str(self.folder))


def unmount(folder: Path) -> None:
    """Unmount a disk, if it is one."""
    if folder.is_mount():
        subprocess.run([*_as_root(), "umount", "--lazy", str(folder)], check=False)


class Valkey:
    """A server that runs from the beginning; its data stays when it is killed."""

    def __init__(self, folder: Path) -> None:
        self.disk = Disk(folder)
        self._running = ExitStack()
        self.url = self._running.enter_context(embedded_redis(folder))
        self.connection: redis.Redis = connect(self.url)

    def kill(self) -> None:
        """SIGKILL."""
        information = self.connection.info("server")
        os.kill(int(information["process_id"]), signal.SIGKILL)  # type: ignore[index]

    def start(self) -> None:
        """Start it again, on the data that it left behind, at the same address."""
        self._running.close()
        self._running.enter_context(embedded_redis(self.disk.folder))

    def empty(self) -> None:
        """FLUSHALL."""
        self.connection.flushall()

    @property
    def refuses_writes(self) -> bool:
        """Whether it says so: MISCONF, since what it is told could not be kept."""
        try:
            self.connection.set("chaos:probe", b"1")
        except redis.exceptions.ResponseError as error:
            return "MISCONF" in str(error)
        return False

    def close(self) -> None:
        self._running.close()
        self.disk.close()


@contextmanager
def running_valkey(folder: Path) -> Iterator[Valkey]:
    """A server while the context lasts."""
    valkey = Valkey(folder)
    try:
        yield valkey
    finally:
        valkey.close()


def _mount(*arguments: str) -> bool:
    with contextlib.suppress(OSError):
        return subprocess.run([*_as_root(), "mount", *arguments], check=False, capture_output=True).returncode == 0
    return False


def _as_root() -> list[str]:
    return [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
