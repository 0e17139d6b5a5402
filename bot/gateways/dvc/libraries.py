"""The clouds' own clients, imported when a remote is of their kind: most teams need one of them, or none."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from bot.domain.errors import Misconfigured


def client_library(module: str, extra: str, place: str) -> Any:  # noqa: ANN401 - a module without types
    """The module; Misconfigured says which extra brings it. `place` is what it is needed for."""
    try:
        return import_module(module)
    except ImportError as error:
        raise Misconfigured(
            f"{place} needs the library {module}, which is not installed: pip install 'promotion-bot[{extra}]'"
        ) from error


def joined(prefix: str, place: str) -> str:
    """An object's key below a prefix, which may be empty."""
    return f"{prefix}/{place}" if prefix else place
