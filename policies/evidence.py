"""The evidence that checks judge: plain values that the gateways read once and hand over.

Nothing here fetches. A policy's checks say what they need; just that is read. What could not be read is `Unreadable`,
which a check answers with an *error*; what is not there yet is None, which it answers with *pending*; what is there but
of no use is `Unusable`, which it answers with a *fail*.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, Final

# --- what a check can need ------------------------------------------------------------------------------------------


class Part(StrEnum):
    """A part of a version's evidence that costs a request or a read.

    `RUN`: the run with its params and tags, and the metrics of the run and the logged model. `MODEL_FILE`: what the
    MLmodel file says: signature and flavors. `FILES`: digest, listing and size of the artifact's files.
    `REQUIREMENTS`: the text of requirements.txt. `SCAN`: unsafe code in serialized files.
    """

    RUN = "run"
    MODEL_FILE = "model file"
    FILES = "files"
    REQUIREMENTS = "requirements"
    SCAN = "scan"


@dataclass(frozen=True, slots=True)
class Column:
    """Per-example results: one numeric column of a table that a run logged as an artifact."""

    table: str
    column: str


@dataclass(frozen=True, slots=True)
class SignedBy:
    """Whether the files carry a valid signature by the key at `public_key` in the deploy repository.

    `signature` is the signature's path among the version's files.
    """

    public_key: str
    signature: str


@dataclass(frozen=True, slots=True)
class OnBranch:
    """Whether the training commit that the lineage names is in a repository, and on a branch of it."""

    repository: str
    branch: str


class CheckedCommit(StrEnum):
    """The commit that a team's own CI runs on: the proposal's head, or the training commit."""

    PROPOSAL = "proposal"
    GIT_COMMIT = "git_commit"


@dataclass(frozen=True, slots=True)
class GithubCheck:
    """The newest check run or status called `name`, by the App `app` or the user `user`, on a commit.

    `repository` is where the training commit is, None for the deploy repository.
    """

    name: str
    app: str | None
    user: str | None
    on: CheckedCommit = CheckedCommit.PROPOSAL
    repository: str | None = None


@dataclass(frozen=True, slots=True)
class LiveIn:
    """Since when the version is live in another environment."""

    environment: str


class Recorded(StrEnum):
    """What of a version is tracked with DVC, and so which of its tags say its hash."""

    DATA = "data"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class Tracked:
    """What DVC tracks, as the training repository has it at the training commit that the lineage names.

    `file` is a `.dvc` file or a `dvc.lock` of `repository`; `output` is which of the file's outputs, None where it has
    one only. `remote` is the name of one of DVC's remotes, None for the repository's default.
    """

    repository: str
    file: str
    of: Recorded = Recorded.DATA
    output: str | None = None
    remote: str | None = None


Need = Part | Column | SignedBy | OnBranch | GithubCheck | LiveIn | Tracked

# --- what is found --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Evidence whose store did not answer; `reason` names the store and what it said."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """Evidence that is there and cannot serve; `reason` says why, for the people who wrote it."""

    reason: str


class RunStatus(StrEnum):
    """MLflow's `RunStatus` (https://mlflow.org/docs/latest/api_reference/python_api/mlflow.entities.html)."""

    RUNNING = "RUNNING"
    SCHEDULED = "SCHEDULED"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


@dataclass(frozen=True, slots=True)
class Metric:
    """The latest value of one metric; `dataset` is set where it was logged for a named data set."""

    name: str
    value: float
    dataset: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """The training run of a version: what was logged on it. `user` is MLflow's `mlflow.user`, free text."""

    run_id: str
    status: RunStatus
    user: str
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class File:
    """One file of a version's artifact: its path below the artifact's root, its size in bytes."""

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class UnsafeCode:
    """A file that would run code when it is loaded: `what` names the code, `dangerous` whether it is known to harm.

    What is not dangerous is unknown: code of libraries that nobody has judged.
    """

    path: str
    what: str
    dangerous: bool


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit as a repository knows it: whether it is there, and whether the branch holds it."""

    sha: str
    exists: bool
    on_branch: bool


class CiState(StrEnum):
    """How a team's own check stands."""

    SUCCESS = "success"
    FAILURE = "failure"
    RUNNING = "running"


@dataclass(frozen=True, slots=True)
class CiResult:
    """A team's own check on a commit, with the address of its page."""

    state: CiState
    url: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class StoredDirectory:
    """A directory whose listing the remote has: how many files that names, the first how many were looked for.

    `missing` is the path, in the directory, of the first of those that the remote does not have; None where it has all.
    """

    files: int
    looked_for: int
    missing: str | None = None


@dataclass(frozen=True, slots=True)
class TrackedOutput:
    """One output that DVC tracks at a training commit.

    `hash` is `md5:<hex>`, with `.dir` at the end for a directory. `hash_at_version` is its hash at the git tag that
    `data_version` names, None where no tag is called so or the file is not there. `remote` says where DVC keeps it,
    `stored` whether it is there, and for a directory whose listing is, what it lists.
    """

    commit: str
    path: str
    hash: str
    hash_at_version: str | None
    remote: str
    stored: bool | StoredDirectory | Unreadable


