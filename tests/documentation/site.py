"""The built site: what each of its pages asks for, leads to, and is made of."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# What a browser loads by itself, as it reads a page: each element with the attribute that says from where.
_LOADS = {"img": "src", "script": "src", "iframe": "src", "source": "src", "video": "src", "object": "data"}
_LOADING_RELATIONS = {"stylesheet", "icon", "preload", "preconnect", "dns-prefetch", "modulepreload", "manifest"}
_COUNTED = ("table", "tr", "li", "pre", "img", "h1", "h2", "h3", "h4")


@dataclass
class SitePage:
    """One page of the site, by its path there."""

    path: str
    anchors: set[str] = field(default_factory=set)
    links: set[str] = field(default_factory=set)
    loaded: set[str] = field(default_factory=set)
    content: Counter[str] = field(default_factory=Counter)


def read(html: str, path: str = "") -> SitePage:
    """What a page's HTML says; `content` counts what is in its article."""
    page = SitePage(path)
    _Reader(page).feed(html)
    return page


class Site:
    """What a build left in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pages = {page.path: page for page in map(self._read, sorted(folder.rglob("*.html")))}

    def _read(self, file: Path) -> SitePage:
        return read(file.read_text(encoding="utf-8"), file.relative_to(self.folder).as_posix())

    def foreign(self, page: SitePage) -> set[str]:
        """What the page has a browser load from another host."""
        return {address for address in page.loaded if urlsplit(address).netloc}

    def dead(self, page: SitePage) -> set[str]:
        """Links and loaded files of the site itself that are not there."""
        return {
            target
            for target in page.links | page.loaded
            if not urlsplit(target).netloc and not self._is_there(page, target)
        }

    def _is_there(self, page: SitePage, target: str) -> bool:
        parts = urlsplit(target)
        start = self.folder if parts.path.startswith("/") else (self.folder / page.path).parent
        file = (start / unquote(parts.path).lstrip("/")).resolve() if parts.path else self.folder / page.path
        file = file / "index.html" if file.is_dir() else file
        if not file.is_file() or not file.is_relative_to(self.folder):
            return False
        other = self.pages.get(file.relative_to(self.folder).as_posix())
        return not parts.fragment or (other is not None and unquote(parts.fragment) in other.anchors)


class _Reader(HTMLParser):
    def __init__(self, page: SitePage) -> None:
        super().__init__()
        self._page = page
        self._in_article = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        self._page.anchors |= {said["id"]} if "id" in said else set()
        self._in_article = self._in_article or tag == "article"
        if tag == "a" and "href" in said:
            self._page.links.add(said["href"])
        if tag == "link" and not _LOADING_RELATIONS.isdisjoint(said.get("rel", "").split()):
            self._page.loaded.add(said["href"])
        if _LOADS.get(tag) in said:
            self._page.loaded.add(said[_LOADS[tag]])
        if self._in_article and tag in _COUNTED:
            self._page.content[tag] += 1

    def handle_endtag(self, tag: str) -> None:
        if tag == "article":
            self._in_article = False
