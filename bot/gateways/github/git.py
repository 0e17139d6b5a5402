"""A repository's git objects, read by id and cached for ever, and the one commit that a proposal is."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from bot.domain.errors import Misconfigured, Refused
from bot.domain.pull_requests import Login
from bot.gateways.github.api import KEPT, RepositoryApi, time_of
from bot.gateways.github.client import GitHubRefusal

# https://git-scm.com/docs/git-check-ref-format, and short enough for a tag of MLflow's.
_REF_NAME = re.compile(
    r"(?![./-])(?!.*(?:\.\.|@\{|//|/\.|\.lock(?:/|$)))[^\x00-\x20\x7f~^:?*\[\\]{1,200}(?<![./])", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Commit:
    """A git commit. `author` is the GitHub login that wrote it, empty where GitHub knows none.

    `title` is the first line of its message.
    """

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: Login
    committed_at: datetime
    title: str = ""


@dataclass(frozen=True, slots=True)
class Blob:
    """A file at a commit."""

    sha: str
    content: bytes


class Git:
    """Commits, trees, blobs and branches of one repository."""

    def __init__(self, api: RepositoryApi) -> None:
        self._api = api
        self._commits: dict[str, Commit] = {}

    def head(self) -> str:
        """The commit that the default branch points at now."""
        return str(self._api.get(f"/git/ref/heads/{quote(self._api.default_branch())}")["object"]["sha"])

    def queued(self, number: int) -> tuple[str, ...]:
        """The commits by which a merge queue of the default branch tries a pull request out.

        https://docs.github.com/en/repositories/configuring-branches-and-merges-in-your-repository/configuring-pull-request-merges/managing-a-merge-queue
        """
        queue = f"gh-readonly-queue/{self._api.default_branch()}/pr-{number}-"
        rows = self._api.get_or_none("/git/matching-refs/heads/gh-readonly-queue/") or []
        return tuple(str(row["object"]["sha"]) for row in rows if row["ref"].startswith(f"refs/heads/{queue}"))

    def first_parents(self, sha: str) -> Iterator[Commit]:
        """The branch's own line: `sha`, its first parent, and so on to the first commit."""
        while True:
            commit = self._listed_commit(sha)
            yield commit
            if not commit.parents:
                return
            sha = commit.parents[0]

    def commit(self, sha: str) -> Commit:
        """One commit, wherever it is."""
        return self._listed_commit(sha)

    def first_commit_of(self, path: str) -> str | None:
        """The oldest commit of the default branch that has a file at `path`; None where there is none."""
        rows = [row for page in self._api.pages("/commits", sha=self._api.default_branch(), path=path) for row in page]
        for row in reversed(rows):
            self._remember_commit(_commit_row(row))
            if self.object_id(row["sha"], path) is not None:
                return str(row["sha"])
        return None

    def file(self, commit: str, path: str, most_bytes: int | None = None) -> Blob | None:
        """The file at `path` as of `commit`; None where there is none. Raises Refused, unread, for a larger one."""
        entry = self._entry(commit, path)
        if entry is None:
            return None
        if most_bytes is not None and (entry["type"] != "blob" or entry.get("size", 0) > most_bytes):
            raise Refused(f"{path} in {self._api.name} is no file of at most {most_bytes} bytes")
        body = self._api.immutable(f"/git/blobs/{entry['sha']}")
        return Blob(str(entry["sha"]), base64.b64decode(body["content"]))

    def object_id(self, commit: str, path: str) -> str | None:
        """The id of the blob or tree at `path` as of `commit`; None where there is none."""
        entry = self._entry(commit, path)
        return None if entry is None else str(entry["sha"])

    def _entry(self, commit: str, path: str) -> Mapping[str, Any] | None:
        """The row of `path` in its folder's tree as of `commit`."""
        found: Mapping[str, Any] = {"type": "tree", "sha": self.commit(commit).tree}
        for name in path.split("/"):
            rows = self._tree(str(found["sha"])) if found["type"] == "tree" else ()
            row = next((e for e in rows if e["path"] == name), None)
            if row is None:
                return None
            found = row
        return found

    def changed_paths(self, before: str, after: str) -> tuple[str, ...]:
        """Every path whose content differs between two commits; equal trees are not opened."""
        return tuple(sorted(self._differences(self.commit(before).tree, self.commit(after).tree, "")))

    def _differences(self, before: str | None, after: str | None, folder: str) -> Iterator[str]:
        if before == after:
            return
        old = {e["path"]: e for e in self._tree(before)} if before else {}
        new = {e["path"]: e for e in self._tree(after)} if after else {}
        for name in old.keys() | new.keys():
            one, other = old.get(name), new.get(name)
            if one and other and one["sha"] == other["sha"] and one["mode"] == other["mode"]:
                continue
            trees = [e["sha"] if e and e["type"] == "tree" else None for e in (one, other)]
            if any(trees):
                yield from self._differences(trees[0], trees[1], f"{folder}{name}/")
            if any(e and e["type"] != "tree" for e in (one, other)):
                yield f"{folder}{name}"

    def _tree(self, sha: str) -> Sequence[Mapping[str, Any]]:
        entries: Sequence[Mapping[str, Any]] = self._api.immutable(f"/git/trees/{sha}")["tree"]
        return entries

    def _listed_commit(self, sha: str) -> Commit:
        """A commit from the list that starts with it, whose other rows are kept too: they are asked for next."""
        known = self._known_commit(sha)
        if known is None:
            rows = self._api.get("/commits", sha=sha, per_page=30)
            for row in rows:
                self._remember_commit(_commit_row(row))
            known = self._known_commit(sha)
        if known is None:
            raise Refused(f"{self._api.name} has no commit {sha}")
        return known

    def _known_commit(self, sha: str) -> Commit | None:
        if sha in self._commits:
            return self._commits[sha]
        raw = self._api.cache.get(f"github:commit:{self._api.name}:{sha}")
        if raw is None:
            return None
        row = json.loads(raw)
        self._commits[sha] = Commit(
            row["sha"],
            row["tree"],
            tuple(row["parents"]),
            Login(row["author"]),
            datetime.fromisoformat(row["committed_at"]),
            row.get("title", ""),
        )
        return self._commits[sha]

    def _remember_commit(self, commit: Commit) -> None:
        self._commits[commit.sha] = commit
        row = {
            "sha": commit.sha,
            "tree": commit.tree,
            "parents": commit.parents,
            "author": commit.author,
            "committed_at": commit.committed_at.isoformat(),
            "title": commit.title,
        }
        self._api.cache.set(f"github:commit:{self._api.name}:{commit.sha}", json.dumps(row).encode(), KEPT)

    def on_branch(self, sha: str, branch: str) -> tuple[str, bool] | None:
        """A commit's whole id and whether `branch` holds it; None where the repository has no such commit.

        Raises Misconfigured for a repository that the bot cannot read, which GitHub shows like one that is not there.
        """
        commit = self._found(sha)
        if commit is None:
            return None
        compared = self._or_none(f"/compare/{quote(branch, safe='')}...{commit.sha}")
        return commit.sha, compared is not None and compared["status"] in ("identical", "behind")

    def find(self, sha: str) -> Commit | None:
        """The commit of an id, whole or shortened; None where the repository has none. Raises as `on_branch` does.

        GitHub takes a branch's name there too: what it finds for one is no commit of that id. Commits that only a fork
        has are found as well.
        """
        commit = self._found(sha)
        return commit if commit is not None and commit.sha.startswith(sha) else None

    def tagged(self, tag: str) -> Commit | None:
        """The commit that a git tag names; None where there is no tag of that name, or no tag could have it."""
        if not _REF_NAME.fullmatch(tag):
            return None
        row = self._or_none(f"/commits/{quote(f'tags/{tag}', safe='')}")
        return self._kept(row) if row is not None else None

    def _found(self, name: str) -> Commit | None:
        """The commit that GitHub finds by a name; None where there is none, Misconfigured where it may not look."""
        row = self._or_none(f"/commits/{quote(name, safe='')}")
        if row is None:
            if self._api.get_or_none("") is None:
                raise Misconfigured(
                    f"the bot cannot read {self._api.name}: give it the permission “Contents: read” there"
                )
            return None
        return self._kept(row)

    def _kept(self, row: Mapping[str, Any]) -> Commit:
        commit = _commit_row(row)
        self._remember_commit(commit)
        return commit

    def _or_none(self, path: str) -> Any:  # noqa: ANN401 - a decoded answer
        try:
            return self._api.get(path)
        except GitHubRefusal as refusal:
            if refusal.status in (404, 409, 422):  # 422: no commit has such an id; 409: the repository is empty
                return None
            raise

    def create_commit(self, base: str, files: Mapping[str, str], message: str) -> Commit:
        """One commit on top of `base` with the text of every path in `files`; no ref points at it yet."""
        tree = self._api.write(
            "POST",
            "/git/trees",
            base_tree=self.commit(base).tree,
            tree=[{"path": path, "mode": "100644", "type": "blob", "content": text} for path, text in files.items()],
        )
        if not tree.get("truncated"):
            self._api.remember(f"/git/trees/{tree['sha']}", tree)
            for row in tree["tree"]:
                if row["path"] in files:
                    content = base64.b64encode(files[row["path"]].encode()).decode()
                    self._api.remember(f"/git/blobs/{row['sha']}", {"content": content})
        made = self._api.write("POST", "/git/commits", message=message, tree=tree["sha"], parents=[base])
        at, title = time_of(made["committer"]["date"]), message.partition("\n")[0]
        commit = Commit(made["sha"], tree["sha"], (base,), self._api.login(), at, title)
        self._remember_commit(commit)
        return commit

    def point_branch(self, branch: str, sha: str) -> None:
        """Create the branch, or move what is left of an earlier try."""
        try:
            self._create_branch(branch, sha)
        except GitHubRefusal as refusal:
            if refusal.status != 422 or "exists" not in refusal.messages.lower():
                raise
            self._move_branch(branch, sha)

    def renew_branch(self, branch: str, sha: str) -> None:
        """Move the branch, or create it where somebody deleted it."""
        try:
            self._move_branch(branch, sha)
        except GitHubRefusal as refusal:
            if refusal.status not in (404, 422):
                raise
            self._create_branch(branch, sha)

    def _create_branch(self, branch: str, sha: str) -> None:
        self._api.write("POST", "/git/refs", ref=f"refs/heads/{branch}", sha=sha)

    def _move_branch(self, branch: str, sha: str) -> None:
        self._api.write("PATCH", f"/git/refs/heads/{quote(branch)}", sha=sha, force=True)

    def delete_branch(self, branch: str) -> None:
        """Delete the branch if it is there."""
        try:
            self._api.write("DELETE", f"/git/refs/heads/{quote(branch)}")
        except GitHubRefusal as refusal:
            if refusal.status not in (404, 422):
                raise


def _commit_row(row: Mapping[str, Any]) -> Commit:
    return Commit(
        row["sha"],
        row["commit"]["tree"]["sha"],
        tuple(parent["sha"] for parent in row["parents"]),
        Login((row.get("author") or {}).get("login", "")),
        time_of(row["commit"]["committer"]["date"]),
        str(row["commit"].get("message", "")).partition("\n")[0],
    )
