"""Whether a remote has a directory: its listing, and the objects that the listing names.

The object of a directory is a JSON list, `[{"md5": "…", "relpath": "a/b.png"}, …]`, whose own MD5 is its name. DVC
pushes it last, but whatever removes objects from a remote need not begin with it.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from bot.domain.errors import Refused, Unreachable
from bot.gateways.dvc.documents import Output
from bot.gateways.dvc.remotes import Remote
from policies.evidence import StoredDirectory, Unreadable

MOST_LOOKED_FOR: Final = 1000  # files of a directory, each a request
LARGEST_LISTING: Final = 32 * 1024 * 1024  # bytes; some 300,000 files
SECONDS: Final = 60  # for all of a directory's files
_AT_ONCE: Final = 8
_LONGEST_ROW: Final = 16 * 1024  # characters
_LONGEST_SHOWN: Final = 200

_MD5: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_BETWEEN: Final = re.compile(r"[ \t\r\n]*,[ \t\r\n]*")
_BEGINNING: Final = re.compile(r"[ \t\r\n]*\[[ \t\r\n]*")
_END: Final = re.compile(r"[ \t\r\n]*\][ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file of a directory: its path there, and the MD5 that is the name of its object."""

    path: str
    md5: str


def stored_directory(remote: Remote, output: Output) -> bool | StoredDirectory | Unreadable:
    """What the remote has of a directory; False where it has no listing of it. Raises as `Remote.has` does."""
    try:
        content = remote.read(output.place, LARGEST_LISTING)
        if content is None:
            return False
        first, count = parse_listing(content, output.md5)
    except Refused as refusal:
        return Unreadable(
            f"the listing of {output.path}, {output.place} in {remote.name}, cannot be read: {refusal}."
            " If it is damaged, remove it there and `dvc push` from a machine that has the directory"
        )
    missing = _first_missing(remote, output, first)
    return StoredDirectory(count, len(first), None if missing is None else missing.path)


def parse_listing(content: bytes, md5: str) -> tuple[Sequence[ListedFile], int]:
    """The first files of a listing, at most MOST_LOOKED_FOR of them, and how many there are. Raises Refused.

    Row by row, so that memory stays at some of the content's size whatever is nested there.
    """
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5.removesuffix(".dir"):
        raise Refused("its content is not what its name, the MD5 of it, says")
    try:
        rows = _rows(content.decode("utf-8"))
        first = list(itertools.islice(rows, MOST_LOOKED_FOR))
        return first, len(first) + sum(1 for _ in rows)
    except (
        ValueError,
        RecursionError,
    ) as error:  # no UTF-8, no JSON; too many levels
        raise Refused("it is no JSON list of files") from error


def _rows(text: str) -> Iterator[ListedFile]:
    decoder = json.JSONDecoder(object_pairs_hook=_once_each, parse_constant=_no_number)
    at = _end_of(_BEGINNING, text, 0)
    if _END.fullmatch(text, at):
        return
    while True:
        row, length = decoder.raw_decode(text[at : at + _LONGEST_ROW])
        yield _file(row)
        at += length
        if _END.fullmatch(text, at):
            return
        at = _end_of(_BETWEEN, text, at)


def _end_of(expected: re.Pattern[str], text: str, start: int) -> int:
    found = expected.match(text, start)
    if found is None:
        raise ValueError(start)
    return found.end()


def _file(row: object) -> ListedFile:
    md5, path = (row.get("md5"), row.get("relpath")) if isinstance(row, dict) else (None, None)
    if not isinstance(md5, str) or not isinstance(path, str) or not _MD5.fullmatch(md5):
        raise Refused("a row of it has no MD5, or no path")
    if path.startswith("/") or {"", ".", ".."} & set(path.split("/")):
        raise Refused(f"it has {_shown(path)!r}, which is no path in the directory")
    return ListedFile(_shown(path), md5)


def _shown(path: str) -> str:
    """A path for people, whatever characters a file system let into it."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in path[:_LONGEST_SHOWN])


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError(pairs[0][0])
    return found


def _no_number(text: str) -> object:
    raise ValueError(text)


def _first_missing(remote: Remote, output: Output, files: Sequence[ListedFile]) -> ListedFile | None:
    """The first of the files whose object is not there; several are asked for at once, each object once."""
    objects = list({file.md5: file for file in reversed(files)}.values())[::-1]
    pool = ThreadPoolExecutor(_AT_ONCE, "dvc-objects")
    try:
        found = pool.map(lambda file: remote.has(output.place_of(file.md5)), objects, timeout=SECONDS)
        return next((file for file, there in zip(objects, found, strict=True) if not there), None)
    except TimeoutError:
        raise Unreachable(
            f"{remote.name} did not say within {SECONDS} seconds whether it has the {len(objects)} objects of"
            f" {output.path}"
        ) from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
