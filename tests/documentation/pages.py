"""The pages' commands: what stands in their fenced `sh` and `console` blocks, what they print, what happens meanwhile.

A block is run from its page, unless a line above it, which no reader sees, says otherwise:

- `<!-- not run: WHY -->`: it cannot run here;
- `<!-- run by: tests/…py::test_… -->`, or `.ci/run`, several with commas: something else runs it.

A block of `text` right below one shows what it prints, with `…` for what differs each time. `<!-- meanwhile: WHAT -->`
stands where somebody else has to do something before the next block: `WHAT` is a key of the table that the test brings.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
SHELL = ("sh", "console")
# What else may stand in a fenced block. One that says nothing might hold commands that nobody runs.
OTHER_LANGUAGES = ("json", "mermaid", "python", "text", "yaml")
_MARK = re.compile(r"<!-- (not run|run by|meanwhile): (.+?) -->\s*")


def _pages() -> list[str]:
    """Every Markdown file of the repository but the texts that tests compare."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return sorted(page for page in listed if not page.startswith("tests/") and (ROOT / page).is_file())


PAGES = _pages()


@dataclass(frozen=True)
class Block:
    """Commands of a page, and what the page says about them."""

    page: str
    line: int
    code: str
    not_run: str = ""
    run_by: tuple[str, ...] = ()
    meanwhile: tuple[str, ...] = ()
    shown: str = ""

    @property
    def runs_here(self) -> bool:
        return not self.not_run and not self.run_by

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


def run_by(page: str, name: str) -> list[Block]:
    """The blocks of which a page says that `name` runs them."""
    return [block for block in blocks(page) if name in block.run_by]


def documents(page: str) -> list[str]:
    """The whole documents of the product's own kinds that a page shows, as YAML."""
    return [fence for fence in fences(page, "yaml") if "apiVersion: promotion-bot/" in fence]


def fences(page: str, language: str) -> list[str]:
    """What stands in the fenced blocks of a language."""
    tokens = MarkdownIt().parse((ROOT / page).read_text())
    return [token.content for token in tokens if token.type == "fence" and token.info == language]


def unnamed(page: str) -> list[int]:
    """The lines of blocks that may hold commands and do not say so: of no language, of another, or indented."""
    tokens = [token for token in MarkdownIt().parse((ROOT / page).read_text()) if token.type in ("fence", "code_block")]
    return [(token.map or [0])[0] + 1 for token in tokens if token.info not in SHELL + OTHER_LANGUAGES]


def inline(page: str) -> list[str]:
    """The code within the sentences and tables of a page."""
    tokens = MarkdownIt().enable("table").parse((ROOT / page).read_text())
    return [child.content for token in tokens for child in token.children or () if child.type == "code_inline"]


def _read(page: str) -> Iterator[Block | str]:
    """Blocks, and the texts that stand right below them."""
    marks, ended = _Marks(), -1
    for token in MarkdownIt().parse((ROOT / page).read_text()):
        first, last = token.map or (0, 0)
        if token.type == "html_block":
            for kind, said in _MARK.findall(token.content):
                marks.said[kind].append(said)
        elif token.type == "fence" and token.info in SHELL:
            code = re.sub(r"^\$ ", "", token.content, flags=re.MULTILINE)
            yield marks.block(page, first + 2, code)
            marks, ended = _Marks(), last
        elif token.type == "fence" and token.info == "text" and first - ended <= 1:
            yield token.content
    marks.end(page)


class _Marks:
    """What stands above a block."""

    def __init__(self) -> None:
        self.said: dict[str, list[str]] = {"not run": [], "run by": [], "meanwhile": []}

    def block(self, page: str, line: int, code: str) -> Block:
        once = [*self.said["not run"], *self.said["run by"]]
        assert len(once) <= 1, f"{page}:{line} has two marks: {once}"
        run_by = tuple(name.strip() for names in self.said["run by"] for name in names.split(","))
        return Block(page, line, code, "".join(self.said["not run"]), run_by, tuple(self.said["meanwhile"]))

    def end(self, page: str) -> None:
        """Fails where a mark has no block below it; somebody may still do something at a page's end."""
        left = [*self.said["not run"], *self.said["run by"]]
        assert not left, f"{page} says how something is run, and nothing follows: {left}"


def is_shown(shown: str, printed: str) -> bool:
    """Whether the lines that a page shows were printed, in their order; `…` stands for anything, spaces for spaces."""
    lines = iter(printed.splitlines())
    return all(
        any(_pattern(line).fullmatch(other.strip()) for other in lines) for line in shown.split("\n") if line.strip()
    )


def _pattern(line: str) -> re.Pattern[str]:
    words = [".*".join(re.escape(part) for part in word.split("…")) for word in line.split()]
    return re.compile(r"\s+".join(words))
