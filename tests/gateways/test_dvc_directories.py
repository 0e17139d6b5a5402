"""A directory in a remote of DVC's: its listing, hostile until it is parsed, and the files that it names."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from bot.domain.errors import Misconfigured, Refused, Unreachable
from bot.gateways.dvc import directories
from bot.gateways.dvc.access import Access
from bot.gateways.dvc.directories import MOST_LOOKED_FOR, parse_listing, stored_directory
from bot.gateways.dvc.documents import Output, RemoteConfig
from bot.gateways.dvc.remotes import DirectoryRemote, Remote, open_remote
from policies.evidence import StoredDirectory, Unreadable
from tests.fuzz.bounds import soon


def md5_of(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def listing(*paths: str) -> bytes:
    """A listing as DVC writes it, of files that hold their own names."""
    return json.dumps([{"md5": md5_of(path.encode()), "relpath": path} for path in sorted(paths)]).encode()


def output_of(content: bytes) -> Output:
    return Output("data/images", f"{md5_of(content)}.dir", "files/md5/")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def keep(store: Path, content: bytes, place: str = "") -> Path:
    """Have an object in the remote."""
    name = md5_of(content)
    file = store / (place or f"files/md5/{name[:2]}/{name[2:]}")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def pushed(store: Path, *paths: str) -> Output:
    """Have a directory in the remote, whole."""
    content = listing(*paths)
    for path in paths:
        keep(store, path.encode())
    keep(store, content, output_of(content).place)
    return output_of(content)


def in_directory(store: Path) -> Remote:
    return DirectoryRemote(store, store)


def test_a_directory_is_whole_when_every_file_that_is_listed_is_there(store: Path) -> None:
    output = pushed(store, "a/1.png", "a/2.png", "b.png")
    assert stored_directory(in_directory(store), output) == StoredDirectory(files=3, looked_for=3)
    empty = pushed(store)
    assert stored_directory(in_directory(store), empty) == StoredDirectory(0, 0)


def test_the_first_file_that_is_missing_is_named_by_its_path(store: Path) -> None:
    output = pushed(store, "a/1.png", "a/2.png", "b.png")
    for path in ("b.png", "a/2.png"):
        keep(store, path.encode()).unlink()
    assert stored_directory(in_directory(store), output) == StoredDirectory(3, 3, "a/2.png")


def test_without_its_listing_a_directory_is_not_there(store: Path) -> None:
    output = pushed(store, "a")
    (store / output.place).unlink()
    assert stored_directory(in_directory(store), output) is False


def test_a_remote_that_is_away_is_no_answer(store: Path) -> None:
    output = pushed(store, "a")
    store.rename(store.with_name("away"))
    with pytest.raises(Unreachable, match="is it mounted"):
        stored_directory(in_directory(store), output)


class Counting:
    """A remote that has a listing and every file, and counts what it is asked for."""

    name = "the remote"

    def __init__(self, content: bytes, has: Callable[[str], bool] = lambda _: True) -> None:
        self._content, self._has = content, has
        self.asked: list[str] = []

    def read(self, place: str, most: int) -> bytes | None:
        return self._content

    def has(self, place: str) -> bool:
        self.asked.append(place)
        return self._has(place)


def test_of_a_large_directory_the_first_files_are_looked_for() -> None:
    paths = [f"{number:06}" for number in range(MOST_LOOKED_FOR + 500)]
    content = listing(*paths)
    remote = Counting(content)
    assert stored_directory(remote, output_of(content)) == StoredDirectory(MOST_LOOKED_FOR + 500, MOST_LOOKED_FOR)
    assert len(remote.asked) == MOST_LOOKED_FOR


def test_an_object_of_several_files_is_asked_for_once() -> None:
    row = {"md5": "a" * 32}
    content = json.dumps([row | {"relpath": path} for path in ("x", "y", "z")]).encode()
    remote = Counting(content, has=lambda _: False)
    assert stored_directory(remote, output_of(content)) == StoredDirectory(3, 3, "x")
    assert remote.asked == [f"files/md5/aa/{'a' * 30}"]


def test_a_remote_that_takes_too_long_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directories, "SECONDS", 0.2)
    content, over = listing("a", "b"), threading.Event()
    with pytest.raises(Unreachable, match=r"did not say within 0\.2 seconds whether it has the 2 objects"):
        stored_directory(Counting(content, has=lambda _: over.wait(30)), output_of(content))
    over.set()


ROW = {"md5": "a" * 32, "relpath": "x"}
BAD = {
    "nothing": b"",
    "no JSON": b"<html>",
    "no list": json.dumps(ROW).encode(),
    "a list of texts": b'["x"]',
    "cut short": json.dumps([ROW, ROW]).encode()[:-1],
    "more behind it": json.dumps([ROW]).encode() + b"[]",
    "a comma too many": b"[" + json.dumps(ROW).encode() + b",]",
    "no UTF-8": b"[\xff]",
    "no hash": json.dumps([{"relpath": "x"}]).encode(),
    "a hash that leads elsewhere": json.dumps([ROW | {"md5": "../../../etc/passwd"}]).encode(),
    "a directory in it": json.dumps([ROW | {"md5": "a" * 32 + ".dir"}]).encode(),
    "no path": json.dumps([{"md5": "a" * 32}]).encode(),
    "a path upwards": json.dumps([ROW | {"relpath": "../x"}]).encode(),
    "a path from the root": json.dumps([ROW | {"relpath": "/x"}]).encode(),
    "a key twice": b'[{"md5": "%s", "md5": "%s", "relpath": "x"}]' % (b"a" * 32, b"b" * 32),
    "no number": b'[{"md5": "%s", "relpath": "x", "size": NaN}]' % (b"a" * 32),
    "many digits": b"[" + b"9" * 10_000 + b"]",
    "many levels": b"[" * 100_000,
    "bad only at its end": json.dumps([ROW] * (MOST_LOOKED_FOR + 1)).encode()[:-1] + b', {"md5": 1}]',
}  # fmt: skip


@pytest.mark.parametrize("content", BAD.values(), ids=BAD.keys())
def test_a_listing_that_cannot_be_read_is_an_error(store: Path, content: bytes) -> None:
    keep(store, content, output_of(content).place)
    keep(store, b"x", f"files/md5/aa/{'a' * 30}")
    found = stored_directory(in_directory(store), output_of(content))
    assert isinstance(found, Unreadable)
    assert "the listing of data/images, files/md5/" in found.reason
    assert "`dvc push`" in found.reason


def test_a_listing_with_another_content_than_its_name_says_is_an_error(store: Path) -> None:
    output = pushed(store, "a", "b")
    (store / output.place).write_bytes(listing("a"))
    found = stored_directory(in_directory(store), output)
    assert isinstance(found, Unreadable)
    assert "its content is not what its name, the MD5 of it, says" in found.reason


def test_a_listing_that_is_too_large_is_an_error(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = pushed(store, "a", "b")
    monkeypatch.setattr(directories, "LARGEST_LISTING", 10)
    found = stored_directory(in_directory(store), output)
    assert isinstance(found, Unreadable)
    assert "it has more than 10 bytes" in found.reason


@given(st.one_of(st.binary(max_size=200), st.text(alphabet='[]{},:" \\nmd5relpath01a/.', max_size=200).map(str.encode)))
def test_whatever_stands_in_a_listing_is_read_or_refused(content: bytes) -> None:
    with contextlib.suppress(Refused):
        parse_listing(content, md5_of(content))


@given(st.lists(st.text(min_size=1, max_size=20).filter(lambda text: not {"", ".", ".."} & set(text.split("/")))))
def test_what_dvc_writes_is_read_and_every_path_can_be_shown(paths: list[str]) -> None:
    content = json.dumps([{"md5": "a" * 32, "relpath": path} for path in paths], sort_keys=True).encode()
    first, count = parse_listing(content, f"{md5_of(content)}.dir")
    assert count == len(first) == len(paths)
    assert all(file.path.isprintable() and file.path.encode() for file in first)


@pytest.mark.parametrize("row", [b"[],", b"{},", b'"",', b"0,"])
def test_whatever_is_nested_in_a_listing_takes_little_memory(row: bytes) -> None:
    content = b"[[" + row * (4 * 1024 * 1024 // len(row)) + b"0]]"
    tracemalloc.start()
    with pytest.raises(Refused):
        parse_listing(content, md5_of(content))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * len(content)


def test_a_listing_of_a_hundred_thousand_files_is_counted_soon() -> None:
    content = listing(*(f"images/{number:07}.png" for number in range(100_000)))
    with soon(20):
        first, count = parse_listing(content, md5_of(content))
    assert (len(first), count) == (MOST_LOOKED_FOR, 100_000)


# --- a web server -----------------------------------------------------------------------------------------------------


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[Request], Response]], Remote]]:
    """Answers requests in a thread; the remote that is served so."""
    servers: list[Any] = []

    def start(answer: Callable[[Request], Response]) -> Remote:
        server = make_server("127.0.0.1", 0, Request.application(answer), threaded=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        host = f"127.0.0.1:{server.server_port}"
        return open_remote(RemoteConfig("storage", f"http://{host}/dvc"), Access(hosts=(host,)))

    yield start
    for server in servers:
        server.shutdown()


Serve = Callable[[Callable[[Request], Response]], Remote]


def test_a_web_server_is_asked_for_the_listing_and_its_files(serve: Serve, store: Path) -> None:
    output = pushed(store, "a", "b")

    def answer(request: Request) -> Response:
        file = store / request.path.removeprefix("/dvc/")
        return Response(file.read_bytes()) if file.is_file() else Response(status=404)

    remote = serve(answer)
    assert stored_directory(remote, output) == StoredDirectory(2, 2)
    keep(store, b"b").unlink()
    assert stored_directory(remote, output) == StoredDirectory(2, 2, "b")


def test_a_web_server_that_packs_or_never_ends_is_an_error(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = serve(lambda _: Response(b"x", headers={"Content-Encoding": "gzip"}))
    found = stored_directory(packed, output_of(b"x"))
    assert isinstance(found, Unreadable)
    assert "packed" in found.reason

    def endless() -> Iterator[bytes]:
        while True:
            yield b"[" * 65536

    monkeypatch.setattr(directories, "LARGEST_LISTING", 1_000_000)
    found = stored_directory(serve(lambda _: Response(endless())), output_of(b"x"))
    assert isinstance(found, Unreadable)
    assert "more than 1000000 bytes" in found.reason


@pytest.mark.parametrize(("status", "error"), [(403, Misconfigured), (302, Misconfigured), (500, Unreachable)])
def test_a_web_server_that_says_no_is_no_answer(serve: Serve, status: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        stored_directory(serve(lambda _: Response(status=status)), output_of(b"x"))
