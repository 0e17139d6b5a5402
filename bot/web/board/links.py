"""Links to where things can be seen: made of the settings, names and numbers; never read from anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, urlencode, urlsplit

from bot.domain.github_app import site_of
from bot.settings import Settings


@dataclass(frozen=True, slots=True)
class Links:
    """Where GitHub's and MLflow's own pages are; empty where nobody said, or where it would show a password."""

    github: str
    mlflow: str

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The links that these settings make possible."""
        return cls(site_of(settings.github_api_url), _mlflow(settings.mlflow_tracking_uri))

    def repository(self, name: str) -> str:
        """A repository's page on GitHub."""
        return f"{self.github}/{quote(name)}"

    def pull(self, repository: str, number: int) -> str:
        """A pull request."""
        return f"{self.repository(repository)}/pull/{number}"

    def comment(self, repository: str, issue: int, comment: int) -> str:
        """A comment; GitHub goes on to the pull request where the issue is one."""
        return f"{self.repository(repository)}/issues/{issue}#issuecomment-{comment}"

    def commit(self, repository: str, sha: str) -> str:
        """A commit."""
        return f"{self.repository(repository)}/commit/{quote(sha, safe='')}"

    def file(self, repository: str, path: str) -> str:
        """A file on the default branch."""
        return f"{self.repository(repository)}/blob/HEAD/{quote(path)}"

    def registered(self, model: str, version: int | None = None) -> str:
        """A registered model in MLflow, or one of its versions; empty where MLflow has no pages that are known."""
        if not self.mlflow:
            return ""
        page = f"{self.mlflow}/#/models/{quote(model, safe='')}"
        return page if version is None else f"{page}/versions/{version}"

    @staticmethod
    def model(repository: str, name: str, **more: str) -> str:
        """A model's page on the board."""
        return f"/model?{urlencode({'repository': repository, 'name': name, **more})}"

    @staticmethod
    def policy(repository: str, path: str) -> str:
        """A policy's page on the board."""
        return f"/policy?{urlencode({'repository': repository, 'path': path})}"


def _mlflow(uri: str) -> str:
    parts = urlsplit(uri)
    usable = parts.scheme in ("http", "https") and parts.username is None and parts.password is None
    return uri.rstrip("/") if usable else ""
