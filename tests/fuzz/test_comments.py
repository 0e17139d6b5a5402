"""Comments: any Markdown, any command, and what the bot hid in its own answers."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.domain.command_lines import LARGEST_COMMENT, lines_of
from bot.domain.commands import TABLE, Line, Place, looks_like_commands, parse
from bot.domain.instructions import Answer, Answered, Said, Settled, Told, parse_answer
from tests.fuzz.bounds import SECONDS, drawn, inputs, leaves_nothing_behind, soon, value_or_complaint
from tests.fuzz.strategies import HOSTILE_TEXTS, changed, texts

# Of 65,536 characters. On a core of its own the worst takes 0.8; other machines' work on the same core has doubled it,
# and what grows with the square of a comment's length takes minutes.
SECONDS_OF_THE_LONGEST: Final = 4 * SECONDS
NAMES: Final = tuple(spec.name for spec in TABLE)
PLACES: Final = (Place(), Place("fraud", "production", 7))
WORDS: Final = (*NAMES, "/promot", "/", "//help", "fraud@7", "@", "a@b@c", "v1", "V999999999", "v9999999999", "٣",
                "to", "in",
                "because", '"', '"a b"', '""', "`", "*", "_", "\\", "@alice", "<!--", "-->", "\u200b",
                "\ud800")  # fmt: skip
MARKDOWN: Final = ("`", "``", "```", "~~~", "> ", ">", "- ", "1. ", "# ", "    ", "\t", "\n", "\n\n", "\r", "\r\n",
                   "*", "**",
                   "_", "[", "]", "(", ")", "![", "<", ">", "<!--", "-->", "<div>", "</div>", "<a b='", "&amp;",
                   "&#0;", "|",
                   "---", "===", "\\", "  \n", "[a]: /x", "<?", "<![CDATA[", "\0", "\x85", "\u2028", "\u200b",
                   "\ud800")  # fmt: skip
lines = st.lists(st.sampled_from(WORDS) | texts, max_size=12).map(" ".join)
comments = (
    st.lists(st.sampled_from((*MARKDOWN, *NAMES, "\n/help", "x")), max_size=60).map("".join)
    | st.lists(lines, max_size=25).map("\n".join)
    | texts
)


def use_comment(text: str, seconds: float = SECONDS) -> None:
    """Find the commands of a comment, and read each in both places."""
    with soon(seconds):
        found = lines_of(text)
        likely = looks_like_commands(text)
    assert likely or not found, "a comment with commands must not be left unread"
    for line in found[:40]:
        use_line(line)


def use_line(line: Line) -> None:
    """Read one command."""
    for place in PLACES:
        value_or_complaint(lambda place=place: parse(line, place))


@inputs(700)
@given(comments)
@example("\r/promote")
@example("\u2028\u2028/hold")
@example("\u200b/help")
@example("\xa0/help")
def test_a_comment(text: str) -> None:
    use_comment(text)


@inputs(500)
@given(st.sampled_from(NAMES), lines)
def test_a_command(name: str, rest: str) -> None:
    line = f"{name} {rest}".strip()
    if line.splitlines() == [line]:
        use_line(Line(1, line))


PATHOLOGICAL: Final = {
    "backticks": "`",
    "emphasis": "*a ",
    "mixed emphasis": "*a_ ",
    "strong": "**a *",
    "underscores": "_a__",
    "stars": "*",
    "brackets": "[",
    "images": "![",
    "nested images": "![[",
    "links": "[a](",
    "open links": "a](b",
    "titles": '[a](x "',
    "pointy links": "[a](<b",
    "pairs": "[]",
    "references": "[a]: ",
    "quotes": ">",
    "spaced quotes": "> ",
    "items": "- ",
    "numbers": "1. ",
    "comments": "<!--",
    "tags": "<a b=",
    "angles": "<",
    "addresses": "<a@",
    "entities": "&",
    "instructions": "<?",
    "escapes": "\\",
    "pipes": "|",
    "headings": "a\n=\n",
    "paragraphs": "a\n",
    "commands": "/help\n",
    "commands with words": "/promote a  \n",
    "unseen": "\u200b",
    "nothing": "\0",
    "tabs": "\t",
    "slashes": "/",
}
LAYERS: Final = {
    "backticks of each length": "".join("`" * i + " " for i in range(1, 350)),
    "quotes of each depth": "".join("> " * i + "a\n" for i in range(250)),
    "lists of each depth": "".join(" " * i + "- a\n" for i in range(350)),
    "definitions": "".join(f"[{i}]: /x\n" for i in range(6_000)),
    "brackets closed": "[" * 32_000 + "]" * 32_000,
    "deep lines": (">" * 100 + "a\n") * 600,
    "images open before emphasis": "![" * 4_000 + "*a " * 18_000,
    "images in groups": ("![" * 20 + "]" * 20) * 1_000,
}


@pytest.mark.parametrize("before", ["", "/help\n"], ids=("plain", "command"))
@pytest.mark.parametrize("piece", PATHOLOGICAL.values(), ids=PATHOLOGICAL.keys())
def test_a_comment_as_long_as_github_allows(piece: str, before: str) -> None:
    use_comment(before + piece * (LARGEST_COMMENT // len(piece)), SECONDS_OF_THE_LONGEST)


@pytest.mark.parametrize("text", LAYERS.values(), ids=LAYERS.keys())
def test_a_comment_of_layers(text: str) -> None:
    use_comment("/help\n" + text, SECONDS_OF_THE_LONGEST)


@pytest.mark.parametrize("text", ["/promote " + '"' * 60_000, "/promote " + '"a' * 30_000,
"/hold " + "because " * 8_000,
                                  "/hold" + " x" * 30_000, "/" + "a" * 60_000,
                                  "/override " + "to " * 20_000])  # fmt: skip
def test_a_long_command(text: str) -> None:
    use_line(Line(1, text))


@pytest.mark.parametrize("text", [" " * 5_000_000, "\n" * 5_000_000, (" " * 1_000 + "\n") * 5_000, " \t" * 2_500_000])
def test_a_webhooks_comment_of_any_length(text: str) -> None:
    with soon():
        assert not looks_like_commands(text)


# --- what the bot hid in its answers ----------------------------------------------------------------------------------

told = st.builds(
    Told,
    st.sampled_from(Said),
    texts.filter(bool),
    model=texts,
    version=st.none() | st.integers(1, 10**9),
    check=texts,
    reason=texts,
)
answers = st.builds(
    Answer,
    st.integers(1, 2**53),
    st.dictionaries(st.integers(1, 9_999), st.builds(Answered, st.sampled_from(Settled), st.none() | told), max_size=5),
)
SAID: Final = {
    "comment": 55,
    "lines": {
        "1": {"settled": "done", "told": {"said": "hold", "environment": "production", "model": "m", "reason": "x"}},
        "2": {"settled": "waiting", "told": {"said": "promote", "environment": "staging", "model": "m", "version": 7}},
    },
}


@inputs(300)
@given(answers)
def test_an_answer_reads_back(answer: Answer) -> None:
    marker = answer.marker()
    assert parse_answer(marker + "\nmore") == answer
    assert "--" not in marker.removeprefix("<!--").removesuffix("-->"), "nothing of it ends the hidden part"
    assert marker.isascii()
    assert "\n" not in marker


def use_answer(said: object) -> None:
    """Read a hidden part that is like the bot's."""
    with soon():
        found = parse_answer(f"<!-- promotion-bot:answer {said if isinstance(said, str) else json.dumps(said)} -->")
    assert found is None or isinstance(found.comment, int)


@inputs(500)
@given(changed([SAID]) | texts.map(lambda text: f"{{{text}}}"))
@example('{"lines":' + "[" * 100_000 + "}")
@example('{"lines": {}, "comment": 1e999}')
@example(
    {
        "lines": {"1": {"settled": "done", "told": {"said": "hold", "environment": "x", "version": float("inf")}}},
        "comment": 1,
    }
)
@example({"lines": {}, "comment": True})
@example('{"lines": {}, "comment": ' + "9" * 5_000 + "}")
@example({"lines": {"1": {"settled": [], "told": None}}, "comment": 1})
def test_what_looks_like_an_answer(said: Any) -> None:
    use_answer(said)


def test_comments_leave_nothing_behind() -> None:
    leaves_nothing_behind(use_comment, drawn(comments, 1_200))
    leaves_nothing_behind(use_answer, drawn(changed([SAID]), 800))


def test_hostile_texts_are_no_commands() -> None:
    assert not any(lines_of(text) for text in HOSTILE_TEXTS)
