"""The worker as it runs: a real `promotion-bot worker` with its whole process tree, which can be killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
# A process that has imported everything and forks a worker for each line it reads: a restart takes no five seconds.
NURSERY = textwrap.dedent(
    """
    import os, sys
    from bot import wiring
    import workers.jobs, workers.process
    from bot.cli import main
    wiring.preload()
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os.setsid()
            os.close(0)
            sys.argv = ["promotion-bot", "worker", "--workers", "2"]
            try:
                main()
            finally:
                os._exit(1)
        print(pid, flush=True)
        os.waitpid(pid, 0)
        print("ended", flush=True)
    """
)


class WorkerTree:
    """`promotion-bot worker --workers 2`, not started yet; what it says is added to `log`."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        self._supervisor: psutil.Process | None = None
        self._sessions: list[int] = []  # of the supervisors, with all that they forked
        with log.open("a") as output:
            self._nursery = subprocess.Popen(
                [sys.executable, "-c", NURSERY],
                cwd=ROOT,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
            )

    def start(self) -> None:
        """Start the worker."""
        assert self._nursery.stdin is not None
        self._nursery.stdin.write("start\n")
        self._nursery.stdin.flush()
        self._supervisor = psutil.Process(int(self._hear()))
        self._sessions = [*filter(_members, self._sessions), self._supervisor.pid]  # a number may be given anew

    def below(self) -> list[psutil.Process]:
        """The processes below the supervisor: scheduler, workers, and their work-horses."""
        assert self._supervisor is not None
        return self._supervisor.children(recursive=True)

    def kill(self) -> None:
        """SIGKILL for the supervisor and everything below it; returns when all are dead."""
        self.kill_supervisor()
        _end_session(self._sessions.pop())

    def kill_supervisor(self) -> None:
        """SIGKILL for the supervisor alone: what is below it ends when its job has ended."""
        assert self._supervisor is not None
        with contextlib.suppress(psutil.NoSuchProcess):
            self._supervisor.send_signal(signal.SIGKILL)
        assert self._hear() == "ended"
        self._supervisor = None

    def restart(self) -> None:
        """Kill it, and start it again."""
        self.kill()
        self.start()

    def close(self) -> None:
        """End it and everything that it ever started."""
        self._nursery.kill()
        for session in self._sessions:
            _end_session(session)
        self._nursery.wait(60)

    def _hear(self) -> str:
        assert self._nursery.stdout is not None
        return self._nursery.stdout.readline().strip()


def _end_session(leader: int) -> None:
    """SIGKILL for all processes of a session, those too that are forked meanwhile; returns when none is left."""
    deadline = time.monotonic() + 60
    while members := _members(leader):
        assert time.monotonic() < deadline, f"they do not end: {members}"
        for process in members:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(members, 1)


def _members(leader: int) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _is_of(process, leader)]


def _is_of(process: psutil.Process, leader: int) -> bool:
    try:
        return os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False