@dataclass(frozen=True, slots=True)
class Verified:
    """A valid signature, and how many of the version's files it covers: all of them, or it would not be valid."""

    files: int


Vector = tuple[float, ...]

# MLflow records the commit of the training code by itself where it runs inside a git work tree.
STAND_INS: Final[Mapping[str, str]] = {"git_commit": "mlflow.source.git.commit"}


@dataclass(frozen=True)
class VersionEvidence:
    """What is known of one model version.

    `metrics` holds the run's and the logged model's; where both have one of a name and data set, the logged model's.
    `tags` are the version's own, without those that the bot writes, so that its writing never changes the evidence.
    `run` is None for a version that was registered without one. `signature` is the `signature` mapping of the MLmodel
    file, None where the model has none or no check asked for it, `flavors` the names of its flavors. `digest` is the
    content digest of the manifest's format, `size` in bytes. `scan` is None where nothing was scanned. Of `columns`
    only those are there that a check asked for. `user` is who registered the version, in MLflow's words.
    """

    name: str
    version: int
    created_at: datetime
    run: Run | Unreadable | None = None
    metrics: tuple[Metric, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    model_tags: Mapping[str, str] = field(default_factory=dict)
    signature: Mapping[str, Any] | None = None
    digest: str | Unreadable = ""
    size: int = 0
    user: str = ""
    files: tuple[File, ...] = ()
    flavors: tuple[str, ...] = ()
    requirements: str | None = None
    scan: tuple[UnsafeCode, ...] | Unreadable | Unusable | None = None
    columns: Mapping[Column, Vector | Unreadable | Unusable | None] = field(default_factory=dict)

    @cached_property
    def metrics_by_name(self) -> Mapping[str, tuple[Metric, ...]]:
        """The metrics of each name, one for each data set; made once, since every check looks here."""
        found: dict[str, list[Metric]] = {}
        for metric in self.metrics:
            found.setdefault(metric.name, []).append(metric)
        return {name: tuple(metrics) for name, metrics in found.items()}

    @property
    def commit(self) -> str | None:
        """The commit of the training code that the lineage names."""
        lineage = self.lineage
        return lineage.get("git_commit", lineage.get(STAND_INS["git_commit"]))

    def commit_of(self, what: Recorded) -> str | None:
        """The commit at which DVC's files name the data, or the model.

        A training writes its model before the commit that names it: `model_commit` says which, where it is another.
        """
        return self.lineage.get("model_commit", self.commit) if what is Recorded.MODEL else self.commit

    @property
    def trainer(self) -> str:
        """Who made the version, in MLflow's words: who registered it, or where MLflow does not say, who ran the run."""
        return self.user or (self.run.user if isinstance(self.run, Run) else "")

    @property
    def lineage(self) -> Mapping[str, str]:
        """Version tags over run tags: a tag set at registration is the more deliberate one."""
        run_tags = self.run.tags if isinstance(self.run, Run) else {}
        return {**run_tags, **self.tags}


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a policy judges a version on, for one environment.

    `champion` is what is live in the environment, None for a first version. `asked_at` is when the version was
    registered or asked for, whichever is later: evidence that is missing times out counted from then. `proposed_at` is
    when its pull request was opened, None while it has none: until then a team's CI has nothing to run on. The
    mappings hold an answer for each need of the policy's checks.
    """

    environment: str
    subject: VersionEvidence
    champion: VersionEvidence | None
    asked_at: datetime
    proposed_at: datetime | None = field(default=None, compare=False)
    signed: Mapping[SignedBy, Verified | Unreadable | Unusable | None] = field(default_factory=dict)
    commits: Mapping[OnBranch, Commit | Unreadable | Unusable | None] = field(default_factory=dict)
    ci: Mapping[GithubCheck, CiResult | Unreadable | None] = field(default_factory=dict)
    tracked: Mapping[Tracked, TrackedOutput | Unreadable | Unusable | None] = field(default_factory=dict)
    live_since: Mapping[str, datetime] = field(default_factory=dict)

    def digest(self) -> str:
        """A hash of everything that was read, equal exactly if nothing that a check can see has changed."""
        text = json.dumps(_canonical(self), ensure_ascii=False)
        return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _canonical(value: Any) -> Any:  # noqa: ANN401 - any part of evidence
    """The value in JSON's types; equal for equal values, whatever the order of a mapping's keys."""
    if is_dataclass(value):
        return [
            type(value).__name__,
            *(_canonical(getattr(value, each.name)) for each in fields(value) if each.compare),
        ]
    if isinstance(value, Mapping):
        return sorted(([_canonical(key), _canonical(item)] for key, item in value.items()), key=repr)
    if isinstance(value, tuple | list):
        return [_canonical(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return value
