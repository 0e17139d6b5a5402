"""The company: its models, people, pipeline and policies."""

from __future__ import annotations

from typing import Final

REPOSITORY: Final = "acme/models"
MODELS: Final = ("fraud-a", "fraud-b")
FLOOR: Final = 0.9  # of the accuracy
ENVIRONMENTS: Final = {"staging": ("Staging", "staging"), "production": ("Production", "champion")}

PIPELINE: Final = """\
apiVersion: promotion-bot/v1
kind: Pipeline
manifest: versions.yaml
models: ["fraud-*"]
identities: {dana: dana-ds}
environments:
  - name: staging
    policy: policies/staging.yaml
    propose: on_registration
    merge: auto
    overrides: {from: [carol]}
    drift: repair
    registry: {stage: Staging, alias: staging}
  - name: production
    policy: policies/production.yaml
    propose: {after: staging, soak: 10m}
    merge: manual
    approvals: {count: 1, from: [alice, bob], not_author: true}
    overrides: {from: [carol]}
    freeze:
      - {from: "Fri 16:00", until: "Mon 08:00", timezone: UTC, reason: weekend}
    registry: {stage: Production, alias: champion, archive_existing: true}
releases: {tag: "model-{model}-v{version}", github_release: true}
"""
POLICY: Final = """\
apiVersion: promotion-bot/v1
kind: Policy
name: {name}
checks:
  - {{id: finished, run: {{status: finished}}}}
  - {{id: accuracy-floor, metric: {{name: accuracy, at_least: {floor}}}}}
"""
MANIFEST: Final = """\
apiVersion: promotion-bot/v1
kind: ModelVersions
models: {}
"""
FILES: Final = {
    "promotion.yaml": PIPELINE,
    "policies/staging.yaml": POLICY.format(name="staging", floor=FLOOR),
    "policies/production.yaml": POLICY.format(name="production", floor=FLOOR),
    "versions.yaml": MANIFEST,
}
NOTES: Final = "notes.md"  # what people add to the bot's branches
PEOPLE: Final = {"alice": "write", "bob": "admin", "carol": "write", "dana-ds": "write", "rita": "read"}
