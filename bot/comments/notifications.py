"""A happening in a line for people in a chat."""

from __future__ import annotations

import re
from typing import Final

from bot.domain.happening import Happening, HappeningKind

_MOST_DETAILS: Final = 5
_LONGEST: Final = 300
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+")
_SAYS: Final = {
    HappeningKind.PROPOSED: "is proposed for",
    HappeningKind.WAITING: "waits for approvals for",
    HappeningKind.REFUSED: "was refused for",
    HappeningKind.LIVE: "is live in",
    HappeningKind.ROLLED_BACK: "is live again in",
    HappeningKind.DRIFT: "differs in the registry from what is live in",
}


def slack_text(happening: Happening, url: str) -> str:
    """The text of Slack's `text` field; `url` is where it can be looked at.

    Foreign text mentions nobody and links nowhere: https://docs.slack.dev/messaging/formatting-message-text/#escaping
    """
    subject = _safe(happening.model) + (f" v{happening.version}" if happening.version is not None else "")
    by = f", merged by {_safe(happening.by)}" if happening.by else ""
    where = f"{_safe(happening.repository)}#{happening.pull_request}" if happening.pull_request else "look"
    lines = [f"{subject} {_SAYS[happening.kind]} {_safe(happening.environment)}{by} (<{url}|{where}>)"]
    lines += [f"• {_safe(detail)}" for detail in happening.details[:_MOST_DETAILS]]
    if len(happening.details) > _MOST_DETAILS:
        lines.append(f"• and {len(happening.details) - _MOST_DETAILS} more")
    return "\n".join(lines)


def _safe(text: str) -> str:
    """One line of foreign text in which nothing is formatted, linked or mentioned."""
    line = _CONTROL.sub(" ", text).strip()
    line = line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # A character without width keeps Slack from reading names as addresses, mentions and formatting.
    return re.sub(r"([@#*_~`]|(?<=:)/|\bwww(?=\.))", "\u200b\\1\u200b", line)
