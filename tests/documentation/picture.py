"""A pull request of the stand-in as a page in GitHub's manner, from what the bot wrote there and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markdown_it import MarkdownIt
from markupsafe import Markup

from bot.sandbox.github import SandboxPull

_PAGE = Environment(autoescape=True).from_string((Path(__file__).parent / "pull_request.html").read_text())
# Drawn, since few machines have a font with emoji.
_DRAWN = {
    "✅": """<svg class="emoji" viewBox="0 0 16 16" role="img" aria-label="✅">
        <rect width="16" height="16" rx="3" fill="#2da44e"/>
        <path d="M3.8 8.4l3 3 5.4-6.4" fill="none" stroke="#fff" stroke-width="2.2"/></svg>""",
}
_SIGNS = {"success": "✓", "failure": "✗"}


def page(pull: SandboxPull) -> str:
    """The pull request's text, its checks and its change, as HTML."""
    repository = pull.repository
    newest = {run["name"]: run for run in repository.check_runs(pull.head_sha)}
    return _PAGE.render(
        title=pull.title,
        number=pull.number,
        author=pull.author.removesuffix("[bot]"),
        branch=pull.head_ref,
        body=_rendered(pull.body),
        checks=[_check(run) for run in newest.values()],
        diff=list(_changed(repository.repo.git.diff(pull.pull.base_sha, pull.head_sha))),
    )


def _rendered(text: str) -> Markup:
    """As GitHub reads it: comments vanish, diagrams are drawn."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    html = markdown.render(re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL))
    diagram = re.compile(r'<pre><code class="language-mermaid">(.*?)</code></pre>', re.DOTALL)
    html = diagram.sub(r'<pre class="mermaid">\1</pre>', html)
    for emoji, drawing in _DRAWN.items():
        html = html.replace(emoji, drawing)
    return Markup(html)  # the renderer escapes what is foreign


def _check(run: Mapping[str, Any]) -> dict[str, str]:
    kind = run["conclusion"] if run["conclusion"] in _SIGNS else "waiting"
    return {"name": run["name"], "title": run["output"]["title"], "kind": kind, "sign": _SIGNS.get(kind, "●")}


def _changed(diff: str) -> Iterator[dict[str, str]]:
    """The lines of a file's change, without those that name the file."""
    for line in diff.partition("\n@@")[2].splitlines()[1:]:
        yield {"text": line, "kind": {"+": "add", "-": "del"}.get(line[:1], "")}
