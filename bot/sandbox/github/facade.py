"""The stand-in as a person uses it: push, open, approve, merge, revert, and look at what is there."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from werkzeug.wrappers import Request, Response

from bot.sandbox.github import apps, pages
from bot.sandbox.github import endpoints as endpoints  # registers them
from bot.sandbox.github.calls import House
from bot.sandbox.github.git import GitStore, Person
from bot.sandbox.github.server import Fault, Seen, Server
from bot.sandbox.github.state import App, Comment, Hook, Issue, Pull, Repo, Token, World


class GitHubSandbox:
    """One stand-in with its repositories, users, teams and Apps; a context manager."""

    def __init__(self) -> None:
        self.world = World()
        self._folder = tempfile.TemporaryDirectory(prefix="github-sandbox-")
        self._house = House.of(self.world)
        self.webhooks = self._house.webhooks
        self._server = Server(self._house, pages.Pages(self._house).answer)

    def __enter__(self) -> Self:
        self._server.start()
        self.webhooks.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.webhooks.stop()
        self._server.stop()
        self._folder.cleanup()

    @property
    def url(self) -> str:
        """Where it is served."""
        return self.world.url

    @property
    def api_url(self) -> str:
        """What GITHUB_API_URL must be."""
        return self.world.url

    @property
    def requests(self) -> list[Seen]:
        """Every request so far."""
        return self._server.requests

    def answer(self, request: Request) -> Response:
        """Answer one request in this process, for a test that needs no connection."""
        return self._server.answer(request)

    def close(self) -> None:
        """Remove what a stand-in that never served has on disk."""
        self._folder.cleanup()

    def fail(self, pattern: str, times: int = 1, status: int = 502, *, after: bool = False, **headers: str) -> None:
        """Answer the next requests whose `METHOD path` matches with an error, before or after they took effect."""
        self._server.faults.append(Fault(re.compile(pattern), times, status, dict(headers), after=after))

    def hang(self, pattern: str, times: int = 1, seconds: float = 3600) -> None:
        """Let the next requests that match wait for an answer, until the time is over or the stand-in stops."""
        self._server.faults.append(Fault(re.compile(pattern), times, 504, hang=seconds))

    def limit(self, login: str, left: int = 0, reset_in: float = 3600) -> None:
        """Let somebody make only so many more requests until the rate limit starts anew, in seconds from now."""
        self._server.allow(login, left, reset_in)

    def add_user(self, *logins: str) -> None:
        """Have these people."""
        for login in logins:
            self.world.users.setdefault(login, self.world.next_id())

    def add_team(self, organisation: str, slug: str, members: Sequence[str]) -> None:
        """Have a team with these members."""
        self.world.teams[organisation, slug] = list(members)

    def add_token(self, login: str, scopes: str | None = None) -> str:
        """A token of somebody's; a classic one has scopes, comma separated."""
        token = f"ghp_{self.world.next_id()}_{login}"
        self.world.tokens[token] = Token(login, scopes=scopes)
        return token

    def add_app(self, slug: str, webhook_url: str | None = None, webhook_secret: str = "") -> App:
        """Register a GitHub App."""
        return apps.register(self.world, slug, webhook_url, webhook_secret)

    def add_repository(
        self,
        full_name: str,
        files: Mapping[str, str],
        collaborators: Mapping[str, str] | None = None,
        install: Sequence[App] = (),
        *,
        private: bool = True,
    ) -> SandboxRepository:
        """Have a repository whose first commit holds `files`."""
        owner, _, name = full_name.partition("/")
        number = self.world.next_id()
        git = GitStore(Path(self._folder.name) / f"{number}.git", lambda: self.world.clock())  # noqa: PLW0108 - the clock may be set later
        repo = Repo(number, owner, name, git, private, collaborators=dict(collaborators or {}), apps=list(install))
        self.world.repos[full_name.lower()] = repo
        tree = git.tree_with(None, {path: text.encode() for path, text in files.items()})
        git.set_ref("refs/heads/main", git.commit(tree, [], "Initial commit", Person(owner, f"{owner}@example.com")))
        return SandboxRepository(self, repo, self._house)


