"""`data`: what DVC has at the training commit is what the version says it was trained on, and it can still be had."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from policies.evidence import (
    Evidence,
    Need,
    Recorded,
    StoredDirectory,
    Tracked,
    TrackedOutput,
    Unreadable,
    Unusable,
)
from policies.kinds.base import FROM_RUN, Finding, Kind, unreadable
from policies.kinds.lineage import LineageCheck
from policies.verdict import Status

# https://dvc.org/doc/user-guide/project-structure/dvc-files: an MD5, of a directory that of its listing and `.dir`.
_HASH = re.compile(r"md5:[0-9a-f]{32}(\.dir)?", re.ASCII)
_SHORTEST_PREFIX: Final = 7  # characters of a hash that may stand for it
_HASH_TAGS: Final[Mapping[Recorded, str]] = {Recorded.DATA: "data_hash", Recorded.MODEL: "model_hash"}
_RECORDED: Final[Mapping[Recorded, LineageCheck]] = {
    Recorded.DATA: LineageCheck(("git_commit", "data_version", "data_hash")),
    Recorded.MODEL: LineageCheck(("git_commit", "model_hash")),
}
_KEEP: Final = "Commit and push what was trained on (`git push`, `dvc push`), train from there, and register anew."


@dataclass(frozen=True, slots=True)
class DataCheck:
    """The recorded hash, and for data the recorded version, are those of `tracked`, whose remote has the object."""

    tracked: Tracked

    @property
    def needs(self) -> frozenset[Need]:
        """The run, and what DVC tracks at its commit."""
        return FROM_RUN | {self.tracked}

    def judge(self, evidence: Evidence, now: datetime) -> Finding:
        """What is not recorded yet is waited for; what is, must agree in every part."""
        recorded = _RECORDED[self.tracked.of].judge(evidence, now)
        if recorded.status is not Status.PASS:
            return recorded
        tag = _HASH_TAGS[self.tracked.of]
        said = evidence.subject.lineage[tag].strip()
        if not _HASH.fullmatch(said):
            measured = f"{tag} is “{said[:60]}”, which is no hash of DVC's"
            return Finding(Status.FAIL, measured, f"{tag} is md5:<hash>", f"Set {tag} as the .dvc file has it.")
        found = evidence.tracked.get(self.tracked)
        match found:
            case TrackedOutput():
                return self._compared(found, said, evidence.subject.lineage.get("data_version", "").strip())
            case Unusable(reason):
                return Finding(Status.FAIL, reason, self._required, _KEEP)
            case Unreadable():
                return unreadable(found, self._required)
            case None:
                return Finding(Status.PENDING, f"{self.tracked.repository} was not asked yet", self._required)

    @property
    def _required(self) -> str:
        tags = "data_hash and data_version are" if self.tracked.of is Recorded.DATA else "model_hash is"
        where = f"{self.tracked.file} at the training commit in {self.tracked.repository}"
        return f"{tags} as in {where}, and the DVC remote has the object"

    def _compared(self, found: TrackedOutput, said: str, version: str) -> Finding:
        tag, required = _HASH_TAGS[self.tracked.of], self._required
        if said != found.hash:
            measured = f"{tag} is {said}, {found.path} at {found.commit[:12]} is {found.hash}"
            return Finding(Status.FAIL, measured, required, _KEEP)
        if self.tracked.of is Recorded.DATA and not (_stands_for(version, said) or found.hash_at_version == said):
            return self._other_version(found, version)
        push = f"Push it from a machine that has it: `git checkout {found.commit[:12]} && dvc push`."
        match found.stored:
            case Unreadable():
                return unreadable(found.stored, required)
            case False:
                return Finding(Status.FAIL, f"{found.hash} of {found.path} is not in {found.remote}", required, push)
            case StoredDirectory(missing=str(missing)):
                measured = f"{missing} of {found.path} is not in {found.remote}, which has the listing that names it"
                return Finding(Status.FAIL, measured, required, push)
        named = f", called {version[:60]}" if self.tracked.of is Recorded.DATA else ""
        whole = f"{found.path} at {found.commit[:12]} is {found.hash}{named}, and is in {found.remote}"
        return Finding(Status.PASS, f"{whole}{_extent(found.stored)}", required)

    def _other_version(self, found: TrackedOutput, version: str) -> Finding:
        repository, shown = self.tracked.repository, f"data_version is “{version[:60]}”"
        if found.hash_at_version is None:
            measured = (
                f"{shown}, which is no git tag of {repository} with {self.tracked.file}, nor a part of {found.hash}"
            )
        else:
            measured = f"{shown}, at which {found.path} is {found.hash_at_version}, not {found.hash}"
        remedy = f"Set data_version to the git tag of this data in {repository}, and push that tag."
        return Finding(Status.FAIL, measured, self._required, remedy)


def _extent(stored: bool | StoredDirectory) -> str:
    """How much of a directory was looked for; nothing for a file, of which there is only all."""
    if not isinstance(stored, StoredDirectory):
        return ""
    if stored.looked_for < stored.files:
        return f", where the first {stored.looked_for:,} of its {stored.files:,} files were looked for"
    return f" with its {stored.files:,} file{'' if stored.files == 1 else 's'}"


def _stands_for(version: str, recorded: str) -> bool:
    """Whether a data version is the beginning of a hash, or all of it."""
    prefix = version.removeprefix("md5:")
    return len(prefix) >= _SHORTEST_PREFIX and recorded.removeprefix("md5:").startswith(prefix)


def without_repository(
    row: Mapping[str, Any], place: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], dict[str, Any]]]:
    """What each `data` check of a policy's row says that names no repository, with its place."""
    for where, part in _parts(row, place):
        if "data" in part and "repository" not in part["data"]:
            yield (*where, "data"), part["data"]


