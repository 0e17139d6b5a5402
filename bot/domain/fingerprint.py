"""What evidence is bound to: if any part changes, what was validated is no longer what would be promoted."""

from __future__ import annotations

import hashlib
from dataclasses import astuple, dataclass


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The parts that one evaluation of one proposed entry stood on.

    `artifact` is the content digest, `head` the pull request's head commit, `policy` and `pipeline` are git blob ids,
    `champion` is the entry that was live (`v9@sha256:…`, empty for none), `evidence` the hash of all that was read.
    """

    artifact: str
    head: str
    policy: str
    pipeline: str
    champion: str
    evidence: str

    @property
    def value(self) -> str:
        """Sixteen hexadecimal digits that differ when any part does; short enough for a commit status."""
        return hashlib.sha256("\n".join(astuple(self)).encode()).hexdigest()[:16]


def combined(fingerprints: tuple[Fingerprint, ...]) -> str:
    """One value for a pull request that holds several entries."""
    if len(fingerprints) == 1:
        return fingerprints[0].value
    return hashlib.sha256("\n".join(sorted(f.value for f in fingerprints)).encode()).hexdigest()[:16]
