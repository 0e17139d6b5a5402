"""The stand-in's git is git: the same ids as the git program gives, and merges as GitHub makes them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.sandbox.github import GitHubSandbox, SandboxRepository
from bot.sandbox.github.errors import ApiError

FILES = {"a.txt": "one\n", "folder/b.txt": "two\n"}


@pytest.fixture
def repository() -> Iterator[SandboxRepository]:
    with GitHubSandbox() as github:
        github.add_user("alice", "bob")
        yield github.add_repository("acme/models", FILES, {"alice": "admin", "bob": "write"})


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_trees_and_blobs_have_the_ids_that_git_gives(repository: SandboxRepository, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    git(tmp_path, "add", ".")
    store = repository.repo.git
    head = store.repo[repository.head()]
    assert str(head.tree_id) == git(tmp_path, "write-tree")
    assert str(head.tree["a.txt"].id) == git(tmp_path, "hash-object", "a.txt")
    assert git(Path(store.repo.path), "fsck", "--strict") == ""


def parents(repository: SandboxRepository, sha: str) -> list[str]:
    return [str(parent) for parent in repository.repo.git.repo[sha].parent_ids]


def test_a_merge_commit_has_base_and_head_as_parents(repository: SandboxRepository) -> None:
    repository.push({"a.txt": "changed\n"}, branch="change")
    pull = repository.open_pull("change", "Change a")
    repository.push({"folder/b.txt": "meanwhile\n"})
    base, head = repository.head(), pull.head_sha
    sha = pull.merge("bob")
    assert parents(repository, sha) == [base, head]
    assert (repository.file("a.txt"), repository.file("folder/b.txt")) == ("changed\n", "meanwhile\n")


def test_a_squash_is_one_commit_with_the_title(repository: SandboxRepository) -> None:
    repository.push({"a.txt": "first\n"}, branch="change")
    repository.push({"a.txt": "second\n"}, branch="change")
    pull = repository.open_pull("change", "Change a")
    base = repository.head()
    sha = pull.merge("bob", "squash")
    assert parents(repository, sha) == [base]
    assert repository.repo.git.repo[sha].message == f"Change a (#{pull.number})"
    assert repository.file("a.txt") == "second\n"


def test_a_rebase_makes_each_commit_anew(repository: SandboxRepository) -> None:
    repository.push({"a.txt": "first\n"}, "First", branch="change")
    repository.push({"a.txt": "second\n"}, "Second", branch="change")
    pull = repository.open_pull("change", "Change a")
    repository.push({"folder/b.txt": "meanwhile\n"})
    base = repository.head()
    sha = pull.merge("bob", "rebase")
    (first,) = parents(repository, sha)
    assert parents(repository, first) == [base]
    messages = [repository.repo.git.repo[each].message for each in (first, sha)]
    assert messages == ["First", "Second"]


def test_two_changes_of_one_line_conflict(repository: SandboxRepository) -> None:
    repository.push({"a.txt": "mine\n"}, branch="change")
    pull = repository.open_pull("change", "Change a")
    repository.push({"a.txt": "theirs\n"})
    with pytest.raises(ApiError, match="not mergeable"):
        pull.merge("bob")
    assert not pull.merged
