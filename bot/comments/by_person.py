"""The text of a pull request that a person opens from the command line."""

from __future__ import annotations

from bot.comments.markdown import inert
from bot.domain.manifest import Entry


def body(model: str, environment: str, entry: Entry) -> str:
    """What merging does, and who judges it."""
    return (
        f"Puts v{entry.version} of {inert(model)} into **{environment}**.\n\n"
        f"- Release: {inert(entry.release)}\n"
        f"- Digest: {inert(entry.digest)}\n\n"
        "The checks `promotion/policy`, `promotion/approvals` and `promotion/window` say whether it takes effect.\n"
    )
