"""Downloads that are cut off, tampered with or out of room: the target is whole and right, or as it was."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bot.cli import cli
from bot.domain.errors import Refused, Unreachable
from bot.gateways.artifacts.download import Download, Existing, download
from bot.gateways.artifacts.store import DirectoryStore, Entry, StoredFile
from tests.conftest import wait_until
from tests.e2e.proxy import proxied

ROOT = Path(__file__).parents[2]
FILES = {"MLmodel": b"flavors: {}\n", "a/weights": b"1" * 3_000_000, "b": b"", "c": b"code", "d": b"2" * 500_000}
DIGEST = (
    "sha256:"
    + hashlib.sha256(
        b"".join(f"{hashlib.sha256(FILES[path]).hexdigest()}  {path}\n".encode() for path in sorted(FILES))
    ).hexdigest()
)


class Shelf(DirectoryStore):
    """A store in memory that counts what is read of it, and stops answering after some reads."""

    at_once = 2

    def __init__(self, files: dict[str, bytes], *, marks: str = "1", answers: int = 1000) -> None:
        self.contents = files
        self.marks = marks
        self.answers = answers
        self.read: list[str] = []
        self._counting = threading.Lock()

    def files(self) -> list[StoredFile]:
        return [StoredFile(self, Entry(path, len(content), mark=self.marks)) for path, content in self.contents.items()]

    def chunks(self, entry: Entry):
        with self._counting:
            self.read.append(entry.path)
            answers = len(self.read) <= self.answers
        content = self.contents[entry.path]
        yield content[: len(content) // 2]
        if not answers:
            raise Unreachable("the store went away")
        yield content[len(content) // 2 :]


def wanted(shelf: Shelf, expected: str | None = DIGEST) -> Download:
    return Download("version 1 of “m”", shelf.files(), expected)


def content(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "models" / "live"


def test_what_arrived_is_kept_and_only_the_rest_is_fetched(target):
    away = Shelf(FILES, answers=3)
    with pytest.raises(Unreachable):
        download(wanted(away), target, Existing.STAYS)
    assert not target.exists()
    whole = content(target.parent / ".live.partial" / "files")
    assert whole
    assert all(FILES[path] == data for path, data in whole.items())

    back, told = Shelf(FILES), []
    assert download(wanted(back), target, Existing.STAYS, told.append).digest == DIGEST

    assert sorted(back.read) == sorted(set(FILES) - set(whole))
    assert sum(told) == sum(len(data) for data in FILES.values())
    assert content(target) == FILES
    assert [p.name for p in target.parent.iterdir()] == ["live"]


@pytest.mark.parametrize(
    ("marks", "expected", "kept"),
    [("1", None, True), ("2", None, False), ("", None, False), ("", DIGEST, True)],
    ids=["unchanged", "changed since", "no mark, no digest", "no mark, a digest"],
)
def test_a_file_is_kept_only_if_it_is_known_to_be_right(target, marks, expected, kept):
    with pytest.raises(Unreachable):
        download(
            wanted(Shelf(FILES, marks=marks if marks != "2" else "1", answers=3), expected), target, Existing.STAYS
        )

    back = Shelf(FILES, marks=marks)
    assert download(wanted(back, expected), target, Existing.STAYS).digest == DIGEST

    assert (len(back.read) < len(FILES)) is kept


@pytest.mark.parametrize(
    ("marks", "expected", "damage"),
    [("", DIGEST, b"x" * 500_000), ("1", None, b"2" * 499_999)],
    ids=["other bytes, which the digest tells", "cut short, which the size tells"],
)
def test_what_was_kept_and_is_damaged_is_fetched_again(target, marks, expected, damage):
    with pytest.raises(Unreachable):
        download(wanted(Shelf(FILES, marks=marks, answers=4), expected), target, Existing.STAYS)
    partial = target.parent / ".live.partial" / "files"
    (partial / "d").write_bytes(damage)
    (partial / "left over").write_bytes(b"of another version")

    assert download(wanted(Shelf(FILES, marks=marks), expected), target, Existing.STAYS).digest == DIGEST

    assert content(target) == FILES


def test_a_record_that_ends_in_half_a_line_counts_up_to_there(target):
    with pytest.raises(Unreachable):
        download(wanted(Shelf(FILES, answers=3)), target, Existing.STAYS)
    with (target.parent / ".live.partial" / "whole.jsonl").open("a") as record:
        record.write('["a/wei')

    back = Shelf(FILES)
    download(wanted(back), target, Existing.STAYS)

    assert content(target) == FILES
    assert len(back.read) < len(FILES)


def test_a_changed_byte_at_the_store_leaves_nothing(target):
    shelf = Shelf(FILES | {"c": b"Code"})
    with pytest.raises(Refused, match="somebody changed them after they were promoted"):
        download(wanted(shelf), target, Existing.STAYS)
    assert list(target.parent.iterdir()) == []


def test_what_is_there_already_is_left_or_replaced_as_asked(target):
    shelf = Shelf(FILES)
    download(wanted(shelf), target, Existing.STAYS)
    before = target.stat().st_ino
    shelf.read.clear()

    assert download(wanted(shelf), target, Existing.STAYS).digest == DIGEST
    assert target.stat().st_ino == before
    assert shelf.read == []

    (target / "c").write_bytes(b"Code")
    with pytest.raises(Refused, match="holds something else; name another directory, or say --force"):
        download(wanted(shelf), target, Existing.STAYS)
    assert (target / "c").read_bytes() == b"Code"
    download(wanted(shelf), target, Existing.IS_REPLACED)
    assert content(target) == FILES
    assert [p.name for p in target.parent.iterdir()] == ["live"]


def test_what_was_there_comes_back_where_the_new_one_cannot_get_its_name(target, monkeypatch):
    download(wanted(Shelf(FILES)), target, Existing.STAYS)
    (target / "c").write_bytes(b"Code")
    rename = Path.rename

    def refuses(self: Path, to: Path) -> Path:
        if self.name == "files":
            raise OSError(errno.EIO, "Input/output error", str(self))
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", refuses)
    with pytest.raises(Refused, match="cannot be written: Input/output error"):
        download(wanted(Shelf(FILES)), target, Existing.IS_REPLACED)
    assert (target / "c").read_bytes() == b"Code"

    monkeypatch.undo()
    download(wanted(Shelf(FILES)), target, Existing.IS_REPLACED)
    assert content(target) == FILES
    assert [p.name for p in target.parent.iterdir()] == ["live"]


@pytest.mark.parametrize("what", ["a home", "a file", "a link"])
def test_force_replaces_nothing_but_a_model(target, tmp_path, what):
    target.parent.mkdir()
    match what:
        case "a home":
            (target / "thesis").mkdir(parents=True)
        case "a file":
            target.write_bytes(b"thesis")
        case "a link":
            (tmp_path / "home").mkdir()
            target.symlink_to(tmp_path / "home")
    with pytest.raises(Refused, match="is not a model's directory"):
        download(wanted(Shelf(FILES)), target, Existing.IS_REPLACED)
    assert target.exists()


def test_two_downloads_to_one_place_do_not_mix(target):
    shelf = Shelf(FILES)
    begun, go = threading.Event(), threading.Event()

    def slow(_count: int) -> None:
        begun.set()
        go.wait(60)

    first = threading.Thread(target=download, args=(wanted(shelf), target, Existing.STAYS, slow))
    first.start()
    try:
        assert begun.wait(60)
        with pytest.raises(Refused, match=r"another download to .* is under way"):
            download(wanted(shelf), target, Existing.STAYS)
    finally:
        go.set()
        first.join()
    assert content(target) == FILES


def test_what_somebody_made_under_the_name_meanwhile_is_left_to_them(target):
    shelf = Shelf(FILES)

    def meanwhile(_count: int) -> None:
        target.mkdir(exist_ok=True)
        (target / "thesis").write_bytes(b"mine")

    with pytest.raises(Refused, match="holds something else; name another directory, or say --force"):
        download(wanted(shelf), target, Existing.STAYS, meanwhile)
    with pytest.raises(Refused, match="even --force replaces nothing else"):
        download(wanted(shelf), target, Existing.IS_REPLACED, meanwhile)
    assert content(target) == {"thesis": b"mine"}


def test_a_lock_that_the_download_before_took_away_is_no_lock(target, monkeypatch):
    flock = fcntl.flock

    def late(lock, how):
        shutil.rmtree(target.parent / ".live.partial")
        flock(lock, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(Refused, match="another download"):
        download(wanted(Shelf(FILES)), target, Existing.STAYS)
    monkeypatch.undo()
    download(wanted(Shelf(FILES)), target, Existing.STAYS)
    assert content(target) == FILES


def test_files_that_somebody_else_laid_in_the_way_are_not_gone_on_with(target, tmp_path):
    target.parent.mkdir()
    (tmp_path / "theirs").mkdir()
    (target.parent / ".live.partial").symlink_to(tmp_path / "theirs")
    with pytest.raises(Refused, match="is a link or somebody else's"):
        download(wanted(Shelf(FILES)), target, Existing.STAYS)
    assert list((tmp_path / "theirs").iterdir()) == []


def test_too_little_room_is_said_before_anything_is_fetched(target):
    shelf = Shelf(FILES)
    huge = [StoredFile(shelf, Entry("huge", 10**18))]
    with pytest.raises(Refused, match=r"1,000,000,000,000,000,000 bytes are still to come"):
        download(Download("m", huge), target, Existing.STAYS)
    assert shelf.read == []


# --- the command, as a process of its own -----------------------------------------------------------------------------


@pytest.fixture
def registered(logged, place_of, tmp_path):
    """A version behind the tracking server, whose files are FILES."""
    source = tmp_path / "source"
    for path, data in FILES.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes(data)
    return logged(place_of("proxy"), source)


def arguments(registered, target: Path) -> list[str]:
    name, number = registered
    return ["download", name, "--version", str(number), "--to", str(target)]


def again(registered, url: str, target: Path) -> Result:
    return CliRunner().invoke(cli, arguments(registered, target), env={"MLFLOW_TRACKING_URI": url})


def started(registered, url: str, target: Path, **options) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bot.cli", *arguments(registered, target)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": url}
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


def test_a_full_disk_is_said_and_nothing_half_written_has_the_name(registered, mlflow, target):
    def small_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    full = started(registered, mlflow.url, target, preexec_fn=small_disk)
    _, said = full.communicate(timeout=180)

    assert full.returncode == 1, said
    assert "is full" in said
    assert "make room and say the same again" in said
    assert not target.exists()

    done = again(registered, mlflow.url, target)
    assert done.exit_code == 0
    assert done.stdout.endswith(
        "\nnot verified: no manifest was read, for want of GITHUB_TOKEN and PROMOTION_REPOSITORIES\n"
    )
    assert content(target) == FILES


def at_a_terminal() -> None:
    """Ctrl+C ends what was started there; where tests run in the background, it is ignored by whatever they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_an_interrupted_download_leaves_the_name_free(registered, mlflow, target, sent, code):
    with proxied("mlflow", mlflow.url) as proxy:
        stuck, goes_on = threading.Event(), threading.Event()

        def hold(said: str) -> None:
            if "/a/weights" in said:
                stuck.set()
                goes_on.wait(120)

        proxy.fault = hold
        process = started(registered, proxy.url, target, preexec_fn=at_a_terminal)
        try:
            wait_until(stuck.is_set, "the download is under way")
            wait_until((target.parent / ".live.partial" / "files" / "d").exists, "another file is there")
            process.send_signal(sent)
            goes_on.set()
            _, said = process.communicate(timeout=180)
        finally:
            process.kill()
    assert process.returncode == code
    if sent is not signal.SIGKILL:
        assert "the same command goes on from there" in said
    assert not target.exists()
    assert again(registered, mlflow.url, target).exit_code == 0
    assert content(target) == FILES
