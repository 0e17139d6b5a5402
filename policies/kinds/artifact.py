"""`artifact`: the version's files are what they should be: size, names, flavors, pinned requirements."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from packaging.requirements import InvalidRequirement, Requirement
from wcmatch import glob

from policies.evidence import Evidence, Need, Part, VersionEvidence
from policies.kinds.base import Complaint, Finding, Kind
from policies.verdict import Status

_GLOB: Final = glob.GLOBSTAR | glob.DOTGLOB | glob.FORCEUNIX
_UNITS: Final = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_SIZE: Final = re.compile(r"([0-9]{1,15})(B|KB|MB|GB|KiB|MiB|GiB)")
_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class ArtifactCheck:
    """At most `max_size` bytes, a file for each of `require`, none for `forbid`, only `flavors`, every pin exact."""

    max_size: int | None = None
    said_size: str = ""
    require: tuple[str, ...] = ()
    forbid: tuple[str, ...] = ()
    flavors: tuple[str, ...] = ()
    pinned: bool = False

    @property
    def needs(self) -> frozenset[Need]:
        """The listing; the MLmodel file and the requirements where they are looked into."""
        asked = {Part.FILES: True, Part.MODEL_FILE: bool(self.flavors), Part.REQUIREMENTS: self.pinned}
        return frozenset(part for part, wanted in asked.items() if wanted)

    def judge(self, evidence: Evidence, _now: datetime) -> Finding:
        """Everything that is wrong with the files at once."""
        version = evidence.subject
        wrong = [*self._of_size(version), *self._of_names(version), *self._of_flavors(version)]
        if self.pinned:
            wrong += _of_pins(version)
        if wrong:
            more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
            remedy = "Log the model again without what is named here, and register it as a new version."
            return Finding(Status.FAIL, "; ".join(wrong[:_SHOWN]) + more, self._required(), remedy)
        measured = f"{len(version.files)} files, {_readable(version.size)}"
        return Finding(Status.PASS, measured, self._required())

    def _of_size(self, version: VersionEvidence) -> Iterator[str]:
        if self.max_size is not None and version.size > self.max_size:
            yield f"{_readable(version.size)} in {len(version.files)} files"

    def _of_names(self, version: VersionEvidence) -> Iterator[str]:
        for pattern in self.require:
            if not any(glob.globmatch(file.path, pattern, flags=_GLOB) for file in version.files):
                yield f"there is no {pattern}"
        for file in version.files:
            if self.forbid and glob.globmatch(file.path, self.forbid, flags=_GLOB):
                yield f"{file.path} is forbidden"

    def _of_flavors(self, version: VersionEvidence) -> Iterator[str]:
        if self.flavors:
            for flavor in version.flavors:
                if flavor not in self.flavors:
                    yield f"the flavor {flavor} is not allowed"
            if not version.flavors:
                yield "the MLmodel file names no flavor"

    def _required(self) -> str:
        parts = (
            f"at most {self.said_size}" if self.max_size is not None else "",
            f"with {', '.join(self.require)}" if self.require else "",
            f"without {', '.join(self.forbid)}" if self.forbid else "",
            f"flavors {', '.join(self.flavors)} only" if self.flavors else "",
            "every requirement pinned to one version" if self.pinned else "",
        )
        return "; ".join(part for part in parts if part)


def _of_pins(version: VersionEvidence) -> Iterator[str]:
    """The requirements that do not name one exact version (https://packaging.python.org/en/latest/specifications)."""
    if version.requirements is None:
        yield "there is no requirements.txt"
        return
    for line in version.requirements.replace("\\\r\n", " ").replace("\\\n", " ").splitlines():
        text = re.split(r"(?:^|\s)#|\s--hash", line, maxsplit=1)[0].strip()
        if not text or text.startswith("--"):
            continue
        if text.startswith("-"):
            yield f"“{text[:80]}” cannot be seen through"
        elif not _is_pinned(text):
            yield f"“{text[:80]}” is not pinned"


def _is_pinned(text: str) -> bool:
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return False
    if requirement.url:
        return "#sha256=" in requirement.url
    return any(
        each.operator == "===" or (each.operator == "==" and not each.version.endswith(".*"))
        for each in requirement.specifier
    )


def parse_size(said: str) -> int:
    """The bytes that a size such as `500MB` or `2GiB` says; raises ValueError for every other form."""
    found = _SIZE.fullmatch(said)
    if found is None:
        raise ValueError(f"“{said}” is not a size such as 500MB")
    return int(found[1]) * _UNITS[found[2]]


def _readable(size: int) -> str:
    for unit in ("GB", "MB", "KB"):
        if size >= _UNITS[unit]:
            return f"{size / _UNITS[unit]:.4g} {unit}"
    return f"{size} B"


def _read(said: Mapping[str, Any]) -> ArtifactCheck:
    return ArtifactCheck(
        parse_size(said["max_size"]) if "max_size" in said else None,
        said.get("max_size", ""),
        tuple(said.get("require", ())),
        tuple(said.get("forbid", ())),
        tuple(said.get("flavors", ())),
        pinned=said.get("pinned", False),
    )


def _complaints(said: Mapping[str, Any]) -> Iterator[Complaint]:
    if not any(said.get(name) for name in ("max_size", "require", "forbid", "flavors", "pinned")):
        yield (), "asks for nothing: name max_size, require, forbid, flavors or pinned"


def _globs(description: str) -> Mapping[str, Any]:
    item = {"type": "string", "minLength": 1, "maxLength": 200}
    return {"type": "array", "minItems": 1, "maxItems": 100, "items": item, "description": description}


KIND = Kind(
    name="artifact",
    summary="The version's files: size, names, flavors, pinned requirements.",
    schema={
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "max_size": {
                "type": "string",
                "pattern": f"^{_SIZE.pattern}$",
                "description": "a size such as 500MB or 2GiB: all files together",
            },
            "require": _globs("globs, such as MLmodel or **/*.onnx: there is a file for each"),
            "forbid": _globs("globs, such as **/*.exe: there is no such file"),
            "flavors": _globs("the flavors that the MLmodel file may name, such as sklearn and python_function"),
            "pinned": {
                "type": "boolean",
                "default": False,
                "description": "Whether requirements.txt must be there and name one exact version of everything.",
            },
        },
    },
    read=_read,
    complaints=_complaints,
)
