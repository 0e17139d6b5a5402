"""Plain pages of the stand-in: a repository's pull requests, and one with its text, checks, diff and buttons."""

from __future__ import annotations

import html
import re
import secrets
from collections.abc import Callable
from typing import Final

from markdown_it import MarkdownIt
from werkzeug.wrappers import Request, Response

from bot.sandbox.github import apps
from bot.sandbox.github.calls import House
from bot.sandbox.github.errors import ApiError
from bot.sandbox.github.state import Issue, Repo

_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1f2328}
table{border-collapse:collapse}td,th{border:1px solid #d1d9e0;padding:.3rem .7rem;text-align:left}
pre{background:#f6f8fa;padding:1rem;overflow:auto}code{background:#f6f8fa;padding:.1rem .3rem;border-radius:4px}
.card{border:1px solid #d1d9e0;border-radius:6px;padding:1rem;margin:1rem 0}
.add{color:#116329}.del{color:#82071e}button{margin-right:.5rem}
"""


class Pages:
    """Answers what a browser asks; everything else is the API's."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._world = house.world
        self._pulls = house.pulls
        self._form_token = secrets.token_hex(16)
        # HTML comments vanish and other HTML is shown as text, as far as the bot's own texts need it.
        self._markdown = MarkdownIt("commonmark", {"html": False}).enable("table").enable("strikethrough")

    def answer(self, request: Request) -> Response | None:
        """The page of a path; None where the path is none."""
        if request.path == "/":
            links = "".join(
                f'<li><a href="/{r.full_name}/pulls">{r.full_name}</a></li>' for r in self._world.repos.values()
            )
            return _page("Repositories", f"<ul>{links}</ul>")
        if re.fullmatch(r"(/organizations/[^/]+)?/settings/apps/new", request.path) and request.method == "POST":
            with self._world.lock:
                back = apps.register_manifest(self._world, request.form["manifest"], request.args.get("state", ""))
            return Response(status=302, headers={"Location": back})
        found = re.fullmatch(r"/([^/]+/[^/]+)/(pulls|pull/(\d+)|issues/(\d+))", request.path)
        repo = self._world.repos.get(found[1].lower()) if found else None
        if found is None or repo is None or found[1] in ("repos", "orgs", "users"):
            return None
        with self._world.lock:
            if found[2] == "pulls":
                return self._list(repo)
            number = int(found[3] or found[4])
            if number not in repo.issues:
                return _page("Not found", "<p>There is nothing of this number.</p>", 404)
            message = self._act(request, repo, number) if request.method == "POST" else ""
            return self._one(repo, number, message)

    def _list(self, repo: Repo) -> Response:
        rows = "".join(
            f'<tr><td>#{i.number}</td><td><a href="/{repo.full_name}/{"pull" if i.number in repo.pulls else "issues"}/'
            f'{i.number}">{html.escape(i.title)}</a></td><td>{self._state(repo, i.number)}</td>'
            f"<td>{html.escape(i.author)}</td></tr>"
            for i in reversed(repo.issues.values())
        )
        return _page(repo.full_name, f"<table><tr><th></th><th>title</th><th>state</th><th>by</th></tr>{rows}</table>")

    @staticmethod
    def _state(repo: Repo, number: int) -> str:
        pull = repo.pulls.get(number)
        return "merged" if pull and pull.merged_at else repo.issues[number].state

    def _one(self, repo: Repo, number: int, message: str) -> Response:
        issue = repo.issues[number]
        parts = [f"<p><b>{html.escape(message)}</b></p>" if message else ""]
        parts.append(
            f"<p>{self._state(repo, number)} · opened by {html.escape(issue.author)}"
            f" · {html.escape(', '.join(issue.labels))}</p>"
        )
        parts.append(self._card(issue.body))
        if number in repo.pulls:
            parts += [self._checks(repo, number), self._reviews(repo, number), self._diff(repo, number)]
        parts += [self._comments(issue), self._form(repo, number)]
        return _page(f"#{number} {issue.title}", "".join(parts))

    @staticmethod
    def _checks(repo: Repo, number: int) -> str:
        sha = repo.pulls[number].head_sha
        runs = {
            r["name"]: (r["conclusion"] or r["status"], r["output"]["title"] or "")
            for r in repo.check_runs
            if r["head_sha"] == sha
        }
        runs |= {r["context"]: (r["state"], r["description"] or "") for r in repo.statuses if r["sha"] == sha}
        rows = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{html.escape(state)}</td><td>{html.escape(title)}</td></tr>"
            for name, (state, title) in runs.items()
        )
        return f"<h3>Checks</h3><table>{rows}</table>"

    @staticmethod
    def _reviews(repo: Repo, number: int) -> str:
        rows = "".join(
            f"<li>{html.escape(r['user']['login'])}: {r['state'].lower()} at {r['commit_id'][:7]}</li>"
            for r in repo.pulls[number].reviews
        )
        return f"<h3>Reviews</h3><ul>{rows or '<li>none yet</li>'}</ul>"

    @staticmethod
    def _diff(repo: Repo, number: int) -> str:
        pull = repo.pulls[number]
        lines = []
        for line in repo.git.diff(pull.base_sha, pull.head_sha).splitlines():
            kind = "add" if line.startswith("+") else "del" if line.startswith("-") else ""
            lines.append(f'<span class="{kind}">{html.escape(line)}</span>')
        return "<h3>Diff</h3><pre>" + "\n".join(lines) + "</pre>"

    def _card(self, text: str) -> str:
        rendered = self._markdown.render(re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL))
        return f'<div class="card">{rendered}</div>'

    def _comments(self, issue: Issue) -> str:
        return "".join(
            f"<p><b>{html.escape(comment.author)}</b> {html.escape(' '.join(r.content for r in comment.reactions))}</p>"
            f"{self._card(comment.body)}"
            for comment in issue.comments
        )

    def _form(self, repo: Repo, number: int) -> str:
        """Who one is, what one says, and what one can do here now."""
        people = "".join(f"<option>{html.escape(login)}</option>" for login in repo.collaborators)
        can = {"comment": "Comment"}
        if number in repo.pulls and repo.issues[number].state == "open":
            can |= {"approve": "Approve", "request": "Request changes", "merge": "Merge", "close": "Close"}
        buttons = "".join(f'<button name="action" value="{action}">{label}</button>' for action, label in can.items())
        token = f'<input type="hidden" name="token" value="{self._form_token}">'
        said = '<textarea name="body" rows="4" cols="80" placeholder="A comment, for Comment"></textarea>'
        return f'<form method="post">{token}<p>{said}</p>as <select name="as">{people}</select> {buttons}</form>'

    def _act(self, request: Request, repo: Repo, number: int) -> str:
        """What a button asks for; only from this page's own form, and only by people of the repository."""
        form, pull, issue = request.form, repo.pulls.get(number), repo.issues[number]
        login = form.get("as", "")
        if not secrets.compare_digest(form.get("token", ""), self._form_token) or login not in repo.collaborators:
            return "The form is not of this page: load it again."
        actions: dict[str, Callable[[], object]] = {
            "comment": lambda: self._house.comments.add(repo, issue, login, form.get("body", "")),
        }
        if pull is not None:
            actions |= {
                "approve": lambda: self._pulls.review(repo, pull, login, "APPROVE", ""),
                "request": lambda: self._pulls.review(repo, pull, login, "REQUEST_CHANGES", ""),
                "merge": lambda: self._pulls.merge(repo, pull, login, "merge", None),
                "close": lambda: self._pulls.set_state(repo, issue, "closed", login),
            }
        try:
            actions[form.get("action", "")]()
        except ApiError as error:
            return str(error)
        except KeyError:
            return "There is no such button."
        return ""


def _page(title: str, body: str, status: int = 200) -> Response:
    name = html.escape(title)
    text = f"<!doctype html><meta charset=utf-8><title>{name}</title><style>{_STYLE}</style><h1>{name}</h1>{body}"
    return Response(text, status, content_type="text/html; charset=utf-8")
