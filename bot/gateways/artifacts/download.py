"""A version's files in a directory of this machine: whole, right and under its name, or not there at all.

What arrives is kept in `.NAME.partial` beside the target, which gets its name at the end. A download that was cut off
goes on where it stopped: a file counts as there if the store still says the same of it as when it arrived, or if the
manifest's digest, which covers every file, turns out right.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Final

from bot.domain.errors import Refused
from bot.gateways.artifacts.digest import ArtifactDigest, hash_each, summed
from bot.gateways.artifacts.local import LocalStore
from bot.gateways.artifacts.reader import without_download_mark
from bot.gateways.artifacts.store import CHUNK, StoredFile

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

Told = Callable[[int], None]


class Existing(Enum):
    """What becomes of another model's directory under the target's name."""

    STAYS = auto()
    IS_REPLACED = auto()


@dataclass(frozen=True, slots=True)
class Download:
    """What to bring: the files of `name` (for messages), and their digest where somebody vouches for one."""

    name: str
    files: Sequence[StoredFile]
    expected: str | None = None

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(file.size for file in self.files)


def nobody_listens(_count: int) -> None:
    """For downloads without a progress bar."""


def download(wanted: Download, target: Path, existing: Existing, told: Told = nobody_listens) -> ArtifactDigest:
    """Bring the files to `target`; `told` hears of bytes as they arrive, and of those that were there already.

    Raises Refused where another directory has the name, the files are not what was expected, or the disk is full.
    """
    if _is_taken(target):
        there = _digest_of_directory(target)
        if there is not None and there.digest == (wanted.expected or _digest_at_the_store(wanted)):
            told(wanted.size)
            return there
        _expect_replaceable(target, existing)
    with _explained(target), _partial(target) as partial:
        found = partial.complete(wanted, told)
        if _is_taken(target):  # maybe only since then
            _expect_replaceable(target, existing)
        _put_in_place(partial.files, target)
    return found


class _Partial:
    """The directory beside the target: `files` that are whole, those that arrive, and a line for each that is whole."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = root / "files"
        self._arriving = root / "arriving"
        self._record = root / "whole.jsonl"

    def complete(self, wanted: Download, told: Told) -> ArtifactDigest:
        """Fetch what is missing; a second time from the start where what was kept turns out not to belong to it."""
        kept = self._kept(wanted)
        found = self._fetched(wanted, kept, told)
        if found.digest != (wanted.expected or found.digest) and kept:
            shutil.rmtree(self.files)
            found = self._fetched(wanted, {}, nobody_listens)
        if found.digest != (wanted.expected or found.digest):
            shutil.rmtree(self.root)
            raise Refused(
                f"the files of {wanted.name} have the digest {found.digest}, the manifest says {wanted.expected}:"
                " somebody changed them after they were promoted. Nothing was kept of them"
            )
        return found

    def _fetched(self, wanted: Download, kept: dict[str, str], told: Told) -> ArtifactDigest:
        missing = [file for file in wanted.files if file.path not in kept]
        _expect_room(self.root, sum(file.size for file in missing))
        told(wanted.size - sum(file.size for file in missing))
        shutil.rmtree(self._arriving, ignore_errors=True)
        self._arriving.mkdir()
        self.files.mkdir(exist_ok=True)
        recording = threading.Lock()
        with self._record.open("a", encoding="utf-8") as record:

            def written(file: StoredFile, chunks: Iterator[bytes]) -> Iterator[bytes]:
                arriving = self._arriving / hashlib.sha256(file.path.encode()).hexdigest()
                with arriving.open("xb") as local:
                    for chunk in chunks:
                        local.write(chunk)
                        told(len(chunk))
                        yield chunk
                whole = self.files / file.path
                whole.parent.mkdir(parents=True, exist_ok=True)
                arriving.replace(whole)
                with recording:
                    record.write(json.dumps([file.path, file.size, file.entry.mark]) + "\n")
                    record.flush()

            hashes = hash_each(missing, written)
        return summed(wanted.files, kept | hashes)

    def _kept(self, wanted: Download) -> dict[str, str]:
        """The hashes of files that are whole and, as far as can be known, right; every other one is removed."""
        recorded = self._recorded()
        kept: dict[str, str] = {}
        files = {file.path: file for file in wanted.files}
        for path in [p for p in self.files.rglob("*") if p.is_symlink() or not p.is_dir()]:
            name = path.relative_to(self.files).as_posix()
            file, arrived = files.get(name), recorded.get(name)
            # Without a mark only the manifest's digest can tell that the content is still the same.
            telling = wanted.expected or (file and file.entry.mark)
            if file and telling and (file.size, file.entry.mark) == arrived and path.stat().st_size == file.size:
                kept[name] = _hash_of(path)
            else:
                path.unlink()
        return kept

    def _recorded(self) -> dict[str, tuple[int, str]]:
        try:
            lines = self._record.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return {}
        found = {}
        for line in lines:
            try:
                path, size, mark = json.loads(line)
            except ValueError:  # the last line of a process that was killed
                continue
            found[path] = (size, mark)
        return found


