"""`signed`: the model's files carry a valid OpenSSF model signature (https://github.com/sigstore/model-transparency)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from policies.evidence import Evidence, Need, Part, SignedBy, Unreadable, Verified
from policies.kinds.base import Finding, Kind, unreadable
from policies.verdict import Status


@dataclass(frozen=True, slots=True)
class SignedCheck:
    """The files verify against `by`, whose key stands on the deploy repository's default branch."""

    by: SignedBy

    @property
    def needs(self) -> frozenset[Need]:
        """The verified signature, and the files that it covers."""
        return frozenset({self.by, Part.FILES})

    def judge(self, evidence: Evidence, _now: datetime) -> Finding:
        """Whether the signature is there, by that key, and covers the files as they are."""
        required = f"a signature by {self.by.public_key} over every file"
        found = evidence.signed.get(self.by)
        remedy = f"Sign the files, as in `model_signing sign key … --signature {self.by.signature}`, and register them."
        match found:
            case Verified(files):
                return Finding(Status.PASS, f"{self.by.signature} is valid for {files} files", required)
            case Unreadable():
                return unreadable(found, required)
            case None:
                return Finding(Status.FAIL, f"there is no {self.by.signature} among the files", required, remedy)
            case _:
                return Finding(Status.FAIL, found.reason, required, remedy)


def _read(said: Mapping[str, Any]) -> SignedCheck:
    return SignedCheck(SignedBy(said["public_key"], said.get("signature", "model.sig")))


KIND = Kind(
    name="signed",
    summary="The model's files are signed (OpenSSF model signing) with a key that this repository trusts.",
    schema={
        "type": "object",
        "additionalProperties": False,
        "required": ["public_key"],
        "properties": {
            "public_key": {
                "type": "string",
                "minLength": 1,
                "maxLength": 300,
                "pattern": "^[^/]",
                "description": "path of the public key (PEM) in this repository",
            },
            "signature": {
                "type": "string",
                "minLength": 1,
                "maxLength": 300,
                "pattern": "^[^/]",
                "default": "model.sig",
                "description": "path of the signature among the version's files",
            },
        },
    },
    read=_read,
)
