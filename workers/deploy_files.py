"""The files of a deploy repository as of a commit: pipeline, policies, manifest; parsed once a blob."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from bot.domain.manifest import Entry, Manifest, parse_manifests
from bot.domain.pipeline import Environment, Pipeline, parse_pipeline
from bot.gateways.github.repository import Repository
from policies.documents import InvalidDocument, Problem
from policies.policy import Policy, parse_policy

PIPELINE_PATH = "promotion.yaml"


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
            texts = {path: text for path in pipeline.manifest_paths() if (text := self.text(commit, path)) is not None}
            self._manifests[key] = parse_manifests(texts, pipeline)
        return self._manifests[key]

    def text(self, commit: str, path: str) -> str | None:
        """The text of a file as of `commit`; None where there is none."""
        blob = self._repository.git.file(commit, path)
        if blob is None:
            return None
        try:
            return blob.content.decode()
        except UnicodeDecodeError as error:
            raise InvalidDocument((Problem(path, 1, 1, f"is not UTF-8: {error.reason}"),)) from error

    def introduced(self, head: str, pipeline: Pipeline, model: str, environment: str) -> str:
        """The commit of the branch's own line since which the entry is what it is at `head`."""
        wanted = self._entry_or_none(head, pipeline, model, environment)
        newest = head
        for commit in self._repository.git.first_parents(head):
            same = self._manifest_ids(commit.sha, pipeline) == self._manifest_ids(newest, pipeline)
            if not same and self._entry_or_none(commit.sha, pipeline, model, environment) != wanted:
                return newest
            newest = commit.sha
        return newest

    def first_manifest(self, pipeline: Pipeline) -> str | None:
        """The commit that first added a manifest file; None where there is none."""
        firsts = [self._repository.git.first_commit_of(path) for path in pipeline.manifest_paths()]
        return next((commit for commit in firsts if commit is not None), None)

    def _entry_or_none(self, commit: str, pipeline: Pipeline, model: str, environment: str) -> Entry | None:
        """The entry as of `commit`; a manifest that could not be read then says nothing about it."""
        try:
            return self.manifest(commit, pipeline).entry(model, environment)
        except InvalidDocument:
            return None

    def _manifest_ids(self, commit: str, pipeline: Pipeline) -> tuple[str | None, ...]:
        return tuple(self._repository.git.object_id(commit, path) for path in pipeline.manifest_paths())


def _missing(path: str, advice: str) -> InvalidDocument:
    return InvalidDocument((Problem(path, 1, 1, f"there is no such file; {advice}"),))
