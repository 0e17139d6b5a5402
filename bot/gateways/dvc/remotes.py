"""Whether a remote of DVC's has an object: one class for each kind of place."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol
from urllib.parse import SplitResult, quote

import requests

from bot.domain.errors import Misconfigured, PromotionError, Refused, Unreachable
from bot.gateways.artifacts.store import CHUNK
from bot.gateways.dvc.access import Access, host_of, not_named, parts_of
from bot.gateways.dvc.clouds import open_azure, open_google, open_s3
from bot.gateways.dvc.documents import RemoteConfig, keeps_versions
from bot.gateways.mlflow_api import redacted, summary

TIMEOUT: Final = (5, 20)  # seconds to connect, and to answer


class Remote(Protocol):
    """Where DVC keeps objects. `name` is for people, without anything secret."""

    @property
    def name(self) -> str:
        """Where it is."""

    def has(self, place: str, /) -> bool:
        """Whether there is an object at `place`, a path below the remote's root.

        Raises Unreachable where the store does not answer, Misconfigured where credentials, a permission or a library
        is missing, Refused for an address that cannot be one.
        """

    def read(self, place: str, most: int, /) -> bytes | None:
        """The object at `place`, None where there is none; Refused where it is larger than `most` bytes.

        Raises as `has` does for everything else.
        """


def open_remote(config: RemoteConfig, access: Access) -> Remote:
    """The remote that a repository describes. No object is asked for yet; raises Misconfigured where none may be."""
    if keeps_versions(config):
        raise Refused(
            f"the DVC remote “{config.name}” keeps files by the cloud's own versions, not by their hash:"
            " name another one with the check's `remote`"
        )
    parts = parts_of(config.url, config.name)
    opened = _KINDS.get(parts.scheme)
    if opened is None:
        raise Misconfigured(
            f"the DVC remote “{config.name}” is at {redacted(config.url)[:200]}: the bot can look into directories,"
            " S3, Google Cloud Storage, Azure and HTTP(S); name such a remote with the check's `remote`"
        )
    return opened(config, parts, access)


# --- a directory ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DirectoryRemote:
    """A directory of this machine, below one of those that the operator names."""

    root: Path
    within: Path

    @property
    def name(self) -> str:
        """The directory."""
        return str(self.root)

    def has(self, place: str) -> bool:
        """Whether there is a file, which no link leads out of what the operator named."""
        return self._file(place) is not None

    def read(self, place: str, most: int) -> bytes | None:
        """The file's content."""
        file = self._file(place)
        if file is None:
            return None
        try:
            descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with open(descriptor, "rb") as opened:  # noqa: PTH123 -- an open descriptor
                return _within(opened.read(most + 1), most)
        except OSError as error:
            raise self._translated(error) from None

    def _file(self, place: str) -> Path | None:
        try:
            if not stat.S_ISDIR(self.root.stat().st_mode):
                raise Misconfigured(f"the DVC remote at {self.root} is no directory")
        except FileNotFoundError:
            raise Unreachable(f"the DVC remote at {self.root} is not there: is it mounted?") from None
        except OSError as error:
            raise self._translated(error) from None
        try:
            real = (self.root / place).resolve(strict=True)
            return real if real.is_relative_to(self.within) and stat.S_ISREG(real.stat().st_mode) else None
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, RuntimeError) as error:  # RuntimeError: links that go round in a circle
            raise self._translated(error) from None

    def _translated(self, error: Exception) -> PromotionError:
        if isinstance(error, PermissionError):
            return Misconfigured(f"the bot may not look into the DVC remote at {self.root}: let its user read there")
        return Unreachable(f"the DVC remote at {self.root} could not be read: {summary(error)}")


def _directory(config: RemoteConfig, parts: SplitResult, access: Access) -> Remote:
    path = parts.path if parts.scheme == "file" else config.url
    if parts.netloc not in ("", "localhost") or not Path(path).is_absolute():
        raise Refused(
            f"the DVC remote “{config.name}” is {path[:200]}, a path that only the machine of whoever trained knows:"
            " push to one that others reach too, or name another with the check's `remote`"
        )
    plain = Path(os.path.normpath(path))
    for root in access.roots:
        # Looked at only where the name is below an allowed one: what else is on the machine stays unknown.
        if plain.is_relative_to(root) and plain.resolve().is_relative_to(root.resolve()):
            return DirectoryRemote(plain, root.resolve())
    raise Misconfigured(
        f"the DVC remote “{config.name}” is the directory {path[:200]}, and the bot looks only into those that"
        " PROMOTION_DVC_ROOTS names: add it there if the bot shall"
    )


# --- a web server -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WebRemote:
    """A web server that the operator names; signed in with what the bot's netrc file says of it."""

    url: str

    @property
    def name(self) -> str:
        """The address without user and password."""
        return redacted(self.url)

    def has(self, place: str) -> bool:
        """Whether the server answers a HEAD request; redirections are not followed, wherever they lead."""
        with self._asked("HEAD", place) as answer:
            return self._is_there(answer)

    def read(self, place: str, most: int) -> bytes | None:
        """What the server answers to a GET request; nothing is unpacked, so nothing grows."""
        with self._asked("GET", place) as answer:
            if not self._is_there(answer):
                return None
            if answer.headers.get("Content-Encoding", "identity") != "identity":
                raise Refused("the server sends it packed, though it was asked not to")
            content = bytearray()
            for part in answer.iter_content(CHUNK):
                content += part
                if len(content) > most:
                    break
            return _within(bytes(content), most)

    @contextmanager
    def _asked(self, method: str, place: str) -> Iterator[requests.Response]:
        url, headers = f"{self.url.rstrip('/')}/{quote(place)}", {"Accept-Encoding": "identity"}
        try:
            with requests.request(
                method, url, timeout=TIMEOUT, allow_redirects=False, stream=True, headers=headers
            ) as answer:
                yield answer
        except requests.RequestException as error:
            raise Unreachable(f"the DVC remote at {self.name} does not answer: {summary(error)}") from None

    def _is_there(self, answer: requests.Response) -> bool:
        match answer.status_code:
            case 200 | 204:
                return True
            case 404 | 410:
                return False
            case 401 | 403:
                raise Misconfigured(
                    f"the DVC remote at {self.name} answers {answer.status_code}: give the bot a user who may read"
                    f" there, in the netrc file that NETRC names"
                )
            case code if 300 <= code < 400:
                raise Misconfigured(
                    f"the DVC remote at {self.name} leads elsewhere ({code}), where the bot does not go"
                )
            case code:
                raise Unreachable(f"the DVC remote at {self.name} answers {code}")


def _within(content: bytes, most: int) -> bytes:
    """The content, of which at most one byte more than `most` was read; Refused where there is more."""
    if len(content) > most:
        raise Refused(f"it has more than {most} bytes")
    return content


def _web(config: RemoteConfig, parts: SplitResult, access: Access) -> Remote:
    if not access.allows(parts):
        raise Misconfigured(not_named(config, host_of(parts), "the bot looks only at hosts"))
    return WebRemote(config.url)


_Open = Callable[[RemoteConfig, SplitResult, Access], Remote]
_KINDS: Final[Mapping[str, _Open]] = MappingProxyType(
    {
        "": _directory,
        "file": _directory,
        "http": _web,
        "https": _web,
        "s3": open_s3,
        "gs": open_google,
        "gcs": open_google,
        "azure": open_azure,
    }
)
