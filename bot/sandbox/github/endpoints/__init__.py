"""The endpoints of GitHub's REST API that a promotion needs, a file a subject; importing it registers them."""

from __future__ import annotations

from bot.sandbox.github.endpoints import checks, conversation, deployments, git, hooks, people, pulls, releases

__all__ = ["checks", "conversation", "deployments", "git", "hooks", "people", "pulls", "releases"]
