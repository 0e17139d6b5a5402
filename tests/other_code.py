"""Other code in this process than in the files: a deliberate mistake, or another version of the bot.

A text in a module's source is replaced before the module is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType


@dataclass(frozen=True)
class Change:
    """A text of a module, which stands there once, and what stands there instead."""

    module: str
    text: str
    other: str


def change(*changes: Change) -> None:
    """Change modules that are imported from now on."""
    sys.meta_path.insert(0, _Finder(changes))


class _Changed(SourceFileLoader):
    """Loads a module with its changes; what was compiled before is not used."""

    def __init__(self, name: str, path: str, changes: Sequence[Change]) -> None:
        super().__init__(name, path)
        self._changes = changes

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_data(self.get_filename(fullname)).decode()
        for each in self._changes:
            if source.count(each.text) != 1:
                raise ImportError(f"{fullname} has {source.count(each.text)} times: {each.text}")
            source = source.replace(each.text, each.other)
        return compile(source, self.path, "exec")


class _Finder(MetaPathFinder):
    def __init__(self, changes: Sequence[Change]) -> None:
        self._changes = changes

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        changes = [each for each in self._changes if each.module == fullname]
        if not changes:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.origin is not None:
            spec.loader = _Changed(fullname, spec.origin, changes)
        return spec