@dataclass(frozen=True)
class SandboxRepository:
    """One repository."""

    github: GitHubSandbox
    repo: Repo
    _house: House

    def add_hook(self, url: str, secret: str) -> Hook:
        """Have the repository's changes delivered to an address."""
        hook = Hook(self.github.world.next_id(), url, secret)
        self.repo.hooks.append(hook)
        return hook

    def head(self, branch: str = "main") -> str:
        """The commit of a branch."""
        return self.repo.git.ref(f"refs/heads/{branch}") or ""

    def push(
        self,
        files: Mapping[str, str | None],
        message: str = "Change files",
        branch: str = "main",
        as_user: str = "alice",
    ) -> str:
        """Commit on a branch, made from main where it is new, and push it."""
        with self.github.world.lock:
            git, parent = self.repo.git, self.head(branch) or self.head()
            contents = {path: text.encode() if text is not None else None for path, text in files.items()}
            tree = git.tree_with(str(git.repo[parent].tree_id), contents)
            sha = git.commit(tree, [parent], message, Person(as_user, f"1+{as_user}@users.noreply.github.com"))
            git.set_ref(f"refs/heads/{branch}", sha)
            self._house.pulls.after_push(self.repo, f"refs/heads/{branch}", sha, as_user, before=parent)
            return sha

    def open_pull(self, branch: str, title: str, as_user: str = "alice", body: str = "") -> SandboxPull:
        """Open a pull request of a branch."""
        with self.github.world.lock:
            return self.pull(self._house.pulls.create(self.repo, title, branch, "main", body, as_user).number)

    def open_pull_from_fork(
        self, branch: str, files: Mapping[str, str | None], title: str, as_user: str
    ) -> SandboxPull:
        """Open a pull request of a branch in somebody's fork, with one commit on today's main."""
        with self.github.world.lock:
            git, world = self.repo.git, self.github.world
            contents = {path: text.encode() if text is not None else None for path, text in files.items()}
            tree = git.tree_with(str(git.repo[self.head()].tree_id), contents)
            sha = git.commit(tree, [self.head()], title, Person(as_user, f"1+{as_user}@users.noreply.github.com"))
            name = f"{as_user}/{self.repo.name}"
            fork = world.repos.get(name.lower()) or Repo(world.next_id(), as_user, self.repo.name, git)
            world.repos[name.lower()] = fork
            pull = self._house.pulls.create_from_fork(self.repo, fork, title, branch, sha, as_user)
            return self.pull(pull.number)

    def revert(self, number: int, as_user: str) -> SandboxPull:
        """Press GitHub's revert button on a merged pull request."""
        with self.github.world.lock:
            git, pull = self.repo.git, self.repo.pulls[number]
            merge = pull.merge_commit_sha or ""
            parent = str(git.repo[merge].parent_ids[0])
            index = git.repo.merge_trees(git.repo[merge].tree, git.repo[self.head()].tree, git.repo[parent].tree)
            branch, title = f"revert-{number}-{pull.head_ref}", f'Revert "{self.repo.issues[number].title}"'
            author = Person(as_user, f"1+{as_user}@users.noreply.github.com")
            sha = git.commit(str(index.write_tree(git.repo)), [self.head()], title, author)
            git.set_ref(f"refs/heads/{branch}", sha)
            self._house.pulls.after_push(self.repo, f"refs/heads/{branch}", sha, as_user, created=True)
            return self.open_pull(branch, title, as_user, f"Reverts {self.repo.full_name}#{number}")

    def pull(self, number: int) -> SandboxPull:
        """One pull request."""
        return SandboxPull(self, self.repo.pulls[number])

    def pulls(self, state: str = "open") -> list[SandboxPull]:
        """Pull requests by state, `all` for every one."""
        return [self.pull(n) for n in sorted(self.repo.pulls) if state in ("all", self.repo.issues[n].state)]

    def file(self, path: str, ref: str = "main") -> str | None:
        """The text of a file on a branch."""
        content = self.repo.git.file(self.head(ref), path)
        return content.decode() if content is not None else None

    def tags(self) -> dict[str, str]:
        """Tags and the commits that they point at."""
        prefix = "refs/tags/"
        names = [name for name in self.repo.git.repo.references if name.startswith(prefix)]
        return {name.removeprefix(prefix): self.repo.git.ref(name) or "" for name in names}

    def releases(self) -> list[dict[str, Any]]:
        """Releases, oldest first."""
        return list(self.repo.releases)

    def deployments(self) -> list[dict[str, Any]]:
        """Deployments, oldest first, each with its statuses."""
        known = self.repo.deployment_statuses
        return [{**row, "statuses": list(known.get(row["id"], []))} for row in self.repo.deployments]

    def open_issue(self, title: str, as_user: str = "alice") -> int:
        """Open an issue; its number."""
        with self.github.world.lock:
            now = self.github.world.clock()
            issue = Issue(self.repo.next_number(), title, "", as_user, now, now)
            self.repo.issues[issue.number] = issue
            self._house.pulls.announce(self.repo, issue, "opened", as_user)
            return issue.number

    def comment(self, issue: int, as_user: str, body: str) -> int:
        """Say something under an issue or a pull request; the comment's id."""
        with self.github.world.lock:
            return self._house.comments.add(self.repo, self.repo.issues[issue], as_user, body).id

    def comments(self, issue: int) -> list[Comment]:
        """What was said under an issue or a pull request, oldest first."""
        return list(self.repo.issues[issue].comments)

    def reactions(self, comment: int) -> list[str]:
        """How others reacted to a comment."""
        _, found = self._house.comments.find(self.repo, comment)
        return [reaction.content for reaction in found.reactions]

    def edit_comment(self, comment: int, as_user: str, body: str) -> None:
        """Say something differently."""
        with self.github.world.lock:
            self._house.comments.edit(self.repo, comment, as_user, body)

    def delete_comment(self, comment: int, as_user: str) -> None:
        """Take something back."""
        with self.github.world.lock:
            self._house.comments.delete(self.repo, comment, as_user)

    def issues(self, state: str = "open") -> list[Any]:
        """Issues that are no pull requests."""
        found = [i for i in list(self.repo.issues.values()) if i.number not in self.repo.pulls]
        return [issue for issue in found if state in ("all", issue.state)]

    def check_run(self, app: App, sha: str, name: str, conclusion: str | None) -> None:
        """Let an App report on a commit; None while it is at it."""
        said = {"conclusion": conclusion} if conclusion else {"status": "in_progress"}
        with self.github.world.lock:
            self._house.checks.run(self.repo, app, sha, name, said)

    def status(self, login: str, sha: str, context: str, state: str) -> None:
        """Let somebody set a status of a commit."""
        with self.github.world.lock:
            self._house.checks.status(self.repo, login, sha, state, {"context": context})

    def check_runs(self, sha: str) -> list[dict[str, Any]]:
        """Check runs of a commit, oldest first."""
        return [run for run in self.repo.check_runs if run["head_sha"] == sha]

    def statuses(self, sha: str) -> list[dict[str, Any]]:
        """Statuses of a commit, oldest first."""
        return [row for row in self.repo.statuses if row["sha"] == sha]

    def branches(self) -> list[str]:
        """The branches that there are."""
        return sorted(
            n.removeprefix("refs/heads/") for n in self.repo.git.repo.references if n.startswith("refs/heads/")
        )


