"""The manifest's digest of a version's files, several of them read at once.

It is the SHA-256 of the lines `<file sha256 hex>  <relative posix path>`, sorted by path bytes, each ended by a
newline; the lines are what `sha256sum` prints.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TypeVar

from bot.gateways.artifacts.store import StoredFile

T = TypeVar("T")
Through = Callable[[StoredFile, Iterator[bytes]], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class ArtifactDigest:
    """What a version's files are: `digest` as in the manifest, `size` in bytes, `files` sorted by path bytes."""

    digest: str
    size: int
    files: tuple[str, ...]


def unchanged(_file: StoredFile, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Chunks that nobody else looks at."""
    return chunks


def digest(files: Sequence[StoredFile], through: Through = unchanged) -> ArtifactDigest:
    """Read each file once, `through` something that sees its chunks too, and digest them all."""
    return summed(files, hash_each(files, through))


def summed(files: Sequence[StoredFile], hashes: Mapping[str, str]) -> ArtifactDigest:
    """The digest of files whose hashes (hex, by path) are known."""
    return ArtifactDigest(
        digest=f"sha256:{hashlib.sha256(lines(hashes)).hexdigest()}",
        size=sum(file.size for file in files),
        files=in_order(hashes),
    )


def lines(hashes: Mapping[str, str]) -> bytes:
    """What `sha256sum` prints for files of these hashes (hex, by path): the digest is the SHA-256 of it."""
    return b"".join(f"{hashes[path]}  {path}\n".encode() for path in in_order(hashes))


def in_order(paths: Mapping[str, object]) -> tuple[str, ...]:
    """Paths sorted by their bytes."""
    return tuple(sorted(paths, key=str.encode))


def hash_each(files: Sequence[StoredFile], through: Through = unchanged) -> dict[str, str]:
    """The SHA-256 of each file, in hex, by path."""

    def one(file: StoredFile, stopped: threading.Event) -> str:
        whole = hashlib.sha256()
        for chunk in through(file, file.chunks()):
            if stopped.is_set():
                break
            whole.update(chunk)
        return whole.hexdigest()

    return side_by_side(files, one)


def side_by_side(files: Sequence[StoredFile], work: Callable[[StoredFile, threading.Event], T]) -> dict[str, T]:
    """What `work` makes of each file, by path, as many at once as their store likes.

    What goes wrong with one is raised, and the event tells the others that nobody waits for them any more.
    """
    stopped = threading.Event()
    # The largest first: at the end nobody waits for one that was begun last.
    ordered = sorted(files, key=lambda file: file.size, reverse=True)
    pool = ThreadPoolExecutor(max((file.store.at_once for file in files), default=1), "artifacts")
    try:
        begun = {file.path: pool.submit(work, file, stopped) for file in ordered}
        wait(begun.values(), return_when=FIRST_EXCEPTION)
        failed = next((future for future in begun.values() if future.done() and future.exception()), None)
        if failed is not None:
            failed.result()
        return {path: future.result() for path, future in begun.items()}
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)
