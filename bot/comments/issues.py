"""The issues that the bot opens, each found again by its hidden marker."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from bot.comments.markdown import inert, plain, prose
from bot.domain.manifest import Entry
from policies.documents import Problem


def marker(*subject: str) -> str:
    """The hidden line by which the issue about `subject` is known."""
    return f"<!-- promotion-bot:issue:{hashlib.sha256('|'.join(subject).encode()).hexdigest()[:24]} -->"


def refused_change(
    model: str, environment: str, commit: str, entry: Entry | None, live: Entry | None, reasons: Sequence[str]
) -> tuple[str, str]:
    """Title and text for a merged change that has no effect: what it lacks, what is live, what to do."""
    asked = f"v{entry.version}" if entry else "the removal"
    stays = f"v{live.version} stays live" if live else "nothing is live, as before"
    title = plain(f"{model}: {asked} in {environment} has no effect", 250)
    lines = [
        marker("refused", model, environment, commit),
        f"Commit {commit} changes the entry of {inert(model)} in **{environment}** to {asked}, and that did not take"
        f" effect: {stays}.",
        "What it lacks:",
        "\n".join(f"- {prose(reason)}" for reason in reasons),
        "**What to do.** Revert the commit, and let the change come in by a pull request whose checks are green before"
        " it is merged. This issue closes by itself once the manifest and what is live agree.",
    ]
    return title, "\n\n".join(lines)


def lost_version(model: str, environment: str, commit: str, entry: Entry) -> tuple[str, str]:
    """Title and text for a version that should be live and that somebody deleted from the registry."""
    title = plain(f"{model}: v{entry.version}, live in {environment}, is not in the registry", 250)
    lines = [
        marker("lost", model, environment, commit),
        f"The manifest says since commit {commit} that v{entry.version} of {inert(model)} is live in **{environment}**,"
        " but MLflow has no such version any more. Somebody deleted it there; the bot cannot bring it back.",
        f"Its digest was {inert(entry.digest)}.",
        "**What to do.** Change the entry, by a pull request, to a version that MLflow has, or remove it. This issue"
        " closes by itself once something else is live.",
    ]
    return title, "\n\n".join(lines)


def drift(model: str, environment: str, what: Sequence[str], repairs: int) -> tuple[str, str]:
    """Title and text for a registry that differs from the manifest although nobody merged anything."""
    title = plain(f"{model}: the registry differs from what is live in {environment}", 250)
    lines = [
        marker("drift", model, environment),
        f"Nobody merged anything, but MLflow does not say what the manifest says of {inert(model)} in"
        f" **{environment}**:",
        "\n".join(f"- {prose(difference)}" for difference in what),
    ]
    if repairs:
        lines.append(f"The bot put it right {repairs} times and somebody changed it again, so it leaves it to people.")
    lines.append(
        "**What to do.** Put it back in MLflow, or bring in what is there by a pull request that changes the manifest."
        " This issue closes by itself once both agree."
    )
    return title, "\n\n".join(lines)


def invalid_files(repository: str, problems: Sequence[Problem]) -> tuple[str, str]:
    """Title and text for files on the default branch that cannot be read: where, what, and what waits for it."""
    title = "promotion-bot cannot read this repository's promotion files"
    lines = [
        marker("invalid-files", repository),
        "Until this is mended the bot leaves the registry alone and merges nothing here.",
        "\n".join(f"- `{plain(p.source)}` line {p.line}, column {p.column}: {prose(p.message)}" for p in problems[:50]),
    ]
    return title, "\n\n".join(lines)


def shared_model(repository: str, model: str, others: Sequence[str]) -> tuple[str, str]:
    """Title and text for a model that several deploy repositories own."""
    title = plain(f"{model}: owned by more than one deploy repository", 250)
    lines = [
        marker("shared-model", repository, model),
        f"The pipelines of {', '.join(inert(name) for name in (repository, *others))} all name {inert(model)} in their"
        " `models`. A model has one owner: until only one of them names it, the bot promotes it nowhere.",
    ]
    return title, "\n\n".join(lines)


def tag_elsewhere(tag: str, wanted: str, there: str) -> tuple[str, str]:
    """Title and text for a git tag that points at another commit than the promotion's."""
    title = plain(f"The tag {tag} points at another commit", 250)
    lines = [
        marker("tag", tag),
        f"The tag {inert(tag)} of this promotion should point at {wanted}, but it points at {there}. The bot never"
        " moves a tag: delete or rename it if it is wrong.",
    ]
    return title, "\n\n".join(lines)
