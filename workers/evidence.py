"""The evidence of one model's versions: read from the outside world only as far as a policy's checks ask for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any, Final

from bot.domain.errors import Misconfigured, PromotionError, Refused
from bot.domain.manifest import Entry
from bot.domain.versions import ModelVersion, RegisteredModel
from bot.domain.world import Completion, Ruling
from bot.gateways import model_signatures, tables
from bot.gateways.artifacts import ArtifactDigest
from bot.gateways.mlflow_api import Missing
from bot.gateways.registry import ModelFile
from bot.gateways.scan import scan_directory
from bot.wiring import Gateways
from policies.evidence import (
    CheckedCommit,
    CiResult,
    Column,
    Commit,
    Evidence,
    File,
    GithubCheck,
    LiveIn,
    Need,
    OnBranch,
    Part,
    Recorded,
    SignedBy,
    Tracked,
    TrackedOutput,
    Unreadable,
    UnsafeCode,
    Unusable,
    Vector,
    Verified,
    VersionEvidence,
)
from workers.repository_view import RepositoryView

_DIGEST_TTL: Final = 86_400
_LOOKED_INTO_TTL: Final = 30 * 86_400  # what follows from the bytes of the files alone
_LARGEST_REQUIREMENTS: Final = 1_000_000
_OF_CHAMPION: Final = frozenset({Part.RUN, Part.MODEL_FILE})
_OF_FILES: Final = frozenset({Part.FILES, Part.SCAN})


@dataclass(frozen=True, slots=True)
class ProposalHead:
    """The commit that a proposal's checks run on, and since when it has one, by GitHub's clock."""

    sha: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Question:
    """What the evidence is for: a version in an environment, judged by rules as of the commit `rules`.

    `for_people` asks for what is shown beside the checks too: the run, and the digest of the files.
    """

    environment: str
    version: ModelVersion
    champion: Entry | None
    needs: frozenset[Need]
    rules: str
    proposal: ProposalHead | None = None
    asked_at: datetime | None = None
    for_people: bool = True


class EvidenceReader:
    """Reads what is known of one model's versions; what it read once in a look is not read again."""

    def __init__(self, view: RepositoryView, model: RegisteredModel) -> None:
        self._view = view
        self._gateways: Gateways = view.gateways
        self._model = model
        self._fresh: dict[int, ArtifactDigest] = {}
        self._digests: dict[int, ArtifactDigest] = {}
        self._listings: dict[int, tuple[tuple[str, int], ...]] = {}
        self._known: dict[int, VersionEvidence] = {}
        self._model_files: dict[int, ModelFile] = {}
        self._failed: dict[tuple[str, int], PromotionError] = {}
        self._outputs: dict[tuple[int, Tracked], TrackedOutput | Unreadable | Unusable | None] = {}
        self._columns: dict[tuple[int, Column], Vector | Unusable | None] = {}

    def read(self, question: Question) -> Evidence:
        """All that the checks asked for. Raises Unreachable where a store does not answer, Refused without files."""
        version, needs = question.version, question.needs
        looked_into = self._look_into(version, needs, question.rules)
        subject = self._of_version(version, needs | {Part.RUN} if question.for_people else needs)
        if question.for_people or not needs.isdisjoint(_OF_FILES):
            files = self.digest(version)
            subject = replace(subject, digest=files.digest, size=files.size)
        subject = replace(
            subject,
            files=tuple(File(path, size) for path, size in self._listing(version)) if Part.FILES in needs else (),
            requirements=self._requirements(version) if Part.REQUIREMENTS in needs else None,
            scan=looked_into.scan,
        )
        return Evidence(
            environment=question.environment,
            subject=subject,
            champion=self._champion(question),
            asked_at=_asked_at(question),
            proposed_at=question.proposal.since if question.proposal else None,
            signed=looked_into.signed,
            commits={need: self._commit(need, subject.commit) for need in needs if isinstance(need, OnBranch)},
            ci={
                need: self._ci(need, subject.commit, question.proposal)
                for need in needs
                if isinstance(need, GithubCheck)
            },
            tracked={need: self._tracked(need, subject) for need in needs if isinstance(need, Tracked)},
            live_since={
                need.environment: since
                for need in needs
                if isinstance(need, LiveIn) and (since := self._live_since(need.environment, version)) is not None
            },
        )

    def without_files(self, question: Question) -> Evidence:
        """What is known of a version whose files cannot be had."""
        subject = self._of_version(question.version, frozenset({Part.RUN}))
        return Evidence(question.environment, subject, None, _asked_at(question))

    # --- the registry -----------------------------------------------------------------------------------------------

    def _of_version(self, version: ModelVersion, needs: frozenset[Need]) -> VersionEvidence:
        """What the registry knows of a version; the run only where it is asked for."""
        known = self._known.get(version.version)
        if known is None and Part.RUN in needs:
            known = self._gateways.registry.version_evidence(self._model, version)
            self._known[version.version] = known
        file = self.model_file(version) if Part.MODEL_FILE in needs else ModelFile()
        return replace(
            known or self._gateways.registry.registered_evidence(self._model, version),
            signature=file.signature,
            flavors=file.flavors,
            columns={need: self._column(version, need) for need in needs if isinstance(need, Column)},
        )

    def model_file(self, version: ModelVersion) -> ModelFile:
        """What the version's MLmodel file says."""
        if version.version not in self._model_files:
            with self._once("MLmodel", version):
                self._model_files[version.version] = self._gateways.registry.model_file(version)
        return self._model_files[version.version]

    def _champion(self, question: Question) -> VersionEvidence | None:
        champion, needs = question.champion, question.needs
        version = self._model.version(champion.version) if champion else None
        if champion is None or version is None:
            return None
        asked = {need for need in needs if need in _OF_CHAMPION or isinstance(need, Column)}
        if question.for_people:
            asked.add(Part.RUN)
        return replace(self._of_version(version, frozenset(asked)), digest=champion.digest)

    def _column(self, version: ModelVersion, wanted: Column) -> Vector | Unusable | None:
        key = (version.version, wanted)
        if key not in self._columns:
            try:
                content = self._gateways.artifacts.fetch_of_run(version, wanted.table, tables.MOST_BYTES)
                self._columns[key] = tables.column_of(content, wanted)
            except Missing:
                self._columns[key] = None
            except Refused as refusal:
                self._columns[key] = Unusable(str(refusal))
        return self._columns[key]

    # --- the files --------------------------------------------------------------------------------------------------

    def read_again(self, version: ModelVersion) -> ArtifactDigest:
        """Digest the files anew; evidence of this look uses the result."""
        if version.version not in self._fresh:
            with self._once("digest", version):
                self._fresh[version.version] = self._gateways.artifacts.digest(version)
        return self._fresh[version.version]

    def digest(self, version: ModelVersion) -> ArtifactDigest:
        """The content digest; remembered while the store lists the same files with the same sizes.

        A cache is enough for looking: before a merge by the bot and before an entry takes effect the files are read
        again with `read_again`.
        """
        number = version.version
        if number in self._fresh:
            return self._fresh[number]
        if number not in self._digests:
            key = self._digest_key(version)
            known = self._gateways.cache.get(key)
            if known is None:
                return self._remember(version, self.read_again(version))
            digest, size = json.loads(known)
            self._digests[number] = ArtifactDigest(digest, size, tuple(path for path, _ in self._listing(version)))
        return self._digests[number]

    def _digest_key(self, version: ModelVersion) -> str:
        identity = [version.name, version.version, version.source, version.created_at.isoformat()]
        text = json.dumps([*identity, self._listing(version)])
        return f"digest:{hashlib.sha256(text.encode()).hexdigest()}"

    def _remember(self, version: ModelVersion, files: ArtifactDigest) -> ArtifactDigest:
        self._gateways.cache.set(
            self._digest_key(version), json.dumps([files.digest, files.size]).encode(), _DIGEST_TTL
        )
        return files

    def _listing(self, version: ModelVersion) -> tuple[tuple[str, int], ...]:
        if version.version not in self._listings:
            with self._once("listing", version):
                self._listings[version.version] = self._gateways.artifacts.listing(version)
        return self._listings[version.version]

    @contextmanager
    def _once(self, what: str, version: ModelVersion) -> Iterator[None]:
        """Raise what was raised before where the same was asked for in this look: a silent store is waited for once."""
        if (failed := self._failed.get((what, version.version))) is not None:
            raise failed
        try:
            yield
        except PromotionError as error:
            self._failed[what, version.version] = error
            raise

    def _requirements(self, version: ModelVersion) -> str | None:
        if "requirements.txt" not in dict(self._listing(version)):
            return None
        content = self._gateways.artifacts.fetch(version, "requirements.txt", _LARGEST_REQUIREMENTS)
        return content.decode("utf-8", "replace")

    def _look_into(self, version: ModelVersion, needs: frozenset[Need], rules: str) -> _LookedInto:
        """What only the files' bytes can tell: downloaded once for all of it, and not again while they are the same."""
        questions: dict[Need, tuple[str, Callable[[Path, ArtifactDigest], Any]]] = {}
        if Part.SCAN in needs:
            questions[Part.SCAN] = (f"scan:{version_of('picklescan')}", _scanned)
        signed: dict[SignedBy, Verified | Unreadable | Unusable | None] = {}
        for need in needs:
            if isinstance(need, SignedBy):
                key = self._view.repository.git.file(rules, need.public_key)
                if key is None:
                    signed[need] = Unusable(f"there is no public key {need.public_key} in this repository")
                else:
                    questions[need] = (f"signed:{key.sha}:{need.signature}", partial(_verified, need, key.content))
        if not questions:
            return _LookedInto(None, signed)
        answers = self._answers(version, questions)
        signed |= {need: answers[need] for need in questions if isinstance(need, SignedBy)}
        return _LookedInto(answers.get(Part.SCAN), signed)

    def _answers(
        self, version: ModelVersion, questions: Mapping[Need, tuple[str, Callable[[Path, ArtifactDigest], Any]]]
    ) -> dict[Need, Any]:
        digest = self.digest(version).digest
        found = {need: self._remembered(f"{name}:{digest}") for need, (name, _) in questions.items()}
        if all(found.values()):
            return {need: _load(text) for need, text in found.items() if text is not None}
        with self._gateways.artifacts.downloaded(version) as (directory, files):
            answers = {need: ask(directory, files) for need, (_, ask) in questions.items()}
        self._fresh[version.version] = self._remember(version, files)  # what was looked into is what counts
        for need, (name, _) in questions.items():
            key = hashlib.sha256(f"{name}:{files.digest}".encode()).hexdigest()
            self._gateways.cache.set(f"looked-into:{key}", _dump(answers[need]), _LOOKED_INTO_TTL)
        return answers

    def _remembered(self, name: str) -> bytes | None:
        return self._gateways.cache.get(f"looked-into:{hashlib.sha256(name.encode()).hexdigest()}")

    # --- GitHub -----------------------------------------------------------------------------------------------------

    def _commit(self, need: OnBranch, sha: str | None) -> Commit | Unreadable | Unusable | None:
        if not sha or not _is_commit(sha):
            return None
        try:
            found = self._gateways.github(need.repository).git.on_branch(sha, need.branch)
        except Misconfigured as error:
            return Unreadable(str(error))
        except Refused as refusal:
            return Unusable(str(refusal))
        return Commit(sha, exists=False, on_branch=False) if found is None else Commit(found[0], True, found[1])

    def _tracked(self, need: Tracked, subject: VersionEvidence) -> TrackedOutput | Unreadable | Unusable | None:
        key = (subject.version, need)
        if key not in self._outputs:
            self._outputs[key] = self._ask_dvc(need, subject)
        return self._outputs[key]

    def _ask_dvc(self, need: Tracked, subject: VersionEvidence) -> TrackedOutput | Unreadable | Unusable | None:
        sha = (subject.commit_of(need.of) or "").strip()
        if not _is_commit(sha):
            return None
        version = subject.lineage.get("data_version", "").strip() if need.of is Recorded.DATA else ""
        try:
            return self._gateways.dvc.tracked(self._gateways.github(need.repository).git, need, sha, version)
        except Misconfigured as error:
            return Unreadable(str(error))
        except Refused as refusal:
            return Unusable(str(refusal))

    def _ci(self, need: GithubCheck, commit: str | None, proposal: ProposalHead | None) -> CiResult | Unreadable | None:
        on_proposal = need.on is CheckedCommit.PROPOSAL
        sha = (proposal.sha if proposal else None) if on_proposal else commit
        if not sha or not _is_commit(sha):
            return None
        repository = self._gateways.github(need.repository) if need.repository else self._view.repository
        try:
            return repository.checks.by_others(sha, need.name, need.app or need.user or "")
        except (Misconfigured, Refused) as error:
            return Unreadable(str(error))

    def _live_since(self, environment: str, version: ModelVersion) -> datetime | None:
        """Since when the version is live in another environment without a break."""
        authorised = [j for j in self._view.judgements_of(version.name, environment) if j.ruling is Ruling.AUTHORISED]
        last = authorised[-1] if authorised else None
        if last is None or last.entry is None or last.entry.version != version.version:
            return None
        return last.completed_at if last.completed is Completion.SUCCESS else None


