"""A happening in a chat: what it is about, and no foreign text that mentions, links or formats."""

from __future__ import annotations

import re

from bot.comments.notifications import slack_text
from bot.domain.happening import Happening, HappeningKind

URL = "https://github.com/acme/models/pull/7"


def happening(model: str = "fraud", details: tuple[str, ...] = (), by: str = "") -> Happening:
    return Happening(HappeningKind.LIVE, "acme/models", model, "production", 3, "c1", details, 7, by)


def test_it_says_what_happened_where() -> None:
    assert slack_text(happening(by="bob"), URL) == (
        "fraud v3 is live in production, merged by bob (<https://github.com/acme/models/pull/7|acme/models#7>)"
    )


def test_foreign_text_mentions_links_and_formats_nothing() -> None:
    hostile = (
        "<!channel> <https://evil.example|click> @here *bold* `code` http://evil.example www.evil.example\n> quote"
    )
    text = slack_text(happening(hostile, (hostile,)), URL)
    without = text.replace(f"<{URL}|", "")
    assert "<!" not in text
    assert re.findall(r"<[^>]*>", text) == [f"<{URL}|acme/models#7>"]
    assert not re.search(r"(?<!\u200b)[@*`]", without)
    assert "://" not in without
    assert "www." not in without
    assert len(text.splitlines()) == 2


def test_it_stays_short() -> None:
    text = slack_text(happening("m" * 1000, tuple("x" * 1000 for _ in range(20))), URL)
    assert len(text) < 2500
    assert text.endswith("and 15 more")
