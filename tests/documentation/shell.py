"""One bash session for the blocks of a page: directories and variables last from one to the next."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.documentation.pages import Block, is_shown

LIMIT = 800.0  # seconds for a block


class Shell:
    """`bash` that stops at the first command that fails; a context manager that leaves no process behind."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._scripts = folder / "blocks"
        self._scripts.mkdir()
        self._log = folder / "output.txt"
        self._done, theirs = os.pipe()
        work = folder / "work"
        work.mkdir(exist_ok=True)
        with self._log.open("wb") as output:
            self._bash = subprocess.Popen(
                ["bash", "--noprofile", "--norc", "-euo", "pipefail"],
                cwd=work,
                env={**environment, "DONE": str(theirs)},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs],
                start_new_session=True,
            )
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._bash.pid, number)
            except ProcessLookupError:
                break
            try:
                self._bash.wait(60)
            except subprocess.TimeoutExpired:
                continue
        os.close(self._done)

    def run(self, block: Block) -> str:
        """Run a block and return what it printed; fails where a command fails or the page shows something else."""
        assert self._bash.stdin is not None
        script = self._scripts / f"{block.place.replace('/', '-')}.sh"
        script.write_text(block.code)
        before = self._log.stat().st_size
        self._bash.stdin.write(f'. "{script}" < /dev/null\necho done >&"$DONE"\n'.encode())
        self._bash.stdin.flush()
        ready, _, _ = select.select([self._done], [], [], LIMIT)
        well = bool(ready) and os.read(self._done, 100) == b"done\n"
        printed = self._log.read_bytes()[before:].decode(errors="replace")
        assert well, (
            f"{block.place}: {'a command failed' if ready else 'it goes on for ever'}:\n{block.code}\n{printed}"
        )
        assert is_shown(block.shown, printed), f"{block.place} shows\n{block.shown}\nand prints\n{printed}"
        return printed
