"""Which lines of a comment are commands, as GitHub's Markdown reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

from bot.domain.commands import INVISIBLE, Line

LARGEST_COMMENT: Final = 65_536  # characters; GitHub's own limit
_DEEPEST_BLOCK: Final = 100  # of lists and quotes, two for a list; what comes after a deeper one is not read
_DEEPEST_BRACKET: Final = 10  # each level takes time where brackets never close
_COMMAND = re.compile(r"/[A-Za-z][\w-]*(?=\s|$)")


def lines_of(comment: str) -> tuple[Line, ...]:
    """The lines of a comment that are commands, as GitHub's Markdown reads it: none in quotes, code, lists or HTML."""
    text = re.sub(f"[{INVISIBLE}]", "", comment[:LARGEST_COMMENT].replace("\r\n", "\n").replace("\r", "\n"))
    source = text.split("\n")
    found: list[Line] = []
    links: dict[str, object] = {}
    for token in _paragraphs(text, links):
        first, last = token.map or (0, 0)
        wanted = [
            (number, line) for number, line in enumerate(source[first:last], first + 1) if _COMMAND.match(line.strip())
        ]
        if not wanted:
            continue
        (read,) = MarkdownIt("commonmark", {"maxNesting": _DEEPEST_BRACKET}).parseInline(token.content, links)
        starts = [start for start in _line_starts(read.children or ()) if _COMMAND.match(start)]
        for start in starts:
            while wanted:
                number, line = wanted.pop(0)
                if line.strip().split()[0] == start.split()[0]:
                    found.append(Line(number, line.strip()))
                    break
    return tuple(found)


def _paragraphs(text: str, links: dict[str, object]) -> Iterator[Token]:
    """The text of every paragraph and heading that stands on its own, outside quotes, lists and tables.

    What brackets lead to, which is said anywhere in the text, is put into `links`.
    """
    depth = 0
    for token in MarkdownIt("commonmark", {"maxNesting": _DEEPEST_BLOCK}).disable("inline").parse(text, links):
        if token.type in ("blockquote_open", "bullet_list_open", "ordered_list_open"):
            depth += 1
        elif token.type in ("blockquote_close", "bullet_list_close", "ordered_list_close"):
            depth -= 1
        elif token.type == "inline" and depth == 0:
            yield token


def _line_starts(children: Sequence[Token]) -> Iterator[str]:
    """The text with which each line of a paragraph starts; empty where it starts with something else than text."""
    fresh = True
    for child in children:
        if child.type in ("softbreak", "hardbreak"):
            fresh = True
        elif fresh:
            yield child.content if child.type == "text" else ""
            fresh = False
