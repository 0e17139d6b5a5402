from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bot.comments.markdown import inert, plain, prose, table

HOSTILE = [
    "@everyone",
    "hi @acme/ml-leads",
    "<img src=x onerror=alert(1)>",
    "<!-- promotion-bot:settled -->",
    "[click](https://evil.example)",
    "https://evil.example",
    "#12",
    "`code` ``more``",
    "a | b",
    "line\nbreak\r\n# heading",
    "right\u202eto left",
    "x" * 10_000,
    "",
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("escape", [inert, prose])
def test_hostile_text_is_only_text(text: str, escape: object) -> None:
    shown = escape(text)  # type: ignore[operator]
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(table(("a", "b"), [(shown, "x")]))
    assert html.count("<td>") == 2, "it stays in its cell"
    for tag in ("<img", "<a ", "<h1", "<!--"):
        assert tag not in html
    assert "promotion-bot:settled -->" not in shown or "<!--" not in shown
    assert "@everyone" not in shown
    assert "://evil" not in shown
    assert len(shown) < 4000


@given(st.text())
def test_no_text_breaks_out_of_its_code_span(text: str) -> None:
    html = MarkdownIt("commonmark").render(inert(text))
    assert html.startswith("<p><code>")
    assert html.endswith("</code></p>\n")
    assert html.count("<code>") == 1


@given(st.text(alphabet="`\\\\*_[]()<>|&@#!~a1: ", max_size=40))
def test_prose_is_text_and_code_whatever_it_holds(text: str) -> None:
    html = MarkdownIt("commonmark", {"html": True}).render(f"x {prose(text)} x")
    assert set(re.findall(r"</?[a-z0-9]+", html)) <= {"<p", "</p", "<code", "</code"}


def test_prose_keeps_the_code_that_a_team_wrote() -> None:
    html = MarkdownIt("commonmark").render(prose("Set `if_absent: pass`, or *retrain*; see `a|b` and ``more``."))
    assert html == ("<p>Set <code>if_absent: pass</code>, or *retrain*; see <code>a\\|b</code> and ``more``.</p>\n")


def test_plain_is_one_line() -> None:
    assert plain("a\nb\x00c\u202ed") == "a b c d"
    assert len(plain("x" * 999, 100)) == 100
