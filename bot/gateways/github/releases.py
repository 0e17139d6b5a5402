"""Git tags and releases."""

from __future__ import annotations

from urllib.parse import quote

from bot.gateways.github.api import RepositoryApi
from bot.gateways.github.client import GitHubRefusal


class Releases:
    """Tags and releases of one repository."""

    def __init__(self, api: RepositoryApi) -> None:
        self._api = api

    def create_tag(self, name: str, commit: str) -> str | None:
        """Make a git tag; answers the commit that a tag of this name points at instead, None where all is well."""
        try:
            self._api.write("POST", "/git/refs", ref=f"refs/tags/{name}", sha=commit)
        except GitHubRefusal as refusal:
            if refusal.status != 422:
                raise
            there = self._commit_of(name)
            if there is None:
                raise  # GitHub refused the name itself
            return None if there == commit else there
        return None

    def _commit_of(self, tag: str) -> str | None:
        """The commit that a tag points at, through the tag objects of annotated tags; None where there is no tag."""
        ref = self._api.get_or_none(f"/git/ref/tags/{quote(tag)}")
        if ref is None:
            return None
        target = ref["object"]
        while target["type"] == "tag":
            target = self._api.immutable(f"/git/tags/{target['sha']}")["object"]
        return str(target["sha"])

    def create_release(self, tag: str, title: str, notes: str) -> None:
        """Make the release of a tag, unless it has one."""
        try:
            self._api.write("POST", "/releases", tag_name=tag, name=title, body=notes)
        except GitHubRefusal as refusal:
            if refusal.status != 422 or "already_exists" not in refusal.messages:
                raise
