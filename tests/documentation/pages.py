"""The pages' commands: what stands in their fenced `sh` and `console` blocks, what they print, what happens meanwhile.

A block that cannot run here has the line `<!-- not run: WHY -->` above it, which no reader sees. A block of `text`
right below one shows what it prints, with `…` for what differs each time. `<!-- meanwhile: WHAT -->` stands where
somebody else has to do something before the next block: `WHAT` is a key of the table that the test brings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "docs/*.md", "examples/**/*.md", "charts/**/*.md")
    for path in ROOT.glob(pattern)
)
_MARK = re.compile(r"<!-- (not run|meanwhile): (.+?) -->\s*")


@dataclass(frozen=True)
class Block:
    """Commands of a page, and what the page says about them."""

    page: str
    line: int
    code: str
    not_run: str = ""
    meanwhile: tuple[str, ...] = ()
    shown: str = ""

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: str) -> list[Block]:
    """The blocks of a page, in order."""
    found: list[Block] = []
    for block in _read(page):
        if isinstance(block, Block):
            found.append(block)
        elif found and not found[-1].shown:
            found[-1] = replace(found[-1], shown=block)
    return found


def documents(page: str) -> list[str]:
    """The whole documents of the product's own kinds that a page shows, as YAML."""
    fences = [t for t in MarkdownIt().parse((ROOT / page).read_text()) if t.type == "fence" and t.info == "yaml"]
    return [fence.content for fence in fences if "apiVersion: promotion-bot/" in fence.content]


def _read(page: str) -> Iterator[Block | str]:
    """Blocks, and the texts that stand right below them."""
    not_run, meanwhile, ended = "", [], -1
    for token in MarkdownIt().parse((ROOT / page).read_text()):
        first, last = token.map or (0, 0)
        language = token.info.partition(" ")[0]
        if token.type == "html_block":
            for kind, said in _MARK.findall(token.content):
                if kind == "meanwhile":
                    meanwhile.append(said)
                else:
                    not_run = said
        elif token.type == "fence" and language in ("sh", "console", "bash", "shell"):
            code = re.sub(r"^\$ ", "", token.content, flags=re.MULTILINE)
            yield Block(page, first + 2, code, not_run, tuple(meanwhile))
            not_run, meanwhile, ended = "", [], last
        elif token.type == "fence" and language == "text" and first - ended <= 1:
            yield token.content
    assert not not_run, f"{page} says that something is not run, and nothing follows: {not_run}"


def is_shown(shown: str, printed: str) -> bool:
    """Whether the lines that a page shows were printed, in their order; `…` stands for anything, spaces for spaces."""
    lines = iter(printed.splitlines())
    return all(
        any(_pattern(line).fullmatch(other.strip()) for other in lines) for line in shown.split("\n") if line.strip()
    )


def _pattern(line: str) -> re.Pattern[str]:
    words = [".*".join(re.escape(part) for part in word.split("…")) for word in line.split()]
    return re.compile(r"\s+".join(words))
