"""One deploy repository on GitHub: its git objects, pull requests, checks, deployments and issues, as values."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from bot.domain import naming
from bot.domain.errors import Refused
from bot.domain.manifest import Entry
from bot.domain.pull_requests import Check, CheckState, Login, PullRequest, Review, ReviewState
from bot.domain.world import ChangeKind, Completion, Judgement, Ruling
from bot.gateways.cache import Cache
from bot.gateways.github_client import JSON, GitHubClient, GitHubRefusal

_INDEX_TTL: Final = 30 * 86_400
_STATUS_TITLE: Final = 140  # characters that GitHub keeps of a status' and a deployment's description
_FINGERPRINT = re.compile(r" \[([0-9a-f]{16})\]$")
_TASK: Final = "promotion"
_ADOPTION_TASK: Final = "adoption"


@dataclass(frozen=True, slots=True)
class Commit:
    """A git commit. `author` is the GitHub login that wrote it, empty where GitHub knows none."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: Login
    committed_at: datetime


@dataclass(frozen=True, slots=True)
class Blob:
    """A file at a commit."""

    sha: str
    content: bytes


@dataclass(frozen=True, slots=True)
class RecordedJudgement:
    """A judgement with where it stands: the deployment's id, its model and environment."""

    deployment: int
    model: str
    environment: str
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class Adoption:
    """The bot's deployment that says: the manifest at `commit` states what was live already."""

    commit: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Issue:
    """One of the bot's issues, found again by a hidden marker in its text."""

    number: int
    body: str
    is_open: bool


