"""What happens to pull requests: heads that move, lazily computed merges, reviews, merging as GitHub merges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.sandbox.github.errors import ApiError
from bot.sandbox.github.git import GITHUB, Person
from bot.sandbox.github.shapes import Shapes, stamp
from bot.sandbox.github.state import Issue, Pull, Repo, World
from bot.sandbox.github.webhooks import Webhooks


class Pulls:
    """The life of pull requests in one world."""

    def __init__(self, world: World, shapes: Shapes, webhooks: Webhooks) -> None:
        self._world = world
        self._shapes = shapes
        self._webhooks = webhooks

    def create(self, repo: Repo, title: str, head: str, base: str, body: str, login: str) -> Pull:
        """Open a pull request."""
        head_sha, base_sha = repo.git.ref(f"refs/heads/{head}"), repo.git.ref(f"refs/heads/{base}")
        if head_sha is None or base_sha is None:
            raise ApiError(422, "Validation Failed", {"resource": "PullRequest", "field": "head", "code": "invalid"})
        for pull in repo.pulls.values():
            if repo.issues[pull.number].state == "open" and (pull.head_ref, pull.base_ref) == (head, base):
                message = f"A pull request already exists for {repo.owner}:{head}."
                raise ApiError(
                    422, "Validation Failed", {"resource": "PullRequest", "code": "custom", "message": message}
                )
        if repo.git.is_ancestor(head_sha, base_sha):
            message = f"No commits between {base} and {head}"
            raise ApiError(422, "Validation Failed", {"resource": "PullRequest", "code": "custom", "message": message})
        return self._open(repo, Pull(0, head, base, head_sha, base_sha), title, body, login)

    def create_from_fork(self, repo: Repo, fork: Repo, title: str, head: str, sha: str, login: str) -> Pull:
        """Open a pull request whose branch is in a fork; its commits can be read here too, as GitHub has it."""
        base = repo.git.ref(f"refs/heads/{repo.default_branch}") or ""
        return self._open(repo, Pull(0, head, repo.default_branch, sha, base, fork=fork), title, "", login)

    def _open(self, repo: Repo, pull: Pull, title: str, body: str, login: str) -> Pull:
        now = self._world.clock()
        issue = Issue(repo.next_number(), title, body, login, now, now)
        pull.number, head_sha = issue.number, pull.head_sha
        repo.issues[issue.number], repo.pulls[issue.number] = issue, pull
        repo.git.set_ref(f"refs/pull/{issue.number}/head", head_sha)
        self.announce(repo, issue, "opened", login)
        return pull

    def compute(self, repo: Repo, pull: Pull) -> None:
        """What GitHub does in the background after a read: the test merge and whether it is clean."""
        base = repo.git.ref(f"refs/heads/{pull.base_ref}") or pull.base_sha
        if repo.issues[pull.number].state != "open" or pull.computed_for == (base, pull.head_sha):
            return
        tree = repo.git.merged_tree(base, pull.head_sha)
        pull.mergeable = tree is not None
        pull.computed_for = (base, pull.head_sha)
        if tree is not None:
            message = f"Merge {pull.head_sha} into {base}"
            pull.merge_commit_sha = repo.git.commit(tree, [base, pull.head_sha], message, GITHUB)
            repo.git.set_ref(f"refs/pull/{pull.number}/merge", pull.merge_commit_sha)

    def after_push(
        self, repo: Repo, ref: str, sha: str, login: str, *, created: bool = False, before: str = ""
    ) -> None:
        """A branch moved: heads follow, merges are unknown again, everybody hears of it."""
        branch = ref.removeprefix("refs/heads/")
        if branch != ref:
            self._follow(repo, branch, sha, login)
        self._webhooks.emit(
            repo,
            "push",
            login,
            ref=ref,
            before=before or "0" * 40,
            after=sha,
            created=created,
            deleted=False,
            forced=False,
            commits=[],
            head_commit=None,
            base_ref=None,
            compare=self._shapes.html(repo, f"/compare/{before or sha}...{sha}"),
            pusher={"name": login, "email": f"{login}@example.com"},
        )

    def _follow(self, repo: Repo, branch: str, sha: str, login: str) -> None:
        for pull in repo.pulls.values():
            issue = repo.issues[pull.number]
            if issue.state != "open":
                continue
            if pull.head_ref == branch and pull.head_sha != sha and pull.fork is None:
                pull.head_sha = sha
                repo.git.set_ref(f"refs/pull/{pull.number}/head", sha)
                self._unknown(pull)
                issue.updated_at = self._world.clock()
                self.announce(repo, issue, "synchronize", login)
            if pull.base_ref == branch:
                self._unknown(pull)

    @staticmethod
    def _unknown(pull: Pull) -> None:
        pull.mergeable, pull.computed_for = None, None

    def after_delete(self, repo: Repo, ref: str, login: str) -> None:
        """A branch is gone: open pull requests from it are closed."""
        branch = ref.removeprefix("refs/heads/")
        for pull in repo.pulls.values():
            issue = repo.issues[pull.number]
            if pull.head_ref == branch and issue.state == "open" and pull.fork is None:
                self.set_state(repo, issue, "closed", login)
        self._webhooks.emit(repo, "delete", login, ref=branch, ref_type="branch", pusher_type="user")

    def set_state(self, repo: Repo, issue: Issue, state: str, login: str) -> None:
        """Close or reopen."""
        issue.state = state
        issue.closed_by = login if state == "closed" else None
        issue.updated_at = self._world.clock()
        self.announce(repo, issue, "closed" if state == "closed" else "reopened", login)

    def edit(self, repo: Repo, issue: Issue, fields: Mapping[str, Any], login: str) -> None:
        """Change the title, the text or the state."""
        issue.title = fields.get("title", issue.title)
        issue.body = fields.get("body", issue.body) or ""
        if fields.get("state", issue.state) != issue.state:
            self.set_state(repo, issue, fields["state"], login)
        else:
            issue.updated_at = self._world.clock()
            self.announce(repo, issue, "edited", login)

    def enqueue(self, repo: Repo, pull: Pull, login: str) -> str:
        """Put a pull request into the merge queue, which tries it out on a branch of its own; that branch's commit."""
        base = repo.git.ref(f"refs/heads/{pull.base_ref}") or pull.base_sha
        tree = repo.git.merged_tree(base, pull.head_sha)
        if tree is None:
            raise ApiError(405, "Pull Request is not mergeable")
        message = f"Merge pull request #{pull.number} from {repo.owner}/{pull.head_ref}"
        sha = repo.git.commit(tree, [base, pull.head_sha], message, GITHUB, GITHUB)
        ref = f"refs/heads/gh-readonly-queue/{pull.base_ref}/pr-{pull.number}-{base}"
        repo.git.set_ref(ref, sha)
        group = {
            "head_sha": sha,
            "head_ref": ref,
            "base_sha": base,
            "base_ref": f"refs/heads/{pull.base_ref}",
            "head_commit": {
                "id": sha,
                "tree_id": tree,
                "message": message,
                "timestamp": stamp(self._world.clock()),
                "author": {"name": "GitHub", "email": "noreply@github.com"},
                "committer": {"name": "GitHub", "email": "noreply@github.com"},
            },
        }
        self._webhooks.emit(repo, "merge_group", login, action="checks_requested", merge_group=group)
        return sha

    def unlabel(self, repo: Repo, issue: Issue, name: str, login: str) -> None:
        """Take a label off."""
        issue.labels.remove(name)
        issue.updated_at = self._world.clock()
        self.announce(repo, issue, "unlabeled", login)

    def label(self, repo: Repo, issue: Issue, name: str, login: str) -> None:
        """Put a label on."""
        issue.labels.append(name)
        issue.updated_at = self._world.clock()
        self.announce(repo, issue, "labeled", login)

    def request_reviews(self, repo: Repo, pull: Pull, logins: list[str], teams: list[str]) -> None:
        """Ask for reviews; GitHub takes nobody who may not see the repository, nor the author."""
        issue = repo.issues[pull.number]
        known = {slug for owner, slug in self._world.teams if owner == repo.owner}
        if any(login not in repo.collaborators or login == issue.author for login in logins) or set(teams) - known:
            raise ApiError(422, "Reviews may only be requested from collaborators.")
        pull.reviewers += [login for login in logins if login not in pull.reviewers]
        pull.team_reviewers += [team for team in teams if team not in pull.team_reviewers]
        issue.updated_at = self._world.clock()

    def announce(self, repo: Repo, issue: Issue, action: str, login: str) -> None:
        """Tell the hooks what happened to an issue or pull request."""
        pull = repo.pulls.get(issue.number)
        if pull is not None:
            shown = self._shapes.pull(repo, pull)
            changes: dict[str, Any] = {"changes": {}} if action == "edited" else {}
            self._webhooks.emit(
                repo, "pull_request", login, action=action, number=pull.number, pull_request=shown, **changes
            )
        else:
            self._webhooks.emit(repo, "issues", login, action=action, issue=self._shapes.issue(repo, issue))

    def review(self, repo: Repo, pull: Pull, login: str, event: str, body: str) -> dict[str, Any]:
        """Review the head as it is now."""
        issue = repo.issues[pull.number]
        states = {"APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED", "COMMENT": "COMMENTED"}
        if issue.author == login and event != "COMMENT":
            raise ApiError(422, "Unprocessable Entity", {"message": "Can not approve your own pull request"})
        url, html = self._shapes.api(repo, f"/pulls/{pull.number}"), self._shapes.html(repo, f"/pull/{pull.number}")
        row = {
            "id": self._world.next_id(),
            "node_id": "RV",
            "user": self._shapes.user(login),
            "body": body,
            "state": states[event],
            "commit_id": pull.head_sha,
            "submitted_at": stamp(self._world.clock()),
            "html_url": html,
            "pull_request_url": url,
            "_links": {"html": {"href": html}, "pull_request": {"href": url}},
            "author_association": "COLLABORATOR",
        }
        pull.reviews.append(row)
        issue.updated_at = self._world.clock()
        shown = self._shapes.pull(repo, pull, full=False)
        self._webhooks.emit(repo, "pull_request_review", login, action="submitted", review=row, pull_request=shown)
        return row

    def dismiss(self, repo: Repo, pull: Pull, number: int, login: str) -> None:
        """Take a review's weight away."""
        for row in pull.reviews:
            if row["id"] == number:
                row["state"] = "DISMISSED"
                shown = self._shapes.pull(repo, pull, full=False)
                self._webhooks.emit(
                    repo, "pull_request_review", login, action="dismissed", review=row, pull_request=shown
                )

    def merge(self, repo: Repo, pull: Pull, login: str, method: str, expected: str | None) -> str:
        """Merge as GitHub does, by a merge commit, squashed, or rebased; the merge commit's id."""
        issue = repo.issues[pull.number]
        if issue.state != "open":
            raise ApiError(405, "Pull Request is not mergeable")
        if expected is not None and expected != pull.head_sha:
            raise ApiError(409, "Head branch was modified. Review and try the merge again.")
        base = repo.git.ref(f"refs/heads/{pull.base_ref}") or pull.base_sha
        tree = repo.git.merged_tree(base, pull.head_sha)
        if tree is None:
            raise ApiError(405, "Pull Request is not mergeable")
        if repo.strict and not repo.git.is_ancestor(base, pull.head_sha):
            raise ApiError(405, "Head branch is out of date. Review and try the merge again.")
        if repo.reviews_required > sum(review["state"] == "APPROVED" for review in pull.reviews):
            raise ApiError(405, "At least 1 approving review is required by reviewers with write access.")
        author = Person(
            login, f"{self._world.users.setdefault(login, self._world.next_id())}+{login}@users.noreply.github.com"
        )
        if method == "merge":
            message = f"Merge pull request #{pull.number} from {repo.owner}/{pull.head_ref}\n\n{issue.title}"
            sha = repo.git.commit(tree, [base, pull.head_sha], message, author, GITHUB)
        elif method == "squash":
            sha = repo.git.commit(tree, [base], f"{issue.title} (#{pull.number})", author, GITHUB)
        else:
            sha = repo.git.rebased(base, pull.head_sha, author)
        pull.merged_at, pull.merged_by, pull.merge_commit_sha = self._world.clock(), login, sha
        pull.base_sha = base
        self.set_state(repo, issue, "closed", login)
        repo.git.set_ref(f"refs/heads/{pull.base_ref}", sha)
        self.after_push(repo, f"refs/heads/{pull.base_ref}", sha, login, before=base)
        return sha
