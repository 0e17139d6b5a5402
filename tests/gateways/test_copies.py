"""The second store: nothing in it is taken for what it is not, whoever else may write there."""

from __future__ import annotations

import hashlib
import os
import resource
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from bot.domain.errors import Refused
from bot.gateways.artifacts.copies import Copied, Copies, Original
from bot.gateways.artifacts.digest import digest
from bot.gateways.artifacts.local import LocalStore
from bot.gateways.artifacts.store import StoredFile

FILES = {"MLmodel": b"flavors: {}\n", "data/weights.bin": b"1" * 1000, "empty": b""}


@pytest.fixture
def original(tmp_path: Path) -> Original:
    return version_of(tmp_path / "model", FILES)


def version_of(root: Path, contents: Mapping[str, bytes]) -> Original:
    for path, content in contents.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    store = LocalStore(root)
    files = [StoredFile(store, entry) for entry in store.walk() if not entry.is_directory]
    return Original("m", 7, digest(files).digest, lambda: files)


@pytest.fixture
def second(tmp_path: Path) -> Path:
    return tmp_path / "second"


def copies(second: Path) -> Copies:
    return Copies(LocalStore(second))


def place(second: Path, name: str) -> Path:
    return second / "sha256" / name[:2] / name[2:]


def listed(second: Path, hashes: Mapping[str, str]) -> str:
    """The digest of a list that is put there, under its right name, by somebody who may write there."""
    lines = "".join(f"{name}  {path}\n" for path, name in hashes.items()).encode()
    name = hashlib.sha256(lines).hexdigest()
    place(second, name).parent.mkdir(parents=True, exist_ok=True)
    place(second, name).write_bytes(lines)
    return f"sha256:{name}"


def test_what_was_brought_is_there_and_is_not_brought_again(original: Original, second: Path) -> None:
    assert copies(second).bring(original) == Copied(files=3, bytes=1012)
    written = {path: path.stat().st_ino for path in second.rglob("*") if path.is_file()}
    assert copies(second).bring(original) == Copied()
    assert {path: path.stat().st_ino for path in second.rglob("*") if path.is_file()} == written
    found = {file.path: b"".join(file.chunks()) for file in copies(second).files(original.digest)}
    assert found == FILES


def test_names_with_what_unicode_calls_the_end_of_a_line_are_names(tmp_path: Path, second: Path) -> None:
    contents = {f"a{separator}b": b"1" for separator in ("\u2028", "\u2029", "\x85", " ", "\u00a0")}
    original = version_of(tmp_path / "model", contents)
    copies(second).bring(original)
    assert copies(second).bring(original) == Copied()
    assert {file.path for file in copies(second).files(original.digest)} == set(contents)


def test_what_else_is_at_the_second_store_is_left_alone(original: Original, second: Path, tmp_path: Path) -> None:
    second.mkdir()
    (second / "a link").symlink_to(tmp_path)  # at which a walk would end
    (second / "lost\\found").write_bytes(b"of others")
    assert copies(second).bring(original).files == 3
    assert copies(second).bring(original) == Copied()


def test_a_list_that_leads_to_other_files_is_no_list(original: Original, second: Path) -> None:
    copies(second).bring(original)
    file = place(second, original.digest.removeprefix("sha256:"))
    right = file.read_bytes()
    weights, empty = (hashlib.sha256(FILES[path]).hexdigest().encode() for path in ("data/weights.bin", "empty"))
    file.write_bytes(right.replace(weights, empty))

    with pytest.raises(Refused, match="has no version with the digest"):
        copies(second).files(original.digest)
    assert copies(second).bring(original).mended == 1
    assert file.read_bytes() == right


def test_a_list_that_leads_out_of_the_target_is_refused(original: Original, second: Path) -> None:
    copies(second).bring(original)
    hostile = listed(second, {"../../.ssh/authorized_keys": hashlib.sha256(FILES["MLmodel"]).hexdigest()})
    with pytest.raises(Refused, match="leads elsewhere"):
        copies(second).files(hostile)


def test_a_file_that_is_gone_is_named(original: Original, second: Path) -> None:
    copies(second).bring(original)
    place(second, hashlib.sha256(FILES["data/weights.bin"]).hexdigest()).unlink()
    with pytest.raises(Refused, match=r"lacks 'data/weights\.bin' of the version"):
        copies(second).files(original.digest)


def test_originals_that_are_not_what_the_manifest_says_are_named_nowhere(original: Original, second: Path) -> None:
    other = Original("m", 7, f"sha256:{'0' * 64}", original.files)
    with pytest.raises(Refused, match="somebody changed them after they were promoted"):
        copies(second).bring(other)
    assert not (second / "versions").exists()
    assert not place(second, "0" * 64).exists()


def test_no_room_for_what_is_on_its_way_is_said(tmp_path: Path, second: Path) -> None:
    files = {"MLmodel": b"flavors: {}\n", "weights": b"1" * 3_000_000}
    copies(second).bring(version_of(tmp_path / "earlier", {"MLmodel": files["MLmodel"]}))
    named = sorted((second / "versions").rglob("*"))
    original = version_of(tmp_path / "model", files)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limit[1]))
    try:
        with pytest.raises(Refused, match=r"'weights' could not be kept in .*: File too large; make room there"):
            copies(second).bring(original)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert sorted((second / "versions").rglob("*")) == named
    assert copies(second).bring(original).files == 1, "the other file is there already"


def test_two_at_once_do_not_hide_what_is_there_from_each_other(
    original: Original, second: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies(second).bring(original)
    beside = place(second, hashlib.sha256(FILES["MLmodel"]).hexdigest()).with_name(".half")
    scandir = os.scandir

    def read_while_the_other_finishes(directory: Path) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        if Path(directory) == beside.parent:
            beside.touch()
        with scandir(directory) as found:
            items = list(found)
        beside.unlink(missing_ok=True)
        return nullcontext(iter(items))

    monkeypatch.setattr(os, "scandir", read_while_the_other_finishes)
    assert copies(second).bring(original) == Copied()