class Repository:
    """One repository; reads are conditional or cached for ever by object id, writes happen once."""

    def __init__(self, client: GitHubClient, cache: Cache, name: str) -> None:
        self.name = name
        self._client = client
        self._cache = cache
        self._path = f"/repos/{name}"
        self._default_branch: str | None = None

    # --- git objects ----------------------------------------------------------------------------------------------

    def default_branch(self) -> str:
        """The default branch; asked for once an hour, since it hardly ever changes."""
        if self._default_branch is None:
            key = f"github:default-branch:{self.name}"
            known = self._cache.get(key)
            self._default_branch = known.decode() if known else str(self._get("")["default_branch"])
            self._cache.set(key, self._default_branch.encode(), 3600)
        return self._default_branch

    def head(self) -> str:
        """The commit that the default branch points at now."""
        return str(self._get(f"/git/ref/heads/{quote(self.default_branch())}")["object"]["sha"])

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
        rows = [
            row
            for page in self._client.pages(self.name, f"{self._path}/commits", sha=self.default_branch(), path=path)
            for row in page
        ]
        for row in reversed(rows):
            self._remember_commit(_commit_row(row))
            if self.object_id(row["sha"], path) is not None:
                return str(row["sha"])
        return None

    def file(self, commit: str, path: str) -> Blob | None:
        """The file at `path` as of `commit`; None where there is none."""
        sha = self.object_id(commit, path)
        if sha is None:
            return None
        body = self._immutable(f"/git/blobs/{sha}")
        return Blob(sha, base64.b64decode(body["content"]))

    def object_id(self, commit: str, path: str) -> str | None:
        """The id of the blob or tree at `path` as of `commit`; None where there is none."""
        sha = self.commit(commit).tree
        for name in path.split("/"):
            found = next((e for e in self._tree(sha) if e["path"] == name), None)
            if found is None:
                return None
            sha = str(found["sha"])
        return sha

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
        entries: Sequence[Mapping[str, Any]] = self._immutable(f"/git/trees/{sha}")["tree"]
        return entries

    def _listed_commit(self, sha: str) -> Commit:
        """A commit from the list that starts with it, whose other rows are kept too: they are asked for next."""
        known = self._known_commit(sha)
        if known is None:
            rows = self._client.get(self.name, f"{self._path}/commits", sha=sha, per_page=30)
            for row in rows:
                self._remember_commit(_commit_row(row))
            known = self._known_commit(sha)
        if known is None:
            raise Refused(f"{self.name} has no commit {sha}")
        return known

    def _known_commit(self, sha: str) -> Commit | None:
        raw = self._cache.get(f"github:commit:{self.name}:{sha}")
        if raw is None:
            return None
        row = json.loads(raw)
        return Commit(
            row["sha"],
            row["tree"],
            tuple(row["parents"]),
            Login(row["author"]),
            datetime.fromisoformat(row["committed_at"]),
        )

    def _remember_commit(self, commit: Commit) -> None:
        row = {
            "sha": commit.sha,
            "tree": commit.tree,
            "parents": commit.parents,
            "author": commit.author,
            "committed_at": commit.committed_at.isoformat(),
        }
        self._cache.set(f"github:commit:{self.name}:{commit.sha}", json.dumps(row).encode(), _INDEX_TTL)

    def create_commit(self, base: str, files: Mapping[str, str], message: str) -> Commit:
        """One commit on top of `base` with the text of every path in `files`; no ref points at it yet."""
        tree = self._write(
            "POST",
            "/git/trees",
            base_tree=self.commit(base).tree,
            tree=[{"path": path, "mode": "100644", "type": "blob", "content": text} for path, text in files.items()],
        )
        if not tree.get("truncated"):
            self._client.remember(self.name, f"{self._path}/git/trees/{tree['sha']}", tree)
            for row in tree["tree"]:
                if row["path"] in files:
                    content = base64.b64encode(files[row["path"]].encode()).decode()
                    self._client.remember(self.name, f"{self._path}/git/blobs/{row['sha']}", {"content": content})
        made = self._write("POST", "/git/commits", message=message, tree=tree["sha"], parents=[base])
        commit = Commit(made["sha"], tree["sha"], (base,), self._client.login(), _time(made["committer"]["date"]))
        self._remember_commit(commit)
        return commit

    def point_branch(self, branch: str, sha: str) -> None:
        """Create the branch, or move what is left of an earlier try."""
        try:
            self._write("POST", "/git/refs", ref=f"refs/heads/{branch}", sha=sha)
        except GitHubRefusal as refusal:
            if refusal.status != 422 or "exists" not in refusal.messages.lower():
                raise
            self._write("PATCH", f"/git/refs/heads/{quote(branch)}", sha=sha, force=True)

    def delete_branch(self, branch: str) -> None:
        """Delete the branch if it is there."""
        try:
            self._write("DELETE", f"/git/refs/heads/{quote(branch)}")
        except GitHubRefusal as refusal:
            if refusal.status not in (404, 422):
                raise

    # --- pull requests --------------------------------------------------------------------------------------------

    def pull_requests(self) -> tuple[PullRequest, ...]:
        """Open pull requests to the default branch, and all that ever stood on a branch of the bot's.

        Kept in the cache and brought up to date from the most recently updated page on, so that a look costs one
        conditional request; an emptied cache reads every page again.
        """
        key = f"github:pulls:{self.name}"
        stored = self._cache.get(key)
        known: dict[str, Any] = json.loads(stored) if stored else {"rows": {}, "newest": ""}
        rows, newest = dict(known["rows"]), known["newest"]
        for page in self._client.pages(
            self.name,
            f"{self._path}/pulls",
            state="all",
            base=self.default_branch(),
            sort="updated",
            direction="desc",
        ):
            for row in page:
                kept = _pull_row(row)
                if kept["open"] or kept["head_ref"].startswith(naming.BRANCH_PREFIX):
                    rows[str(row["number"])] = kept
                else:
                    rows.pop(str(row["number"]), None)
                newest = max(newest, row["updated_at"])
            if known["newest"] and any(row["updated_at"] < known["newest"] for row in page):
                break
        if rows != known["rows"] or newest != known["newest"]:
            self._cache.set(key, json.dumps({"rows": rows, "newest": newest}).encode(), _INDEX_TTL)
        return tuple(_pull(row) for _, row in sorted(rows.items(), key=lambda item: int(item[0])))

    def pull_request(self, number: int) -> PullRequest | None:
        """One pull request as it stands now, with its mergeability; None where there is none."""
        row = self._client.get_or_none(self.name, f"{self._path}/pulls/{number}")
        return _pull(_pull_row(row)) if row else None

    def pull_request_of_commit(self, sha: str) -> PullRequest | None:
        """The pull request whose merge made `sha`, or that brought it to the default branch."""
        merged = next((p for p in self.pull_requests() if p.merge_commit_sha == sha and p.merged_at), None)
        if merged is not None:
            return merged
        rows = self._client.get_or_none(self.name, f"{self._path}/commits/{sha}/pulls") or []
        pulls = (_pull(_pull_row(row)) for row in rows)
        return next((p for p in pulls if p.merged_at and p.base_ref == self.default_branch()), None)

    def reviews(self, number: int) -> tuple[Review, ...]:
        """Every review of a pull request, oldest first."""
        return tuple(
            Review(
                Login((row["user"] or {}).get("login", "ghost")),
                ReviewState(row["state"]),
                row["commit_id"] or "",
                _time(row["submitted_at"]),
            )
            for page in self._client.pages(self.name, f"{self._path}/pulls/{number}/reviews")
            for row in page
            if row["state"] in set(ReviewState) and row.get("submitted_at")
        )

    def open_pull_request(self, branch: str, title: str, body: str) -> PullRequest:
        """Open the pull request of a branch; one that stands already is adopted."""
        try:
            row = self._write("POST", "/pulls", title=title, head=branch, base=self.default_branch(), body=body)
        except GitHubRefusal as refusal:
            if refusal.status != 422 or "already exists" not in refusal.messages:
                raise
            owner = self.name.partition("/")[0]
            rows = self._client.get(self.name, f"{self._path}/pulls", state="open", head=f"{owner}:{branch}")
            row = next(r for r in rows if r["head"]["ref"] == branch)
        return _pull(_pull_row(row))

    def add_labels(self, number: int, labels: Sequence[str]) -> None:
        """Add labels to a pull request or issue; GitHub creates those that the repository lacks."""
        self._write("POST", f"/issues/{number}/labels", labels=list(labels))

    def update_body(self, number: int, body: str) -> None:
        """Replace the text of a pull request."""
        self._write("PATCH", f"/pulls/{number}", body=body)

    def close_pull_request(self, number: int) -> None:
        """Close a pull request without merging it."""
        self._write("PATCH", f"/pulls/{number}", state="closed")

    def merge(self, number: int, head: str) -> None:
        """Merge a pull request if its head is still `head`, by the first method that the repository allows.

        Raises GitHubRefusal where the head moved (409) or the repository's rules keep the bot from merging (405).
        """
        for method in ("merge", "squash", "rebase"):
            try:
                self._write("PUT", f"/pulls/{number}/merge", sha=head, merge_method=method)
            except GitHubRefusal as refusal:
                not_allowed = "not allowed" in refusal.messages.lower()
                if refusal.status != 405 or not not_allowed or method == "rebase":
                    raise
            else:
                return

    # --- checks ---------------------------------------------------------------------------------------------------

    def checks(self, sha: str) -> dict[str, Check]:
        """The bot's own checks on a commit by name; what others wrote under the same names does not count."""
        if self._client.app_id is None:
            return self._statuses(sha)
        found: dict[str, tuple[int, Check]] = {}
        for page in self._client.pages(self.name, f"{self._path}/commits/{sha}/check-runs", filter="latest"):
            for run in page:
                if (run.get("app") or {}).get("id") != self._client.app_id:
                    continue
                if run["name"] not in found or run["id"] > found[run["name"]][0]:
                    found[run["name"]] = (run["id"], _check_run(run))
        return {name: check for name, (_, check) in found.items()}

    def _statuses(self, sha: str) -> dict[str, Check]:
        found: dict[str, Check] = {}
        for page in self._client.pages(self.name, f"{self._path}/commits/{sha}/statuses"):
            for row in page:
                if Login((row["creator"] or {}).get("login", "")) == self._client.login():
                    found.setdefault(row["context"], _status_check(row))
        return found

    def set_check(self, sha: str, check: Check, url: str) -> None:
        """Write one check: a check run as an App, a commit status with a token."""
        if self._client.app_id is None:
            state = {CheckState.SUCCESS: "success", CheckState.IN_PROGRESS: "pending"}.get(check.state, "failure")
            self._write(
                "POST",
                f"/statuses/{sha}",
                state=state,
                context=check.name,
                description=_described(check),
                target_url=url,
            )
            return
        body: dict[str, object] = {
            "name": check.name,
            "head_sha": sha,
            "external_id": check.fingerprint,
            "output": {"title": check.title[:255], "summary": check.summary[:65_000] or check.title},
        }
        if url:
            body["details_url"] = url
        if check.state is CheckState.IN_PROGRESS:
            body["status"] = "in_progress"
        else:
            body |= {"status": "completed", "conclusion": check.state.value}
        self._write("POST", "/check-runs", **body)

    # --- deployments ----------------------------------------------------------------------------------------------

    def judgements(self) -> tuple[RecordedJudgement, ...]:
        """What the bot has recorded about every changed entry, oldest first, without how it was completed."""
        return tuple(
            recorded for row in self._deployments() if row["task"] == _TASK and (recorded := _judgement_row(row))
        )

    def adoption(self) -> Adoption | None:
        """The bot's record that the first manifest states what was live already; None where there is none."""
        rows = [row for row in self._deployments() if row["task"] == _ADOPTION_TASK]
        return Adoption(rows[0]["sha"], _time(rows[0]["created_at"])) if rows else None

    def completion(self, deployment: int) -> tuple[Completion, datetime] | None:
        """The newest status that the bot gave a deployment and when, by GitHub's clock; None while it has none."""
        key = f"github:deployment-status:{self.name}:{deployment}"
        known = self._cache.get(key)
        if known is None:
            rows = self._get(f"/deployments/{deployment}/statuses")
            own = [r for r in rows if Login((r["creator"] or {}).get("login", "")) == self._client.login()]
            final = [r for r in own if r["state"] in set(Completion)]
            if not final:
                return None
            newest = max(final, key=lambda r: (r["created_at"], r["id"]))
            known = json.dumps([newest["state"], newest["created_at"]]).encode()
            self._cache.set(key, known, _INDEX_TTL)
        state, at = json.loads(known)
        return Completion(state), _time(at)

    def record_judgement(self, model: str, environment: str, judgement: Judgement) -> None:
        """Create the deployment of a judgement, unless the bot made it before."""
        if self._deployment_of(model, environment, judgement.commit) is not None:
            return
        entry = judgement.entry
        payload = {
            "model": model,
            "version": entry.version if entry else None,
            "digest": entry.digest if entry else None,
            "release": entry.release if entry else None,
            "ruling": judgement.ruling.value,
            "kind": judgement.kind.value,
            "pull_request": judgement.pull_request,
            "reasons": list(judgement.reasons),
            "by": judgement.by,
            "policy": judgement.policy,
        }
        what = f"{naming.one_line(model)} v{entry.version}" if entry else f"{naming.one_line(model)} removed"
        self._deploy(judgement.commit, environment, _TASK, f"{what}: {judgement.ruling}", payload)

    def record_adoption(self, commit: str) -> None:
        """Create the deployment that adopts the manifest at `commit`, unless the bot made it before."""
        if self.adoption() is None:
            description = "The first manifest states what was live already."
            self._deploy(commit, _ADOPTION_TASK, _ADOPTION_TASK, description, {"adopted": True})

    def complete_judgement(
        self, model: str, environment: str, commit: str, completion: Completion, description: str
    ) -> None:
        """Give the deployment of a judgement its status."""
        deployment = self._deployment_of(model, environment, commit)
        if deployment is None:
            raise Refused(f"{self.name} has no deployment for {model} in {environment} on {commit}")
        row = self._write(
            "POST",
            f"/deployments/{deployment}/statuses",
            state=completion.value,
            description=description[:_STATUS_TITLE],
            auto_inactive=False,
        )
        known = json.dumps([completion.value, row["created_at"]]).encode()
        self._cache.set(f"github:deployment-status:{self.name}:{deployment}", known, _INDEX_TTL)

    def _deployment_of(self, model: str, environment: str, commit: str) -> int | None:
        wanted = (model, environment, commit)
        return next(
            (r.deployment for r in self.judgements() if (r.model, r.environment, r.judgement.commit) == wanted),
            None,
        )

    def _deploy(self, sha: str, environment: str, task: str, description: str, payload: Mapping[str, object]) -> None:
        made = self._write(
            "POST",
            "/deployments",
            ref=sha,
            task=task,
            environment=environment,
            description=description[:_STATUS_TITLE],
            payload=payload,
            auto_merge=False,
            required_contexts=[],
        )
        rows = [row for row in self._known_deployments() if row["id"] != made["id"]]
        self._keep_deployments([*rows, _deployment_row(made)])

    def _deployments(self) -> list[dict[str, Any]]:
        """The bot's own deployments, oldest first; those in the cache are not read again, since they never change."""
        rows = {row["id"]: row for row in self._known_deployments()}
        newest_known = max(rows, default=0)
        fresh: list[dict[str, Any]] = []
        for page in self._client.pages(self.name, f"{self._path}/deployments"):
            fresh += [_deployment_row(row) for row in page]
            if any(row["id"] <= newest_known for row in page):
                break
        own = [row for row in fresh if Login(row["creator"]) == self._client.login()]
        listed_from = min((row["id"] for row in fresh), default=0)
        kept = [row for row in rows.values() if row["id"] < listed_from]
        merged = sorted([*kept, *own], key=lambda row: row["id"])
        if merged != sorted(rows.values(), key=lambda row: row["id"]):
            self._keep_deployments(merged)
        return merged

    def _known_deployments(self) -> list[dict[str, Any]]:
        raw = self._cache.get(f"github:deployments:{self.name}")
        rows: list[dict[str, Any]] = json.loads(raw) if raw else []
        return rows

    def _keep_deployments(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._cache.set(f"github:deployments:{self.name}", json.dumps(rows).encode(), _INDEX_TTL)

    # --- tags, releases, issues, people ---------------------------------------------------------------------------

    def create_tag(self, name: str, commit: str) -> str | None:
        """Make a git tag; answers the commit that a tag of this name points at instead, None where all is well."""
        try:
            self._write("POST", "/git/refs", ref=f"refs/tags/{name}", sha=commit)
        except GitHubRefusal as refusal:
            if refusal.status != 422:
                raise
            there = str(self._get(f"/git/ref/tags/{quote(name)}")["object"]["sha"])
            return None if there == commit else there
        return None

    def create_release(self, tag: str, title: str, notes: str) -> None:
        """Make the release of a tag, unless it has one."""
        try:
            self._write("POST", "/releases", tag_name=tag, name=title, body=notes)
        except GitHubRefusal as refusal:
            if refusal.status != 422 or "already_exists" not in refusal.messages:
                raise

    def issues(self) -> tuple[Issue, ...]:
        """The bot's own issues, open and closed."""
        return tuple(
            Issue(row["number"], row["body"] or "", row["state"] == "open")
            for page in self._client.pages(
                self.name,
                f"{self._path}/issues",
                state="all",
                labels=naming.PROMOTION_LABEL,
                creator=self._client.login(),
            )
            for row in page
            if "pull_request" not in row
        )

    def open_issue(self, title: str, body: str) -> int:
        """Open an issue of the bot's."""
        return int(self._write("POST", "/issues", title=title, body=body, labels=[naming.PROMOTION_LABEL])["number"])

    def update_issue(self, number: int, **fields: str) -> None:
        """Change an issue's text or state."""
        self._write("PATCH", f"/issues/{number}", **fields)

    def may_write(self, login: Login) -> bool:
        """Whether a person may write to the repository now."""
        row = self._client.get_or_none(self.name, f"{self._path}/collaborators/{quote(login)}/permission")
        return row is not None and row["permission"] in ("write", "admin", "maintain")

    def is_collaborator(self, login: Login) -> bool:
        """Whether GitHub knows the login as somebody with rights of their own here."""
        try:
            self._client.get(self.name, f"{self._path}/collaborators/{quote(login)}")
        except GitHubRefusal:
            return False
        return True

    def team_members(self, team: str) -> frozenset[Login] | None:
        """The members of `@organisation/team`; None where the team cannot be read."""
        organisation, _, slug = team.removeprefix("@").partition("/")
        try:
            return frozenset(
                Login(row["login"])
                for page in self._client.pages(self.name, f"/orgs/{quote(organisation)}/teams/{quote(slug)}/members")
                for row in page
            )
        except GitHubRefusal:
            return None

    # --- how ------------------------------------------------------------------------------------------------------

    def _get(self, path: str) -> JSON:
        return self._client.get(self.name, f"{self._path}{path}")

    def _immutable(self, path: str) -> JSON:
        return self._client.immutable(self.name, f"{self._path}{path}")

    def _write(self, verb: str, path: str, **body: object) -> JSON:
        return self._client.write(self.name, verb, f"{self._path}{path}", body or None)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _commit_row(row: Mapping[str, Any]) -> Commit:
    return Commit(
        row["sha"],
        row["commit"]["tree"]["sha"],
        tuple(parent["sha"] for parent in row["parents"]),
        Login((row.get("author") or {}).get("login", "")),
        _time(row["commit"]["committer"]["date"]),
    )


def _pull_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of GitHub's pull request, in JSON's types."""
    return {
        "number": row["number"],
        "title": row["title"],
        "body": row["body"] or "",
        "author": (row["user"] or {}).get("login", "ghost"),
        "open": row["state"] == "open",
        "head_sha": row["head"]["sha"],
        "head_ref": row["head"]["ref"],
        "head_repository": (row["head"]["repo"] or {}).get("full_name", ""),
        "base_ref": row["base"]["ref"],
        "labels": [label["name"] for label in row["labels"]],
        "created_at": row["created_at"],
        "merged_at": row["merged_at"],
        "merge_commit_sha": row["merge_commit_sha"],
        "mergeable": row.get("mergeable"),
        "url": row["html_url"],
    }


def _pull(row: Mapping[str, Any]) -> PullRequest:
    return PullRequest(
        number=row["number"],
        title=row["title"],
        body=row["body"],
        author=Login(row["author"]),
        is_open=row["open"],
        head_sha=row["head_sha"],
        head_ref=row["head_ref"],
        head_repository=row["head_repository"],
        base_ref=row["base_ref"],
        labels=frozenset(row["labels"]),
        created_at=_time(row["created_at"]),
        merged_at=_time(row["merged_at"]) if row["merged_at"] else None,
        merge_commit_sha=row["merge_commit_sha"],
        mergeable=row["mergeable"],
        url=row["url"],
    )


def _check_run(run: Mapping[str, Any]) -> Check:
    state = CheckState.IN_PROGRESS
    if run["status"] == "completed":
        known = set(CheckState)
        state = CheckState(run["conclusion"]) if run["conclusion"] in known else CheckState.FAILURE
    output = run.get("output") or {}
    return Check(
        run["name"],
        state,
        output.get("title") or "",
        output.get("summary") or "",
        run.get("external_id") or "",
    )


def _status_check(row: Mapping[str, Any]) -> Check:
    states = {"success": CheckState.SUCCESS, "pending": CheckState.IN_PROGRESS}
    description = row["description"] or ""
    found = _FINGERPRINT.search(description)
    return Check(
        row["context"],
        states.get(row["state"], CheckState.FAILURE),
        _FINGERPRINT.sub("", description),
        fingerprint=found[1] if found else "",
    )


def _described(check: Check) -> str:
    """A status has no field for the fingerprint, so it stands at the end of the description."""
    suffix = f" [{check.fingerprint}]" if check.fingerprint else ""
    return status_title(check.title, check.fingerprint) + suffix


def status_title(title: str, fingerprint: str) -> str:
    """As much of a check's title as a commit status can carry beside the fingerprint."""
    room = _STATUS_TITLE - (len(fingerprint) + 3 if fingerprint else 0)
    return title if len(title) <= room else title[: room - 1] + "…"


def _deployment_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "sha": row["sha"],
        "task": row["task"],
        "environment": row["environment"],
        "creator": (row["creator"] or {}).get("login", ""),
        "created_at": row["created_at"],
        "payload": row["payload"],
    }


def _judgement_row(row: Mapping[str, Any]) -> RecordedJudgement | None:
    """The judgement that a deployment of the bot's records; None for one that does not read as such."""
    payload = row["payload"]
    try:
        said = json.loads(payload) if isinstance(payload, str) else payload
        version = said["version"]
        entry = None if version is None else Entry(int(version), str(said["digest"]), str(said["release"] or ""))
        judgement = Judgement(
            entry=entry,
            commit=row["sha"],
            ruling=Ruling(said["ruling"]),
            kind=ChangeKind(said["kind"]),
            at=_time(row["created_at"]),
            pull_request=said["pull_request"],
            reasons=tuple(said["reasons"]),
            by=said["by"],
            policy=said["policy"],
        )
        return RecordedJudgement(row["id"], said["model"], row["environment"], judgement)
    except (KeyError, TypeError, ValueError):
        return None
