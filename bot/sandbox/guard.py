"""Servers of the demo and the tests that must not outlive the program that started them."""

from __future__ import annotations

import subprocess
from typing import Final

# It ends with a line, or does its work at the end of the pipe, which comes when nobody holds the other side any more.
_WATCH: Final = 'read -r released || kill -s KILL -- "-$1"'


class Guard:
    """Kills a group of processes when this process ends without `release`, by whatever signal.

    A handler would not do: nothing runs after SIGKILL, and Python runs nothing after SIGTERM either. What Linux sends
    at a parent's death reaches one process, not those that it started.
    """

    def __init__(self, group: int) -> None:
        self._watcher: Final = subprocess.Popen(
            ["/bin/sh", "-c", _WATCH, "sh", str(group)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl+C is for the program alone
        )

    def release(self) -> None:
        """The group has been ended."""
        self._watcher.communicate(b"\n")
