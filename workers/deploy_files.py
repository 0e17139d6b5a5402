"""The files of a deploy repository as of a commit: pipeline, policies, manifest; parsed once a blob."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from bot.domain.manifest import Entry, Manifest, parse_manifests
from bot.domain.pipeline import Environment, Pipeline, parse_pipeline
from bot.gateways.github.git import Commit
from bot.gateways.github.repository import Repository
from policies.documents import InvalidDocument, Problem
from policies.policy import Policy, parse_policy

PIPELINE_PATH = "promotion.yaml"
_PARSED_KEPT: Final = 86_400  # seconds
_PARSED_AS: Final = 1  # raised with what a manifest may say, so that an older reading of one is not taken for it
_LONGEST_WALK: Final = 500  # commits; what changed before them is not judged any more


@dataclass(frozen=True, slots=True)
class PipelineFile:
    """The pipeline and the id of the blob that it was read from."""

    blob: str
    pipeline: Pipeline


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """A policy and what it was read from: the id of its blob, or of all blobs where it extends other policies."""

    blob: str
    policy: Policy


@dataclass(frozen=True, slots=True)
class Place:
    """One model's entry for one environment, in the files that the pipeline names; `live` is what took effect last."""

    pipeline: Pipeline
    model: str
    environment: str
    live: Entry | None


class DeployFiles:
    """Reads a deploy repository's files. Every method raises InvalidDocument with all that is wrong in the file."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._pipelines: dict[str, Pipeline] = {}
        self._policies: dict[tuple[str, str], PolicyFile] = {}
        self._manifests: dict[tuple[str | None, ...], Manifest] = {}

    def pipeline(self, commit: str) -> PipelineFile:
        """The pipeline as of `commit`."""
        blob = self._repository.git.file(commit, PIPELINE_PATH)
        if blob is None:
            raise _missing(PIPELINE_PATH, "add one that says which models and environments this repository promotes")
        if blob.sha not in self._pipelines:
            self._pipelines[blob.sha] = parse_pipeline(blob.content, PIPELINE_PATH)
        return PipelineFile(blob.sha, self._pipelines[blob.sha])

    def policy(self, commit: str, environment: Environment) -> PolicyFile:
        """The environment's policy as of `commit`, with the policies that it extends."""
        blob = self._repository.git.file(commit, environment.policy)
        if blob is None:
            raise _missing(environment.policy, f"the environment “{environment.name}” names it as its policy")
        key = (commit, environment.policy)
        if key not in self._policies:
            read = {environment.policy: blob}

            def read_file(path: str) -> bytes | None:
                found = self._repository.git.file(commit, path)
                if found is not None:
                    read[path] = found
                return found.content if found else None

            policy = parse_policy(blob.content, environment.policy, read_file)
            ids = [read[path].sha for path in policy.sources]
            name = ids[0] if len(ids) == 1 else hashlib.sha256(" ".join(ids).encode()).hexdigest()[:40]
            self._policies[key] = PolicyFile(name, policy)
        return self._policies[key]

    def manifest(self, commit: str, pipeline: Pipeline) -> Manifest:
        """The manifest as of `commit`, all its files together; empty where there is none yet."""
        key = self._manifest_ids(commit, pipeline)
        if key not in self._manifests:
            self._manifests[key] = self._parsed_before(key, pipeline) or self._parsed(key, commit, pipeline)
        return self._manifests[key]

    def _parsed_before(self, ids: tuple[str | None, ...], pipeline: Pipeline) -> Manifest | None:
        """What another look made of these blobs: reading thousands of entries as YAML takes seconds."""
        known = self._repository.cache.get(self._cache_key(ids, pipeline))
        if known is None:
            return None
        rows: list[tuple[tuple[str, str], tuple[int, str, str]]] = json.loads(known)
        return Manifest({(model, environment): Entry(*entry) for (model, environment), entry in rows})

    def _parsed(self, ids: tuple[str | None, ...], commit: str, pipeline: Pipeline) -> Manifest:
        texts = {path: text for path in pipeline.manifest_paths() if (text := self.text(commit, path)) is not None}
        manifest = parse_manifests(texts, pipeline)
        rows = [(place, (e.version, e.digest, e.release)) for place, e in manifest.entries.items()]
        self._repository.cache.set(self._cache_key(ids, pipeline), json.dumps(rows).encode(), _PARSED_KEPT)
        return manifest

    def _cache_key(self, ids: tuple[str | None, ...], pipeline: Pipeline) -> str:
        """The name of what was made of blobs: by a pipeline with these environments in these files."""
        files = [(environment.name, pipeline.manifest_path(environment.name)) for environment in pipeline.environments]
        digest = hashlib.sha256(json.dumps([_PARSED_AS, ids, files]).encode()).hexdigest()
        return f"manifest:{self._repository.name}:{digest}"

    def text(self, commit: str, path: str) -> str | None:
        """The text of a file as of `commit`; None where there is none."""
        blob = self._repository.git.file(commit, path)
        if blob is None:
            return None
        try:
            return blob.content.decode()
        except UnicodeDecodeError as error:
            raise InvalidDocument((Problem(path, 1, 1, f"is not UTF-8: {error.reason}"),)) from error

    def changes(self, head: str, place: Place, judged: Collection[str], owed: Collection[str]) -> tuple[str, ...]:
        """The commits of the branch's own line that changed an entry, newest first, as far as they need a judgement.

        The last of them is judged already, or changed what is live; before that none of `owed` is left out. A manifest
        that could not be read says nothing about the entry: the commit that made it readable again changed it.
        """
        entry, newest, found, left = self._entry(head, place), head, list[str](), set(owed)
        for _, commit in zip(range(_LONGEST_WALK), self._repository.git.first_parents(head), strict=False):
            before = entry
            if self._manifest_ids(commit.sha, place.pipeline) != self._manifest_ids(newest, place.pipeline):
                try:
                    before = self._entry(commit.sha, place)
                except InvalidDocument:
                    continue
            if before != entry:
                found.append(newest)
                left.discard(newest)
                if newest in judged or (before == place.live and not left):
                    return tuple(found)
            entry, newest = before, commit.sha
        return tuple(found) if entry is None else (*found, newest)

    def changed_by(self, commit: Commit, place: Place) -> bool:
        """Whether a commit changed an entry; a manifest that cannot be read, before or after, says nothing."""
        try:
            before = self._entry(commit.parents[0], place) if commit.parents else None
            return self._entry(commit.sha, place) != before
        except InvalidDocument:
            return False

    def first_manifest(self, pipeline: Pipeline) -> str | None:
        """The commit that first added a manifest file; None where there is none."""
        firsts = [self._repository.git.first_commit_of(path) for path in pipeline.manifest_paths()]
        return next((commit for commit in firsts if commit is not None), None)

    def _entry(self, commit: str, place: Place) -> Entry | None:
        return self.manifest(commit, place.pipeline).entry(place.model, place.environment)

    def _manifest_ids(self, commit: str, pipeline: Pipeline) -> tuple[str | None, ...]:
        return tuple(self._repository.git.object_id(commit, path) for path in pipeline.manifest_paths())


def _missing(path: str, advice: str) -> InvalidDocument:
    return InvalidDocument((Problem(path, 1, 1, f"there is no such file; {advice}"),))
