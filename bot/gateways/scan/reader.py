"""Bytes of a hostile file: read a little at a time, and no more of them than were allowed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, Final

_CHUNK: Final = 1 << 20
_LONGEST_LINE: Final = 1 << 16


class CannotScan(Exception):
    """A file that cannot be looked into, so that nobody can say what it does. The message says why."""


class NoPickle(Exception):
    """What was read is no pickle, or ends within one."""


@dataclass
class Budget:
    """How much may still be read, decompressed, and walked over, of all files of a version together."""

    bytes_left: int
    opcodes_left: int

    def spend_bytes(self, count: int) -> None:
        """Raise CannotScan when more is read than was allowed."""
        self.bytes_left -= count
        if self.bytes_left < 0:
            raise CannotScan("holds more than can be looked at once it is decompressed")

    def spend_opcode(self) -> None:
        """Raise CannotScan when a pickle has more steps than was allowed."""
        self.opcodes_left -= 1
        if self.opcodes_left < 0:
            raise CannotScan("has more pickled objects than can be looked at")


class Reader:
    """A file as `pickletools` reads it, with limits. Raises NoPickle where the file ends too early."""

    def __init__(self, file: IO[bytes], budget: Budget) -> None:
        self._file = file
        self.budget = budget

    def read(self, count: int) -> bytes:
        """Exactly `count` bytes, or as many as are left."""
        if count > _CHUNK:
            raise NoPickle(f"a value of {count} bytes")
        data = self._file.read(count)
        self.budget.spend_bytes(len(data))
        return data

    def readline(self) -> bytes:
        """One line, with its end."""
        line = self._file.readline(_LONGEST_LINE)
        self.budget.spend_bytes(len(line))
        if len(line) >= _LONGEST_LINE:
            raise NoPickle("a line without end")
        return line

    def exactly(self, count: int) -> bytes:
        """`count` bytes."""
        data = self.read(count)
        if len(data) != count:
            raise NoPickle("it ends within a value")
        return data

    def number(self, width: int) -> int:
        """An unsigned little-endian number of `width` bytes."""
        return int.from_bytes(self.exactly(width), "little")

    def skip(self, count: int) -> None:
        """Pass over `count` bytes."""
        while count > 0:
            count -= len(self.exactly(min(count, _CHUNK)))

    def at_end(self) -> bool:
        """Whether nothing follows."""
        data = self._file.read(1)
        if data:
            self._file.seek(-1, 1)
        return not data
