"""The demo's company: its people and its deploy repository."""

from __future__ import annotations

from typing import Final

from bot.sandbox.github import GitHubSandbox, SandboxRepository
from bot.sandbox.github.state import App

MODEL: Final = "breast-cancer"
REPOSITORY: Final = "acme/models"

PIPELINE: Final = """\
apiVersion: promotion-bot/v1
kind: Pipeline
manifest: versions.yaml
models: ["breast-*"]
identities: {dana: dana-ds}
environments:
  - name: staging
    policy: policies/staging.yaml
    propose: on_registration
    merge: auto
    registry: {stage: Staging, alias: staging}
  - name: production
    policy: policies/production.yaml
    propose: {after: staging, soak: 1s}
    merge: manual
    approvals: {count: 2, from: ["@acme/ml-platform"], not_author: true}
    overrides: {from: [carol]}
    registry: {stage: Production, alias: champion, archive_existing: true}
releases: {tag: "model-{model}-v{version}", github_release: true}
"""

STAGING_POLICY: Final = """\
apiVersion: promotion-bot/v1
kind: Policy
name: staging
checks:
  - {id: run-finished, run: {status: finished}}
  - {id: accuracy-floor, metric: {name: accuracy, at_least: 0.92}, remedy: "Train on all features."}
  - {id: lineage, lineage: {require: [git_commit, data_version]}}
"""

PRODUCTION_POLICY: Final = """\
apiVersion: promotion-bot/v1
kind: Policy
name: production
checks:
  - {id: accuracy-floor, metric: {name: accuracy, at_least: 0.92}}
  - {id: beats-champion, compare: {metric: f1_score, to: champion, tolerance: 0.005}}
  - {id: lineage, lineage: {require: [git_commit, data_version]}}
"""

MANIFEST: Final = """\
# What should be live. Every change of this file is a reviewed pull request.
apiVersion: promotion-bot/v1
kind: ModelVersions
models: {}
"""

FILES: Final = {
    "promotion.yaml": PIPELINE,
    "policies/staging.yaml": STAGING_POLICY,
    "policies/production.yaml": PRODUCTION_POLICY,
    "versions.yaml": MANIFEST,
}


def people_and_repository(
    github: GitHubSandbox, webhook_url: str | None, webhook_secret: str
) -> tuple[App, SandboxRepository]:
    """The company of the story: dana trains models, alice and bob look after the platform, carol leads."""
    github.add_user("dana-ds", "alice", "bob", "carol")
    github.add_team("acme", "ml-platform", ["alice", "bob"])
    app = github.add_app("promotion-bot", webhook_url, webhook_secret)
    people = {"dana-ds": "write", "alice": "write", "bob": "admin", "carol": "write"}
    return app, github.add_repository(REPOSITORY, FILES, people, [app])
