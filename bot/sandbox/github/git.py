"""Real git objects behind the stand-in: ids are git's own, merges are libgit2's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pygit2

FILE: Final = 0o100644
FOLDER: Final = 0o040000


@dataclass(frozen=True, slots=True)
class Person:
    """Who a commit is by."""

    name: str
    email: str

    def signature(self, at: datetime) -> pygit2.Signature:
        """The person at a moment."""
        return pygit2.Signature(self.name, self.email, int(at.timestamp()), 0)


GITHUB: Final = Person("GitHub", "noreply@github.com")


class GitStore:
    """One bare repository."""

    def __init__(self, folder: Path, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        # libgit2 types an object by what it turns out to be; every use here knows what it asks for.
        self.repo: Any = pygit2.init_repository(str(folder), bare=True)

    def tree_with(self, base: str | None, files: Mapping[str, bytes | None]) -> str:
        """The tree of `base` with the content of each path replaced, or the path removed where it is None."""
        tree = self.repo[base] if base else None
        return str(self._changed(tree, {tuple(path.split("/")): content for path, content in files.items()}))

    def _changed(self, tree: Any, changes: Mapping[tuple[str, ...], bytes | None]) -> pygit2.Oid:  # noqa: ANN401
        builder = self.repo.TreeBuilder(tree) if tree is not None else self.repo.TreeBuilder()
        below: dict[str, dict[tuple[str, ...], bytes | None]] = {}
        for path, content in changes.items():
            if len(path) > 1:
                below.setdefault(path[0], {})[path[1:]] = content
            elif content is None:
                if builder.get(path[0]) is not None:
                    builder.remove(path[0])
            else:
                builder.insert(path[0], self.repo.create_blob(content), FILE)
        for name, inner in below.items():
            there = builder.get(name)
            folder = self.repo[there.id] if there is not None and there.type_str == "tree" else None
            made = self._changed(folder, inner)
            if len(self.repo[made]):
                builder.insert(name, made, FOLDER)
            elif there is not None:
                builder.remove(name)
        written: pygit2.Oid = builder.write()
        return written

    def commit(
        self, tree: str, parents: list[str], message: str, author: Person, committer: Person | None = None
    ) -> str:
        """A commit object; no ref moves."""
        who = author.signature(self._clock())
        by = committer.signature(self._clock()) if committer else who
        return str(
            self.repo.create_commit(None, who, by, message, pygit2.Oid(hex=tree), [pygit2.Oid(hex=p) for p in parents])
        )

    def ref(self, name: str) -> str | None:
        """The object that a full ref name points at."""
        found = self.repo.references.get(name)
        return str(found.target) if found else None

    def commit_of(self, sha: str) -> Any:  # noqa: ANN401 - pygit2's commit
        """The commit that an object is, or that an annotated tag names."""
        return self.repo[sha].peel(pygit2.Commit)

    def set_ref(self, name: str, sha: str) -> None:
        """Create or move a ref."""
        self.repo.references.create(name, sha, force=True)

    def delete_ref(self, name: str) -> None:
        """Delete a ref."""
        self.repo.references.delete(name)

    def file(self, commit: str, path: str) -> bytes | None:
        """A file as of a commit."""
        try:
            found = self.repo[commit].tree[path]
        except KeyError:
            return None
        return bytes(found.data) if found.type_str == "blob" else None

    def history(self, sha: str) -> Iterator[Any]:
        """Commits reachable from `sha`, newest first."""
        yield from self.repo.walk(sha, pygit2.enums.SortMode.TOPOLOGICAL | pygit2.enums.SortMode.TIME)

    def merge_base(self, one: str, other: str) -> str | None:
        """The best common ancestor."""
        found = self.repo.merge_base(one, other)
        return str(found) if found else None

    def merged_tree(self, base: str, head: str) -> str | None:
        """The tree of merging `head` into `base`; None where they conflict."""
        index = self.repo.merge_commits(base, head)
        if index.conflicts:
            return None
        return str(index.write_tree(self.repo))

    def rebased(self, base: str, head: str, committer: Person) -> str:
        """The commits that `head` has and `base` lacks, made anew one after the other on `base`; the last one's id.

        Each keeps its message and author. Raises ValueError where one does not apply.
        """
        walker = self.repo.walk(head, pygit2.enums.SortMode.TOPOLOGICAL | pygit2.enums.SortMode.REVERSE)
        walker.hide(base)
        for commit in walker:
            if len(commit.parent_ids) != 1:
                continue  # a merge brings nothing of its own
            index = self.repo.merge_trees(commit.parents[0].tree, self.repo[base].tree, commit.tree)
            if index.conflicts:
                raise ValueError(f"{commit.id} does not apply to {base}")
            tree, by = index.write_tree(self.repo), committer.signature(self._clock())
            base = str(self.repo.create_commit(None, commit.author, by, commit.message, tree, [pygit2.Oid(hex=base)]))
        return base

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether `new` contains `old`."""
        return old == new or bool(self.repo.descendant_of(new, old))

    def diff(self, base: str, head: str) -> str:
        """The patch from the merge base to the head, as a pull request shows it."""
        ancestor = self.merge_base(base, head) or base
        return str(self.repo.diff(ancestor, head).patch or "")
