"""The notes of a release."""

from __future__ import annotations

from bot.comments.markdown import inert, plain
from bot.domain.manifest import Entry


def release(model: str, environment: str, entry: Entry, pull_request: int | None) -> tuple[str, str]:
    """Title and notes of the release of one entry."""
    title = plain(f"{model} v{entry.version} ({entry.release})", 200)
    source = f"#{pull_request}" if pull_request else "a direct push"
    notes = [
        f"{inert(model)} version {entry.version} is live in **{environment}** by {source}.",
        f"- Release: {inert(entry.release)}",
        f"- Digest: {inert(entry.digest)}",
    ]
    return title, "\n".join(notes)
