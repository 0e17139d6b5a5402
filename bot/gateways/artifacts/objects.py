"""Object stores: keys instead of directories, ranges instead of streams, the same for S3, Google and Azure."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Final, Protocol

from bot.domain.errors import PromotionError, Refused
from bot.gateways.artifacts.store import Entry, check_path
from bot.gateways.mlflow_api import Missing

# A file of at most one part takes one request. Eight files at once, each with so many parts on the way, stay below
# 100 MB; a single large file is still read over several connections.
PART: Final = 4 * 1024 * 1024  # bytes
_PARTS_AHEAD: Final = 3
AT_ONCE: Final = 8
CONNECTIONS: Final = AT_ONCE * _PARTS_AHEAD


class Right(Enum):
    """What the store has to allow."""

    LIST = auto()
    FIND = auto()
    READ = auto()
    WRITE = auto()


@dataclass(frozen=True, slots=True)
class Object:
    """An object as listed; `mark` is its ETag or generation."""

    key: str
    size: int
    mark: str


class Bucket(Protocol):
    """One bucket or container, through the client of whoever runs it; errors are that client's own."""

    def list(self, prefix: str) -> Iterator[Object]:
        """Every object whose key begins with the prefix."""

    def head(self, key: str) -> Object | None:
        """One object, without its content; None where the store says that there is none."""

    def read(self, found: Object, start: int, stop: int) -> bytes:
        """The bytes from `start` up to `stop`, of the very content that was found."""

    def write(self, key: str, file: Path) -> None:
        """Make an object of a file, whole or not at all."""

    def translated(self, error: Exception, right: Right, task: str) -> PromotionError:
        """The product's error for one of the client's, when it was asked for what needs `right`."""


class ObjectStore:
    """The objects of a bucket below a prefix, as files."""

    at_once = AT_ONCE

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    def walk(self, below: str = "") -> Iterator[Entry]:
        """Every file; a request for each thousand or so."""
        prefix = self._prefix + (f"{below}/" if below else "")
        with self._asked(Right.LIST, f"list {prefix or 'everything'}"):
            for found in self._bucket.list(prefix):
                path = found.key.removeprefix(self._prefix)
                if path and not (path.endswith("/") and found.size == 0):  # such an object stands for a directory
                    check_path(path)
                    yield Entry(path, found.size, mark=found.mark)

    def find(self, path: str) -> Entry | None:
        """The file of exactly that path; one request."""
        try:
            with self._asked(Right.FIND, f"find {path!r}"):
                found = self._bucket.head(self._prefix + path)
        except Missing:
            return None
        return Entry(path, found.size, mark=found.mark) if found else None

    def find_in_bucket(self, path: str) -> Entry | None:
        """As `find`, with a second request where there is none: Missing is raised where it is the bucket that is gone.

        Most stores give one answer for both to a request without a body.
        """
        found = self.find(path)
        if found is None:
            with self._asked(Right.LIST, f"list {path!r}"):
                next(self._bucket.list(self._prefix + path), None)
        return found

    def chunks(self, entry: Entry) -> Generator[bytes, None, None]:
        """The content in parts, the next of which are on their way while one is looked at."""
        starts = range(0, entry.size, PART)
        if len(starts) <= 1:
            yield self._part(entry, 0)
            return
        with ThreadPoolExecutor(_PARTS_AHEAD, "artifact-parts") as pool:
            coming: deque[Future[bytes]] = deque()
            try:
                for start in starts:
                    coming.append(pool.submit(self._part, entry, start))
                    if len(coming) == _PARTS_AHEAD:
                        yield coming.popleft().result()
                while coming:
                    yield coming.popleft().result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def put(self, path: str, file: Path) -> None:
        """Store a file under a path, over what is there."""
        with self._asked(Right.WRITE, f"write {path!r}"):
            self._bucket.write(self._prefix + path, file)

    def _part(self, entry: Entry, start: int) -> bytes:
        if entry.size == 0:
            return b""
        stop = min(start + PART, entry.size)
        with self._asked(Right.READ, f"read {entry.path!r}"):
            return self._bucket.read(Object(self._prefix + entry.path, entry.size, entry.mark), start, stop)

    @contextmanager
    def _asked(self, right: Right, task: str) -> Iterator[None]:
        try:
            yield
        except PromotionError:
            raise
        except Exception as error:
            raise self._bucket.translated(error, right, task) from None


def expect_parts(scheme: str, bucket: str, example: str) -> str:
    """The name of the bucket in a URI; Refused where it names none."""
    if not bucket:
        raise Refused(f"A {scheme} address needs a bucket; for example: {example}")
    return bucket
