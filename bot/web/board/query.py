"""What an address asks of the overview; whatever it says is read as some question, so that no link is ever wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Final, Self
from urllib.parse import urlencode

from bot.domain.board import MatterKind

LIVE: Final = "live"
STATES: Final = (LIVE, *(kind.value for kind in MatterKind))
_SIZE: Final = 50
_LARGEST_SIZE: Final = 500
_LAST_PAGE: Final = 1_000_000
_LONGEST: Final = 500  # characters of a text


@dataclass(frozen=True, slots=True)
class Query:
    """Which rows, and which page of them. An empty text stands for all."""

    text: str = ""
    repository: str = ""
    environment: str = ""
    state: str = ""
    page: int = 1
    size: int = _SIZE

    @classmethod
    def read(cls, arguments: Mapping[str, str]) -> Self:
        """The query of an address."""
        state = arguments.get("state", "")
        return cls(
            text=arguments.get("q", "").strip()[:_LONGEST],
            repository=arguments.get("repository", "")[:_LONGEST],
            environment=arguments.get("environment", "")[:_LONGEST],
            state=state if state in STATES else "",
            page=_number(arguments.get("page", ""), 1, _LAST_PAGE),
            size=_number(arguments.get("size", ""), _SIZE, _LARGEST_SIZE),
        )

    @property
    def start(self) -> int:
        """The position of the page's first row."""
        return (self.page - 1) * self.size

    def pages(self, total: int) -> int:
        """How many pages so many rows take; at least one."""
        return max(1, -(-total // self.size))

    def url(self, **changes: str | int) -> str:
        """The address of the same query with changes; any but a turned page starts at the first."""
        asked = replace(self, **{"page": 1, **changes})  # type: ignore[arg-type]
        said = {
            "q" if each.name == "text" else each.name: getattr(asked, each.name)
            for each in fields(asked)
            if getattr(asked, each.name) != each.default
        }
        return f"/?{urlencode(said)}" if said else "/"


def _number(text: str, default: int, most: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        return default
    return min(max(1, int(text)), most)
