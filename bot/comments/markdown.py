"""Foreign text made harmless: nothing that comes from the registry or a user mentions, links, or becomes HTML."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import Final

_ZERO_WIDTH_SPACE: Final = "\u200b"
# Control characters, and those that change the direction of text or hide in it.
_INVISIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]+")
# What GitHub would turn into a mention, a reference, a link or a comment, had it been written by the bot.
_LIVELY = re.compile(r"@(?=\S)|<(?=[!/a-zA-Z])|#(?=\d)|(?<=:)(?=//)|\bwww(?=\.)|\b[0-9a-f]{7}(?=[0-9a-f]{0,33}\b)")
_REFERENCE = re.compile(r"@(?=\S)|#(?=\d)|\b[Gg][Hh]-(?=\d)|(?<=:)(?=//)|(?<=\bwww)(?=\.)")
_CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_LONGEST: Final = 300


def inert(text: str, longest: int = _LONGEST) -> str:
    """One line of foreign text as a code span, in which neither Markdown nor GitHub's references work."""
    line = _INVISIBLE.sub(" ", text).strip()
    if len(line) > longest:
        line = line[: longest - 1] + "…"
    line = _LIVELY.sub(lambda m: m[0] + _ZERO_WIDTH_SPACE if not m[0].isalnum() else m[0], line) or " "
    fence = "`" * (max((len(run) for run in re.findall(r"`+", line)), default=0) + 1)
    padding = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{padding}{line}{padding}{fence}".replace("|", "\\|")


def plain(text: str, longest: int = _LONGEST) -> str:
    """One line of foreign text where no Markdown is read: a title, a description. It refers to nobody and nothing."""
    line = _REFERENCE.sub(lambda m: m[0] + _ZERO_WIDTH_SPACE, _INVISIBLE.sub(" ", text[: 4 * longest]).strip())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def prose(text: str, longest: int = 1000) -> str:
    """One line that people wrote for people, such as a policy's remedy: code in backticks is code, and every other sign
    of Markdown is escaped.
    """
    line = _INVISIBLE.sub(" ", text).strip()
    if len(line) > longest:
        line = line[: longest - 1] + "…"
    parts = enumerate(_CODE.split(line))  # text and code in turns
    return "".join(inert(part) if at % 2 else _without_signs(part) for at, part in parts)


def _without_signs(text: str) -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    escaped = _REFERENCE.sub(lambda m: m[0] + _ZERO_WIDTH_SPACE, escaped)
    return re.sub(r"([\\`*_{}\[\]()~|])", r"\\\1", escaped)


def escaped(text: str, longest: int = _LONGEST) -> str:
    """One line of foreign text inside the bot's own HTML, where no Markdown is read."""
    return html.escape(plain(text, longest))


def in_diagram(text: str, longest: int = 40) -> str:
    """One line of foreign text inside the quotes of a Mermaid label: whatever could end it or mean anything there is an
    entity (https://mermaid.js.org/syntax/flowchart.html#entity-codes-to-escape-characters).
    """
    line = _INVISIBLE.sub(" ", text[: 4 * longest]).strip()
    line = line if len(line) <= longest else line[: longest - 1] + "…"
    return "".join(c if c.isalnum() or c in " ._-/…" else f"#{ord(c)};" for c in line) or "–"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in GitHub's Markdown; cells are Markdown already."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
