"""Diagrams are drawn by the site's own Mermaid, which `make mermaid` brings; the theme would load it from another host.

Where it was not brought, a diagram stays the text that it is written in, which is readable too.
"""

from __future__ import annotations

import logging
import posixpath
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

MERMAID: Final = Path(__file__).parents[2] / "build" / "mermaid.min.js"
_SERVED: Final = "assets/javascripts/mermaid.min.js"
_log = logging.getLogger("mkdocs.hooks.diagrams")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """MkDocs' event: without Mermaid there are no diagrams to draw."""
    if not MERMAID.is_file():
        _log.info("Diagrams stay text: `make mermaid` brings what draws them.")
        config.mdx_configs["pymdownx.superfences"] = {"custom_fences": []}
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """MkDocs' event: the script is served beside the theme's own."""
    if MERMAID.is_file():
        files.append(File.generated(config, _SERVED, abs_src_path=str(MERMAID)))
    return files


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """MkDocs' event: a page with a diagram loads the script, which is large; the theme takes the one that is there."""
    if '<pre class="mermaid">' not in html:
        return html
    here = posixpath.dirname(page.file.dest_uri) or "."
    return f'{html}\n<script src="{posixpath.relpath(_SERVED, here)}"></script>'
