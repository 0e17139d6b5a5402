"""Things of the stand-in as GitHub's REST API shows them (https://docs.github.com/en/rest)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from bot.sandbox.github import links
from bot.sandbox.github.state import App, Comment, Issue, Pull, Reaction, Repo, World

JSON = dict[str, Any]


def stamp(at: datetime | None) -> str | None:
    """A time as GitHub writes it."""
    return f"{at:%Y-%m-%dT%H:%M:%SZ}" if at else None


class Shapes:
    """Builds answers for one world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def api(self, repo: Repo, path: str = "") -> str:
        """An API address of a repository."""
        return f"{self._world.url}/repos/{repo.full_name}{path}"

    def html(self, repo: Repo, path: str = "") -> str:
        """A page of a repository."""
        return f"{self._world.url}/{repo.full_name}{path}"

    def user(self, login: str) -> JSON:
        """https://docs.github.com/en/rest/users/users"""
        is_bot = login.endswith("[bot]")
        return {
            "login": login,
            "id": self._world.users.setdefault(login, self._world.next_id()),
            "node_id": f"U_{login}",
            "avatar_url": "",
            "url": f"{self._world.url}/users/{login}",
            "html_url": f"{self._world.url}/{login}",
            **links.of_user(f"{self._world.url}/users/{login}"),
            "type": "Bot" if is_bot else "User",
            "site_admin": False,
        }

    def full_user(self, login: str) -> JSON:
        """https://docs.github.com/en/rest/users/users#get-the-authenticated-user"""
        unsaid = ("bio", "blog", "company", "email", "hireable", "location", "name")
        counts = ("followers", "following", "public_gists", "public_repos")
        return {
            **self.user(login),
            **dict.fromkeys(unsaid),
            **dict.fromkeys(counts, 0),
            "created_at": links.BORN,
            "updated_at": links.BORN,
        }

    def installation(self, repo: Repo, app: App) -> JSON:
        """https://docs.github.com/en/rest/apps/apps#get-a-repository-installation-for-the-authenticated-app"""
        number = app.id * 10
        owner = self.user(repo.owner)
        return {
            "id": number,
            "app_id": app.id,
            "app_slug": app.slug,
            "account": owner,
            "target_id": owner["id"],
            "target_type": "Organization",
            "access_tokens_url": f"{self._world.url}/app/installations/{number}/access_tokens",
            "repositories_url": f"{self._world.url}/installation/repositories",
            "html_url": f"{self._world.url}/settings/installations/{number}",
            "permissions": self.app(app)["permissions"],
            "events": self.app(app)["events"],
            "repository_selection": "selected",
            "single_file_name": None,
            "created_at": links.BORN,
            "updated_at": links.BORN,
            "suspended_at": None,
            "suspended_by": None,
        }

    def repository(self, repo: Repo) -> JSON:
        """https://docs.github.com/en/rest/repos/repos#get-a-repository"""
        return {
            **links.of_repository(self.api(repo), self.html(repo)),
            "id": repo.id,
            "node_id": f"R_{repo.id}",
            "name": repo.name,
            "full_name": repo.full_name,
            "owner": self.user(repo.owner),
            "private": repo.private,
            "html_url": self.html(repo),
            "url": self.api(repo),
            "default_branch": repo.default_branch,
            "fork": False,
            "archived": False,
            "allow_merge_commit": True,
            "allow_squash_merge": True,
            "allow_rebase_merge": True,
        }

    def app(self, app: App) -> JSON:
        """https://docs.github.com/en/rest/apps/apps"""
        return {
            "id": app.id,
            "slug": app.slug,
            "node_id": f"A_{app.id}",
            "name": app.slug,
            "owner": self.user("acme"),
            "description": None,
            "external_url": "https://example.com",
            "html_url": f"{self._world.url}/apps/{app.slug}",
            "created_at": links.BORN,
            "updated_at": links.BORN,
            "permissions": dict(app.permissions or links.APP_PERMISSIONS),
            "events": list(app.events or links.APP_EVENTS),
        }

    def commit(self, repo: Repo, commit: Any) -> JSON:  # noqa: ANN401 - pygit2's commit
        """https://docs.github.com/en/rest/commits/commits"""
        sha = str(commit.id)
        login = commit.author.email.partition("@")[0].partition("+")[2]
        return {
            "sha": sha,
            "node_id": f"C_{sha}",
            "url": self.api(repo, f"/commits/{sha}"),
            "html_url": self.html(repo, f"/commit/{sha}"),
            "comments_url": self.api(repo, f"/commits/{sha}/comments"),
            "commit": {
                "author": person(commit.author),
                "committer": person(commit.committer),
                "message": commit.message,
                "tree": {"sha": str(commit.tree_id), "url": self.api(repo, f"/git/trees/{commit.tree_id}")},
                "url": self.api(repo, f"/git/commits/{sha}"),
                "comment_count": 0,
                "verification": links.UNSIGNED,
            },
            "author": self.user(login) if login else None,
            "committer": self.user(login) if login else None,
            "parents": [
                {"sha": str(p), "url": self.api(repo, f"/commits/{p}"), "html_url": self.html(repo, f"/commit/{p}")}
                for p in commit.parent_ids
            ],
        }

    def comparison(self, repo: Repo, base: Any, head: Any) -> JSON:  # noqa: ANN401 - pygit2's commits
        """https://docs.github.com/en/rest/commits/commits#compare-two-commits"""
        shared = repo.git.repo.merge_base(base.id, head.id)
        states = {(True, True): "identical", (True, False): "ahead", (False, True): "behind"}
        url = self.api(repo, f"/compare/{base.id}...{head.id}")
        page = self.html(repo, f"/compare/{base.id}...{head.id}")
        merge_base = repo.git.repo[shared] if shared else base
        return {
            "url": url,
            "html_url": page,
            "permalink_url": page,
            "diff_url": f"{page}.diff",
            "patch_url": f"{page}.patch",
            "base_commit": self.commit(repo, base),
            "merge_base_commit": self.commit(repo, merge_base),
            "status": states.get((shared == base.id, shared == head.id), "diverged"),
            "ahead_by": 0,
            "behind_by": 0,
            "total_commits": 0,
            "commits": [],
            "files": [],
        }

    def pull(self, repo: Repo, pull: Pull, *, full: bool = True) -> JSON:
        """https://docs.github.com/en/rest/pulls/pulls"""
        issue = repo.issues[pull.number]
        url, html = self.api(repo, f"/pulls/{pull.number}"), self.html(repo, f"/pull/{pull.number}")
        issue_url = self.api(repo, f"/issues/{pull.number}")
        shown = {
            **links.of_pull(url, html, issue_url, self.api(repo), pull.head_sha),
            "id": 50_000 + pull.number,
            "node_id": f"PR_{pull.number}",
            "number": pull.number,
            "url": url,
            "html_url": html,
            "issue_url": issue_url,
            "state": issue.state,
            "locked": False,
            "title": issue.title,
            "user": self.user(issue.author),
            "body": issue.body,
            "labels": [self.label(repo, name) for name in issue.labels],
            "draft": False,
            "created_at": stamp(issue.created_at),
            "updated_at": stamp(issue.updated_at),
            "closed_at": stamp(issue.updated_at) if issue.state == "closed" else None,
            "merged_at": stamp(pull.merged_at),
            "merge_commit_sha": pull.merge_commit_sha,
            "assignees": [],
            "requested_reviewers": [self.user(login) for login in pull.reviewers],
            "requested_teams": [],
            "head": self._side(pull.fork or repo, pull.head_ref, pull.head_sha),
            "base": self._side(repo, pull.base_ref, pull.base_sha),
            "author_association": "COLLABORATOR",
            "auto_merge": None,
        }
        if full:
            states = {None: "unknown", True: "clean", False: "dirty"}
            shown |= {
                "merged": pull.merged_at is not None,
                "mergeable": pull.mergeable,
                "mergeable_state": "behind" if self._is_behind(repo, pull) else states[pull.mergeable],
                "merged_by": self.user(pull.merged_by) if pull.merged_by else None,
                "rebaseable": pull.mergeable,
                "maintainer_can_modify": False,
                "comments": len(issue.comments),
                **dict.fromkeys(("review_comments", "commits", "additions", "deletions", "changed_files"), 1),
            }
        return shown

    def _side(self, repo: Repo, ref: str, sha: str) -> JSON:
        return {
            "label": f"{repo.owner}:{ref}",
            "ref": ref,
            "sha": sha,
            "user": self.user(repo.owner),
            "repo": self.repository(repo),
        }

    def issue(self, repo: Repo, issue: Issue) -> JSON:
        """https://docs.github.com/en/rest/issues/issues"""
        url = self.api(repo, f"/issues/{issue.number}")
        shown = {
            **links.of_issue(url, self.api(repo)),
            "id": 90_000 + issue.number,
            "node_id": f"I_{issue.number}",
            "number": issue.number,
            "url": url,
            "html_url": self.html(repo, f"/issues/{issue.number}"),
            "state": issue.state,
            "title": issue.title,
            "body": issue.body,
            "user": self.user(issue.author),
            "labels": [self.label(repo, name) for name in issue.labels],
            "comments": len(issue.comments),
            "created_at": stamp(issue.created_at),
            "updated_at": stamp(issue.updated_at),
            "closed_at": stamp(issue.updated_at) if issue.state == "closed" else None,
            "closed_by": self.user(issue.closed_by) if issue.closed_by else None,
            "author_association": "COLLABORATOR",
        }
        if issue.number in repo.pulls:
            html = self.html(repo, f"/pull/{issue.number}")
            shown["pull_request"] = {
                "url": self.api(repo, f"/pulls/{issue.number}"),
                "html_url": html,
                "diff_url": f"{html}.diff",
                "patch_url": f"{html}.patch",
            }
        return shown

    @staticmethod
    def _is_behind(repo: Repo, pull: Pull) -> bool:
        """Whether the repository's rules want a head that its base has moved away from to be brought up to date."""
        base = repo.git.ref(f"refs/heads/{pull.base_ref}")
        return bool(repo.strict and pull.mergeable and base and not repo.git.is_ancestor(base, pull.head_sha))

    def comment(self, repo: Repo, issue: Issue, comment: Comment) -> JSON:
        """https://docs.github.com/en/rest/issues/comments"""
        url = self.api(repo, f"/issues/comments/{comment.id}")
        kind = "pull" if issue.number in repo.pulls else "issues"
        return {
            "id": comment.id,
            "node_id": f"IC_{comment.id}",
            "url": url,
            "html_url": self.html(repo, f"/{kind}/{issue.number}#issuecomment-{comment.id}"),
            "issue_url": self.api(repo, f"/issues/{issue.number}"),
            "body": comment.body,
            "user": self.user(comment.author),
            "created_at": stamp(comment.created_at),
            "updated_at": stamp(comment.updated_at),
            "author_association": "COLLABORATOR",
            "performed_via_github_app": None,
            "reactions": links.reactions(url, [reaction.content for reaction in comment.reactions]),
        }

    def reaction(self, reaction: Reaction) -> JSON:
        """https://docs.github.com/en/rest/reactions/reactions"""
        return {
            "id": reaction.id,
            "node_id": f"RE_{reaction.id}",
            "user": self.user(reaction.login),
            "content": reaction.content,
            "created_at": stamp(reaction.created_at),
        }

    def label(self, repo: Repo, name: str) -> JSON:
        """https://docs.github.com/en/rest/issues/labels"""
        return {
            "id": abs(hash(name)) % 10**9,
            "node_id": f"L_{name}",
            "url": self.api(repo, f"/labels/{name}"),
            "name": name,
            "color": "ededed",
            "default": False,
            "description": None,
            "archived_at": None,
            "archived_by": None,
        }


def person(signature: Any) -> JSON:  # noqa: ANN401 - pygit2's signature
    """A commit's author or committer."""
    at = datetime.fromtimestamp(signature.time, UTC)
    return {"name": signature.name, "email": signature.email, "date": stamp(at)}
