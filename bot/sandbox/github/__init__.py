"""A GitHub on this machine: stateful, with real git objects and GitHub's shapes, for the demo and the tests."""

from bot.sandbox.github.facade import GitHubSandbox, SandboxPull, SandboxRepository

__all__ = ["GitHubSandbox", "SandboxPull", "SandboxRepository"]