def named_repositories(row: Mapping[str, Any]) -> frozenset[str]:
    """The training repositories that the `lineage` checks of a policy's row look into."""
    return frozenset(
        part["lineage"]["git"]["repository"] for _, part in _parts(row, ()) if "git" in part.get("lineage", {})
    )


def _parts(
    row: Mapping[str, Any], place: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], Mapping[str, Any]]]:
    """A check as a policy says it, and those that it is made of."""
    yield place, row
    for name in ("all", "any"):
        for position, part in enumerate(row.get(name, ())):
            yield from _parts(part, (*place, name, position))
    if "not" in row:
        yield from _parts(row["not"], (*place, "not"))


def _read(said: Mapping[str, Any]) -> DataCheck:
    of = Recorded(said.get("of", Recorded.DATA))
    return DataCheck(Tracked(said["repository"], said["dvc"], of, said.get("path"), said.get("remote")))


KIND = Kind(
    name="data",
    summary="The recorded data is what DVC tracks at the training commit, and the DVC remote has it.",
    schema={
        "type": "object",
        "additionalProperties": False,
        "required": ["dvc"],
        "properties": {
            "dvc": {
                "type": "string",
                "maxLength": 300,
                "pattern": r"^([^/]+/)*([^/]+\.dvc|dvc\.lock)$",
                "description": "path of a .dvc file or a dvc.lock in the training repository",
            },
            "repository": {
                "type": "string",
                "pattern": "^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$",
                "description": "owner/name of the training code; left out: that of the policy's lineage check with git",
            },
            "path": {
                "type": "string",
                "minLength": 1,
                "maxLength": 300,
                "description": "which output, where the file has several: its path in the repository",
            },
            "of": {
                "enum": ["data", "model"],
                "default": "data",
                "description": "Whose tags must agree: data_hash and data_version, or model_hash.",
            },
            "remote": {
                "type": "string",
                "minLength": 1,
                "maxLength": 100,
                "description": "name of the remote in .dvc/config; left out: the default one",
            },
        },
    },
    read=_read,
)
