"""A directory of this machine, read in place; nothing is followed out of it."""

from __future__ import annotations

import os
import posixpath
import shutil
import stat
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

from bot.domain.errors import Refused, Service, Unreachable
from bot.gateways.artifacts.store import CHUNK, DirectoryStore, Entry
from bot.gateways.mlflow_api import redacted, summary

# More readers than a disk and the hashing keep busy would only wait for each other.
_MOST_AT_ONCE: Final = 4


class LocalStore(DirectoryStore):
    """The files below one directory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.at_once = min(_MOST_AT_ONCE, os.cpu_count() or 1)

    def entries(self, directory: str) -> list[Entry]:
        """What is right below a directory; nothing where it is not there."""
        try:
            with os.scandir(self._root / directory) as found:
                items = list(found)
            return [entry for item in items if (entry := self._entry(posixpath.join(directory, item.name), item))]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise Unreachable(
                f"The artifact store at {self._root} could not be read: {summary(error)}", service=Service.ARTIFACTS
            ) from None

    def _entry(self, path: str, item: os.DirEntry[str]) -> Entry | None:
        """What an item is; None where it went while its directory was read, as what another process still writes."""
        try:
            status = item.stat(follow_symlinks=False)
        except FileNotFoundError:
            return None
        if stat.S_ISDIR(status.st_mode):
            return Entry(path, is_directory=True)
        if not stat.S_ISREG(status.st_mode):
            raise Refused(f"{path!r} in {self._root} is a link or a device; a model holds plain files only.")
        return Entry(path, status.st_size, mark=f"{status.st_ino}-{status.st_mtime_ns}")

    def chunks(self, entry: Entry) -> Generator[bytes, None, None]:
        """The content, never through a link."""
        try:
            descriptor = os.open(self._root / entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 -- an open descriptor
                while chunk := file.read(CHUNK):
                    yield chunk
        except OSError as error:
            raise Unreachable(
                f"{entry.path!r} in {self._root} could not be read: {summary(error)}", service=Service.ARTIFACTS
            ) from None

    def put(self, path: str, file: Path) -> None:
        """Store a copy of a file; it has its name only once all of it is on the disk."""
        place = self._root / path
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=place.parent, prefix=".")
            try:
                with file.open("rb") as content, open(descriptor, "wb") as written:  # noqa: PTH123
                    shutil.copyfileobj(content, written, CHUNK)
                    written.flush()
                    os.fsync(written.fileno())
                Path(name).replace(place)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise Refused(f"{place} could not be written: {summary(error)}") from error


def path_of(uri: str, whose: str) -> Path:
    """The directory that a path or `file:` URI names; `whose` files they are is for the message."""
    parts = urlsplit(uri)
    if parts.scheme == "file" and parts.netloc not in {"", "localhost"}:
        raise Refused(f"{whose} has its files on another machine's disk: {redacted(uri)!r}.")
    return Path(url2pathname(parts.path) if parts.scheme == "file" else uri)


def expect_model(root: Path, uri: str, whose: str) -> Path:
    """The directory, if it is a model's: whoever registers a version could name any directory of this machine."""
    if not (root / "MLmodel").is_file():
        raise Refused(
            f"{whose} has no MLmodel file at {redacted(uri)!r} on the bot's disk. If the tracking server "
            "does not serve its artifacts, the bot needs the same directory at the same place."
        )
    return root
