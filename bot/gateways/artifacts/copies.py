"""A second store for the files of promoted versions, in which everything has the name of its own content.

    sha256/ab/cdef…                        a file, by the SHA-256 of its bytes, once however many versions have it
    sha256/2c/26b4…                        a version's list of files, the lines that `sha256sum` prints: its name is the
                                           digest that the manifest has
    versions/MODEL/12-2c26b46b68ff.json    which version has which digest, for people and for a search

A manifest's entry leads to the list, the list to the files, and each is verified by its own name. Nothing is removed.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Final
from urllib.parse import quote

from bot.domain.errors import Refused
from bot.gateways.artifacts.digest import lines, side_by_side
from bot.gateways.artifacts.store import Entry, StoredFile, WritableStore, check_path

_LISTED: Final = re.compile(r"([0-9a-f]{64})  (.+)")
_LONGEST_LIST: Final = 64 * 2**20  # bytes


class Check(Enum):
    """How what is at the second store already is looked at: every byte of it, or whether it is there."""

    CONTENT = "content"
    PRESENCE = "presence"


@dataclass(frozen=True, slots=True)
class Original:
    """A promoted version: its digest as the manifest has it, and how to find its files where MLflow keeps them."""

    model: str
    version: int
    digest: str
    files: Callable[[], Sequence[StoredFile]]


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy took: files and bytes that were written, and how many of the files were there but wrong."""

    files: int = 0
    bytes: int = 0
    mended: int = 0


class Copies:
    """The second store; what was looked at once is not looked at again while this lasts."""

    def __init__(self, store: WritableStore, check: Check = Check.CONTENT) -> None:
        self._store = store
        self._check = check
        ours = (entry for below in ("sha256", "versions") for entry in store.walk(below))
        self._there = {entry.path: entry for entry in ours if not entry.is_directory}
        self._right: dict[str, bool] = {}

    def files(self, digest: str) -> Sequence[StoredFile]:
        """The files of the version with that digest, under their own paths; Refused where it is not here whole."""
        listed = self._list_of(digest)
        if listed is None:
            raise Refused(f"the second store has no version with the digest {digest}")
        gone = sorted(path for path, name in listed.items() if _place(name) not in self._there)
        if gone:
            raise Refused(f"the second store lacks {gone[0]!r} of the version with the digest {digest}")
        return [StoredFile(self._store, self._there[_place(name)], called=path) for path, name in listed.items()]

    def bring(self, original: Original) -> Copied:
        """Copy what is missing or wrong; the originals are read only for that.

        Raises Refused where the originals are not what the manifest says; nothing then names them.
        """
        listed = self._list_of(original.digest)
        self._look_at((listed or {}).values())
        if listed is not None and all(self._right[name] for name in listed.values()):
            self._say_whose(original, listed)
            return Copied()
        list_is_damaged = listed is None and _place(_name(original.digest)) in self._there
        files = original.files()
        wanted = [f for f in files if listed is None or not self._right.get(listed.get(f.path, ""), False)]
        work = _Transfer(self)
        hashes = (listed or {}) | side_by_side(wanted, work.copy)
        if listed is not None:
            hashes = {file.path: hashes[file.path] for file in files}
        found = f"sha256:{hashlib.sha256(lines(hashes)).hexdigest()}"
        if found != original.digest:
            raise Refused(
                f"the files of version {original.version} of “{original.model}” have the digest {found}, the manifest"
                f" says {original.digest}: somebody changed them after they were promoted"
            )
        self._put_list(original.digest, hashes)
        self._say_whose(original, hashes)
        return replace(work.done, mended=work.done.mended + list_is_damaged)

    def is_right(self, name: str) -> bool:
        """Whether the file of that SHA-256 is there, and is what it is called."""
        if name not in self._right:
            entry = self._there.get(_place(name))
            self._right[name] = entry is not None and (
                self._check is Check.PRESENCE or _sha256(StoredFile(self._store, entry)) == name
            )
        return self._right[name]

    def put(self, name: str, file: Path) -> bool:
        """Store the file of that SHA-256; whether another one was in its place."""
        place = _place(name)
        self._store.put(place, file)
        was_there = place in self._there
        self._there[place] = Entry(place, file.stat().st_size)
        self._right[name] = True
        return was_there

    def _look_at(self, names: Iterable[str]) -> None:
        there = {_place(name): name for name in names if name not in self._right}
        files = [StoredFile(self._store, self._there[place]) for place in there if place in self._there]
        side_by_side(files, lambda file, _: self.is_right(there[file.path]))
        for name in there.values():
            self.is_right(name)

    def _list_of(self, digest: str) -> dict[str, str] | None:
        """The SHA-256 of each file by path; None where there is no list that is what it is called."""
        name = _name(digest)
        entry = self._there.get(_place(name))
        if entry is None:
            return None
        content = StoredFile(self._store, entry).read(_LONGEST_LIST)
        self._right[name] = hashlib.sha256(content).hexdigest() == name
        # A path may hold what `splitlines` takes for the end of a line too, such as U+2028.
        found = [_LISTED.fullmatch(line) for line in content.decode(errors="replace").removesuffix("\n").split("\n")]
        if not self._right[name] or not all(found):
            return None
        listed = {match[2]: match[1] for match in found if match}
        for path in listed:
            check_path(path)
        return listed

    def _put_list(self, digest: str, hashes: dict[str, str]) -> None:
        with _written(lines(hashes)) as file:
            self.put(_name(digest), file)

    def _say_whose(self, original: Original, hashes: dict[str, str]) -> None:
        """Write which version the list is of, unless it is said; after the list, so that it never leads nowhere."""
        place = f"versions/{_safe(original.model)}/{original.version}-{_name(original.digest)[:12]}.json"
        if place in self._there:
            return
        about = {
            "model": original.model,
            "version": original.version,
            "digest": original.digest,
            "files": len(hashes),
            "bytes": sum(self._there[_place(name)].size for name in hashes.values()),
        }
        with _written(f"{json.dumps(about, ensure_ascii=False, indent=2)}\n".encode()) as file:
            self._store.put(place, file)
            self._there[place] = Entry(place, file.stat().st_size)


