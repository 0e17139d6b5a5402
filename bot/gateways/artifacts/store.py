"""What every kind of store can do, and what is never taken from one: paths that lead elsewhere, files cut short."""

from __future__ import annotations

import posixpath
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from bot.domain.errors import Refused, Service, Unreachable

CHUNK: Final = 1024 * 1024  # bytes
_DEEPEST: Final = 32


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or directory; `path` is relative to the store's root, `size` in bytes, 0 for a directory.

    `mark` changes whenever the content does (an ETag, a generation, the time of the last write); it is empty where the
    store says no such thing.
    """

    path: str
    size: int = 0
    is_directory: bool = False
    mark: str = ""


class Store(Protocol):
    """Somewhere that holds files below one root. `at_once` is how many of them are worth reading side by side."""

    at_once: int

    def walk(self, below: str = "") -> Iterator[Entry]:
        """Every file below the root, or below a directory of it, and, where the store has them, every directory."""

    def find(self, path: str) -> Entry | None:
        """The file of exactly that path."""

    def chunks(self, entry: Entry) -> Generator[bytes, None, None]:
        """The content of a file that `walk` or `find` named."""


class WritableStore(Store, Protocol):
    """A store that takes files too, each whole or not at all; nothing is ever removed from it."""

    def put(self, path: str, file: Path) -> None:
        """Store a file under a path, over what is there."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a version and where it can be read; `called` is its path in the version where the store's differs."""

    store: Store
    entry: Entry
    called: str = ""

    @property
    def path(self) -> str:
        """Relative to the version's root."""
        return self.called or self.entry.path

    @property
    def size(self) -> int:
        """Bytes, as listed."""
        return self.entry.size

    def chunks(self) -> Generator[bytes, None, None]:
        """The content; Unreachable where it is not as long as the listing said, which a later look settles."""
        read = 0
        with closing(self.store.chunks(self.entry)) as chunks:
            for chunk in chunks:
                read += len(chunk)
                if read > self.size:
                    break
                yield chunk
        if read != self.size:
            raise Unreachable(
                f"The file {self.path!r} was not read whole, or changed meanwhile.", service=Service.ARTIFACTS
            )

    def read(self, max_bytes: int) -> bytes:
        """The whole content; Refused where it is larger."""
        if self.size > max_bytes:
            raise Refused(f"The file {self.path!r} has {self.size} bytes, more than the {max_bytes} that are read.")
        return b"".join(self.chunks())


class DirectoryStore:
    """A store that lists one directory at a time."""

    def entries(self, directory: str) -> list[Entry]:
        """Files and directories right below a directory, whose paths begin with it."""
        raise NotImplementedError

    def walk(self, below: str = "") -> Iterator[Entry]:
        """Every file and directory; Refused where the store lists what is not below the directory asked for."""
        waiting = [below]
        while waiting:
            directory = waiting.pop()
            for entry in self.entries(directory):
                check_path(entry.path)
                if posixpath.dirname(entry.path) != directory:
                    raise Refused(f"The artifact store lists {entry.path!r} in the directory {directory!r}.")
                if entry.is_directory:
                    waiting.append(entry.path)
                yield entry

    def find(self, path: str) -> Entry | None:
        """The file of exactly that path."""
        found = self.entries(posixpath.dirname(path))
        return next((entry for entry in found if entry.path == path and not entry.is_directory), None)


def check_path(path: str) -> None:
    """Refuse what leads out of a directory, and what `sha256sum` would have to escape."""
    parts = path.split("/")
    if not all(parts) or len(parts) > _DEEPEST or {".", ".."} & set(parts):
        raise Refused(f"The path {path!r} of an artifact leads elsewhere or too deep; such a version is not read.")
    try:
        path.encode()
    except UnicodeEncodeError:
        raise Refused(f"The path {path!r} of an artifact is not Unicode; such a version is not read.") from None
    if "\\" in path or any(ord(character) < 32 or ord(character) == 127 for character in path):
        raise Refused(f"The path {path!r} of an artifact has control characters or backslashes.")
