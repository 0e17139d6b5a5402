"""One version against one policy: gather the evidence, let the policy judge it, bind the verdict to what was read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from bot.domain.errors import Refused
from bot.domain.manifest import Entry
from bot.domain.pipeline import Environment
from bot.domain.releases import next_release, parse_release
from bot.domain.versions import ModelVersion, RegisteredModel
from bot.domain.world import Evaluation, Found
from bot.gateways.artifacts import ArtifactDigest, Artifacts
from bot.gateways.cache import Cache
from bot.gateways.registry import Registry
from policies.documents import InvalidDocument
from policies.engine import evaluate
from policies.evidence import Evidence, Part, VersionEvidence
from policies.signatures import compare_signatures
from policies.verdict import Outcome, Status, Verdict
from workers.deploy_files import PipelineFile, PolicyFile

_DIGEST_TTL: Final = 86_400
RELEASE_TAG: Final = "promotion.release"


@dataclass(frozen=True, slots=True)
class Rules:
    """What an environment's entries are judged by, as of one commit."""

    environment: Environment
    pipeline: PipelineFile
    policy: PolicyFile


class Evaluator:
    """Judges versions of one registered model; what it read once in a look is not read again."""

    def __init__(self, registry: Registry, artifacts: Artifacts, cache: Cache, model: RegisteredModel) -> None:
        self._registry = registry
        self._artifacts = artifacts
        self._cache = cache
        self._model = model
        self._fresh: dict[int, ArtifactDigest] = {}
        self._listed: dict[int, ArtifactDigest] = {}
        self._known: dict[int, VersionEvidence] = {}
        self._signatures: dict[int, Mapping[str, object] | None] = {}

    def evaluate(
        self, version: ModelVersion, rules: Rules, champion: Entry | None, release: str, now: datetime
    ) -> Evaluation:
        """The verdict of `rules` on `version`. Raises Unreachable where a store does not answer."""
        try:
            files = self._digest(version)
            known = self._evidence(version, rules.policy.policy.needs)
            subject = replace(known, digest=files.digest, size=files.size)
        except Refused as refusal:
            return self._without_files(version, rules, champion, str(refusal))
        evidence = Evidence(
            environment=rules.environment.name,
            subject=subject,
            champion=self._champion(champion, rules.policy.policy.needs),
            asked_at=version.created_at,
        )
        return Evaluation(
            entry=Entry(version.version, files.digest, release),
            verdict=evaluate(rules.policy.policy, evidence, now),
            evidence=evidence,
            policy=rules.policy.blob,
            pipeline=rules.pipeline.blob,
            champion=champion,
        )

    def found(self, version: int) -> Found:
        """The digest of a version's files as the store has them this moment, never from a cache."""
        registered = self._model.version(version)
        if registered is None:
            return Found(None)
        try:
            return Found(self.read_again(registered).digest)
        except Refused:
            return Found(None)

    def read_again(self, version: ModelVersion) -> ArtifactDigest:
        """Digest the files anew; evaluations of this look use the result."""
        if version.version not in self._fresh:
            self._fresh[version.version] = self._artifacts.digest(version)
        return self._fresh[version.version]

    def release(self, version: ModelVersion, known: Iterable[Entry]) -> str:
        """The semantic version that `version` has, or gets now: each is given once, and to one version only.

        `known` are the entries of the model that the manifest and the record of judgements name.
        """
        entries = tuple(known)
        taken = {e.release: e.version for e in entries if e.release}
        tagged = {v.tags[RELEASE_TAG]: v.version for v in self._model.versions if RELEASE_TAG in v.tags}
        mine = next((e.release for e in entries if e.version == version.version and e.release), None)
        if mine is not None:
            return mine
        owners = {**tagged, **taken}
        for said in (version.tags.get(RELEASE_TAG), version.tags.get("release")):
            if said and _is_release(said) and owners.get(said, version.version) == version.version:
                return said
        others = [(r, v) for r, v in owners.items() if _is_release(r) and v != version.version]
        if not others:
            return next_release(None, compare_signatures(None, None).level)
        highest, holder = max(others, key=lambda item: parse_release(item[0]))
        difference = compare_signatures(self._signature_of(holder), self._signature(version))
        return next_release(highest, difference.level)

    def _signature_of(self, version: int) -> Mapping[str, object] | None:
        registered = self._model.version(version)
        return self._signature(registered) if registered else None

    def _signature(self, version: ModelVersion) -> Mapping[str, object] | None:
        """The version's signature; read once in a look."""
        if version.version not in self._signatures:
            self._signatures[version.version] = self._registry.signature(version)
        return self._signatures[version.version]

    def _evidence(self, version: ModelVersion, needs: frozenset[Part]) -> VersionEvidence:
        """What the registry knows of a version, without its files' digest; asked for once in a look.

        The run is always read: people see its metrics and lineage.
        """
        if version.version not in self._known:
            self._known[version.version] = self._registry.version_evidence(self._model, version, "", 0)
        signature = self._signature(version) if Part.MODEL_FILE in needs else None
        return replace(self._known[version.version], signature=signature)

    def _champion(self, champion: Entry | None, needs: frozenset[Part]) -> VersionEvidence | None:
        version = self._model.version(champion.version) if champion else None
        if champion is None or version is None:
            return None
        return replace(self._evidence(version, needs), digest=champion.digest)

    def _digest(self, version: ModelVersion) -> ArtifactDigest:
        """The content digest; remembered while the store lists the same files with the same sizes.

        A cache is enough for looking: before a merge by the bot and before an entry takes effect the files are read
        again with `read_again`.
        """
        if version.version in self._fresh:
            return self._fresh[version.version]
        if version.version in self._listed:
            return self._listed[version.version]
        listing = self._artifacts.listing(version)
        identity = json.dumps([version.name, version.version, version.source, version.created_at.isoformat(), listing])
        key = f"digest:{hashlib.sha256(identity.encode()).hexdigest()}"
        known = self._cache.get(key)
        if known is not None:
            digest, size = json.loads(known)
            self._listed[version.version] = ArtifactDigest(digest, size, tuple(path for path, _ in listing))
            return self._listed[version.version]
        files = self._artifacts.digest(version)
        self._cache.set(key, json.dumps([files.digest, files.size]).encode(), _DIGEST_TTL)
        self._fresh[version.version] = files
        return files

    def _without_files(self, version: ModelVersion, rules: Rules, champion: Entry | None, reason: str) -> Evaluation:
        """The refusal of a version whose files cannot be had, which no policy can judge."""
        subject = self._evidence(version, frozenset())
        outcome = Outcome(
            check="artifacts",
            kind="artifacts",
            status=Status.FAIL,
            measured=reason,
            required="the version's files can be read",
            remedy="Log the model's files again and register them as a new version.",
        )
        return Evaluation(
            entry=Entry(version.version, "", ""),
            verdict=Verdict(rules.policy.policy.name, (outcome,)),
            evidence=Evidence(rules.environment.name, subject, None, version.created_at),
            policy=rules.policy.blob,
            pipeline=rules.pipeline.blob,
            champion=champion,
        )


def rules_at(
    commit: str,
    environment: Environment,
    pipeline: PipelineFile,
    policy: Callable[[str, Environment], PolicyFile],
) -> Rules | None:
    """The environment's rules as of `commit`; None where its policy is missing or invalid."""
    try:
        return Rules(environment, pipeline, policy(commit, environment))
    except InvalidDocument:
        return None


def _is_release(text: str) -> bool:
    try:
        parse_release(text)
    except ValueError:
        return False
    return True
