"""The clouds' own clients, imported when a remote is of their kind: most teams need one of them, or none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bot.domain.errors import Misconfigured


@contextmanager
def brought_by(extra: str, place: str) -> Iterator[None]:
    """Importing a client's library; Misconfigured says which extra brings it. `place` is what it is needed for."""
    try:
        yield
    except ImportError as error:
        raise Misconfigured(
            f"{place} needs the library {error.name}, which is not installed: pip install 'promotion-bot[{extra}]'"
        ) from error


def joined(prefix: str, place: str) -> str:
    """An object's key below a prefix, which may be empty."""
    return f"{prefix}/{place}" if prefix else place