@dataclass(frozen=True, slots=True)
class _LookedInto:
    scan: tuple[UnsafeCode, ...] | Unreadable | Unusable | None
    signed: Mapping[SignedBy, Verified | Unreadable | Unusable | None]


def _asked_at(question: Question) -> datetime:
    registered = question.version.created_at
    return max(registered, question.asked_at or registered)


def _scanned(directory: Path, files: ArtifactDigest) -> tuple[UnsafeCode, ...] | Unusable:
    return scan_directory(directory, files.files)


def _verified(need: SignedBy, key: bytes, directory: Path, _: ArtifactDigest) -> Verified | Unusable | None:
    return model_signatures.verify(directory, need.signature, key)


def _dump(answer: tuple[UnsafeCode, ...] | Verified | Unusable | None) -> bytes:
    match answer:
        case Unusable(reason):
            return json.dumps(["unusable", reason]).encode()
        case Verified(files):
            return json.dumps(["verified", files]).encode()
        case None:
            return json.dumps(["nothing", None]).encode()
        case _:
            return json.dumps(["found", [[code.path, code.what, code.dangerous] for code in answer]]).encode()


def _load(text: bytes) -> tuple[UnsafeCode, ...] | Verified | Unusable | None:
    kind, value = json.loads(text)
    match kind:
        case "unusable":
            return Unusable(value)
        case "verified":
            return Verified(value)
        case "nothing":
            return None
        case _:
            return tuple(UnsafeCode(path, what, dangerous) for path, what, dangerous in value)


def _is_commit(text: str) -> bool:
    return 7 <= len(text) <= 64 and all(character in "0123456789abcdef" for character in text)