@dataclass(frozen=True)
class SandboxPull:
    """One pull request, and what a person does with it."""

    repository: SandboxRepository
    pull: Pull

    @property
    def number(self) -> int:
        """Its number."""
        return self.pull.number

    @property
    def head_ref(self) -> str:
        """Its branch."""
        return self.pull.head_ref

    @property
    def head_sha(self) -> str:
        """Its newest commit."""
        return self.pull.head_sha

    @property
    def merged(self) -> bool:
        """Whether it is merged."""
        return self.pull.merged_at is not None

    @property
    def is_open(self) -> bool:
        """Whether it waits."""
        return self.repository.repo.issues[self.number].state == "open"

    @property
    def title(self) -> str:
        """Its title."""
        return self.repository.repo.issues[self.number].title

    @property
    def body(self) -> str:
        """Its text."""
        return self.repository.repo.issues[self.number].body

    @property
    def labels(self) -> list[str]:
        """Its labels."""
        return list(self.repository.repo.issues[self.number].labels)

    @property
    def author(self) -> str:
        """Who opened it."""
        return self.repository.repo.issues[self.number].author

    def approve(self, as_user: str) -> None:
        """Approve the head as it is now."""
        self._review(as_user, "APPROVE")

    def request_changes(self, as_user: str) -> None:
        """Request changes."""
        self._review(as_user, "REQUEST_CHANGES")

    def dismiss_reviews(self, as_user: str) -> None:
        """Dismiss every review."""
        with self.repository.github.world.lock:
            for row in self.pull.reviews:
                self.repository._house.pulls.dismiss(self.repository.repo, self.pull, row["id"], as_user)  # noqa: SLF001

    def comment(self, as_user: str, body: str) -> int:
        """Comment on it; the comment's id."""
        with self.repository.github.world.lock:
            repo = self.repository.repo
            return self.repository._house.comments.add(repo, repo.issues[self.number], as_user, body).id  # noqa: SLF001

    def enqueue(self, as_user: str) -> str:
        """Put it into the merge queue; the commit by which the queue tries it out."""
        with self.repository.github.world.lock:
            return self.repository._house.pulls.enqueue(self.repository.repo, self.pull, as_user)  # noqa: SLF001

    def label(self, name: str, as_user: str) -> None:
        """Put a label on it."""
        with self.repository.github.world.lock:
            repo = self.repository.repo
            self.repository._house.pulls.label(repo, repo.issues[self.number], name, as_user)  # noqa: SLF001

    def unlabel(self, name: str, as_user: str) -> None:
        """Take a label off it."""
        with self.repository.github.world.lock:
            repo = self.repository.repo
            self.repository._house.pulls.unlabel(repo, repo.issues[self.number], name, as_user)  # noqa: SLF001

    @property
    def comments(self) -> list[Comment]:
        """What was said under it, oldest first."""
        return list(self.repository.repo.issues[self.number].comments)

    def merge(self, as_user: str, method: str = "merge") -> str:
        """Merge it."""
        with self.repository.github.world.lock:
            return self.repository._house.pulls.merge(self.repository.repo, self.pull, as_user, method, None)  # noqa: SLF001

    def close(self, as_user: str) -> None:
        """Close it unmerged."""
        with self.repository.github.world.lock:
            issue = self.repository.repo.issues[self.number]
            self.repository._house.pulls.set_state(self.repository.repo, issue, "closed", as_user)  # noqa: SLF001

    def check(self, name: str) -> str | None:
        """How the newest check run or status of a name on its head stands."""
        runs = [r for r in self.repository.check_runs(self.head_sha) if r["name"] == name]
        if runs:
            return str(runs[-1]["conclusion"] or runs[-1]["status"])
        rows = [r for r in self.repository.statuses(self.head_sha) if r["context"] == name]
        return str(rows[-1]["state"]) if rows else None

    def _review(self, as_user: str, event: str) -> None:
        with self.repository.github.world.lock:
            self.repository._house.pulls.review(self.repository.repo, self.pull, as_user, event, "")  # noqa: SLF001