class _Transfer:
    """One version on its way: what was written is counted over all threads."""

    def __init__(self, copies: Copies) -> None:
        self._copies = copies
        self._counting = threading.Lock()
        self.done = Copied()

    def copy(self, file: StoredFile, stopped: threading.Event) -> str:
        """Copy one file unless it is there under its name; its SHA-256 is known only once it is read."""
        whole = hashlib.sha256()
        try:
            with tempfile.NamedTemporaryFile(prefix="promotion-bot-") as local:
                for chunk in file.chunks():
                    if stopped.is_set():
                        return ""
                    whole.update(chunk)
                    local.write(chunk)
                local.flush()
                self._stored(whole.hexdigest(), file.size, Path(local.name))
        except OSError as error:
            raise Refused(
                f"{file.path!r} could not be kept in {tempfile.gettempdir()} on its way: {error.strerror or error};"
                " make room there, or set TMPDIR"
            ) from error
        return whole.hexdigest()

    def _stored(self, name: str, size: int, local: Path) -> None:
        if not self._copies.is_right(name):
            mended = self._copies.put(name, local)
            with self._counting:
                done = self.done
                self.done = Copied(done.files + 1, done.bytes + size, done.mended + mended)


@contextmanager
def _written(content: bytes) -> Iterator[Path]:
    """A file with the content, for as long as the context lasts."""
    with tempfile.NamedTemporaryFile(prefix="promotion-bot-") as local:
        local.write(content)
        local.flush()
        yield Path(local.name)


def _name(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _place(name: str) -> str:
    return f"sha256/{name[:2]}/{name[2:]}"


def _sha256(file: StoredFile) -> str:
    whole = hashlib.sha256()
    for chunk in file.chunks():
        whole.update(chunk)
    return whole.hexdigest()


def _safe(model: str) -> str:
    """A model's name, which may hold anything, as one part of a path."""
    quoted = quote(model, safe="")
    return quoted if quoted.strip(".") else quoted.replace(".", "%2E")
