"""The site has the repository's tree: a link between two files that works on GitHub works on the site.

MkDocs knows the files of one folder. This hook names each by its path in the repository (`docs/dvc.md`, served as
`dvc/`), and adds the pages outside of `docs/` that the navigation names, and the files that pages link to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
_TARGET = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """MkDocs' event: the files that become the site."""
    docs = Path(config.docs_dir)
    of_theme = [file for file in files if file.src_dir != config.docs_dir]
    ours = [file for file in files if file.src_dir == config.docs_dir and file.inclusion.is_included()]
    found = {(docs.relative_to(ROOT) / file.src_uri).as_posix() for file in ours}
    found |= set(_pages(config.nav or []))
    found |= {linked for page in found if page.endswith(".md") for linked in _linked(page)}
    return Files([*of_theme, *(_file(path, config) for path in sorted(found))])


def _file(path: str, config: MkDocsConfig) -> File:
    file = File(path, str(ROOT), config.site_dir, config.use_directory_urls)
    file.dest_uri = file.dest_uri.removeprefix("docs/")
    return file


def _pages(nav: Iterable[Any]) -> Iterator[str]:
    """The paths of a navigation: a list of paths, and of titles with a path or a list."""
    for item in nav:
        for value in item.values() if isinstance(item, dict) else (item,):
            yield from _pages(value) if isinstance(value, list) else (value,)


def _linked(page: str) -> Iterator[str]:
    """The files, not pages, that a page links to outside of `docs/`."""
    folder = (ROOT / page).parent
    for target in _TARGET.findall((ROOT / page).read_text(encoding="utf-8")):
        file = (folder / target).resolve()
        if file.is_file() and file.suffix != ".md" and file.is_relative_to(ROOT):
            yield PurePosixPath(file.relative_to(ROOT)).as_posix()