@contextmanager
def _partial(target: Path) -> Iterator[_Partial]:
    """The partial download beside the target, for one process at a time; gone when all went well."""
    root = target.parent / f".{target.name}.partial"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if root.is_symlink() or root.stat().st_uid != os.geteuid():
        raise Refused(f"{root} is a link or somebody else's: what arrived there may be anything; remove it")
    with _locked(root / "lock") as alone:
        if not alone:
            raise Refused(f"another download to {target} is under way")
        yield _Partial(root)
        shutil.rmtree(root, ignore_errors=True)  # the next download may begin there by now


@contextmanager
def _locked(file: Path) -> Iterator[bool]:
    """Whether nobody else holds the lock while this lasts; one that was taken away meanwhile is another's too."""
    with file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            alone = os.path.samestat(os.fstat(lock.fileno()), file.stat())
        except (BlockingIOError, FileNotFoundError):
            alone = False
        yield alone


def _put_in_place(files: Path, target: Path) -> None:
    """Give the directory its name; what had it before goes only once that is certain."""
    old = target.parent / f".{target.name}.replaced"
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
    try:
        files.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _is_taken(target: Path) -> bool:
    return target.is_symlink() or target.exists()


def _expect_replaceable(target: Path, existing: Existing) -> None:
    if existing is Existing.STAYS:
        raise Refused(f"{target} is there already and holds something else; name another directory, or say --force")
    if target.is_symlink() or not (target / "MLmodel").is_file():
        raise Refused(f"{target} is not a model's directory: even --force replaces nothing else")


def _expect_room(directory: Path, needed: int) -> None:
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise Refused(f"{needed:,} bytes are still to come, and the disk of {directory.parent} has {free:,} free")


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    """What this machine's disk says no to, as a refusal that names what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise Refused(
                f"the disk of {target.parent} is full ({error.strerror}): make room and say the same again; what "
                f"arrived is kept in .{target.name}.partial beside it"
            ) from error
        raise Refused(f"{error.filename or target} cannot be written: {error.strerror or error}") from error


def _digest_at_the_store(wanted: Download) -> str:
    return summed(wanted.files, hash_each(wanted.files)).digest


def _digest_of_directory(directory: Path) -> ArtifactDigest | None:
    """The digest of a model's directory; None where it is none, or holds what no model holds."""
    if directory.is_symlink() or not (directory / "MLmodel").is_file():
        return None
    store = LocalStore(directory)
    try:
        found = {entry.path: StoredFile(store, entry) for entry in store.walk() if not entry.is_directory}
        files = list(without_download_mark(found).values())
        return summed(files, hash_each(files))
    except Refused:
        return None


def _hash_of(path: Path) -> str:
    whole = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            whole.update(chunk)
    return whole.hexdigest()
