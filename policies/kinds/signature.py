"""`signature`: the model says what it takes and gives, and breaks nobody who calls it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from policies.evidence import Evidence, Need, Part
from policies.kinds.base import Finding, IfAbsent, Kind
from policies.signatures import compare_signatures
from policies.verdict import Status

_NEEDS: Final[frozenset[Need]] = frozenset({Part.MODEL_FILE})


@dataclass(frozen=True, slots=True)
class SignatureCheck:
    """The model has a signature, and where `compatible` one that no caller of the champion's breaks on."""

    compatible: bool
    if_absent: IfAbsent

    @property
    def needs(self) -> frozenset[Need]:
        """The MLmodel file."""
        return _NEEDS

    def judge(self, evidence: Evidence, _now: datetime) -> Finding:
        """Every difference to the champion's signature, and whether one of them breaks callers."""
        required = "a signature that breaks no caller of the live version" if self.compatible else "a signature"
        if not evidence.subject.signature:
            remedy = "Log the model with `signature=infer_signature(inputs, outputs)`."
            return Finding(Status.FAIL, "the model has no signature", required, remedy)
        if not self.compatible:
            return Finding(Status.PASS, "the model has a signature", required)
        champion = evidence.champion
        if champion is None or not champion.signature:
            why = f"v{champion.version}, which is live, has no signature" if champion else "nothing is live"
            passes = self.if_absent is IfAbsent.PASS
            remedy = "" if passes else "Promote a first version by hand, or set `if_absent: pass`."
            return Finding(Status.PASS if passes else Status.FAIL, f"{why} to compare with", required, remedy)
        found = compare_signatures(champion.signature, evidence.subject.signature)
        if found.breaking:
            measured = "; ".join(found.breaking)
            remedy = "Keep what callers send and read, or agree on the break and override this check."
            return Finding(Status.FAIL, measured, f"{required} (v{champion.version})", remedy)
        measured = "; ".join(found.differences) or "the same signature"
        return Finding(Status.PASS, measured, f"{required} (v{champion.version})")


def _read(said: Mapping[str, Any]) -> SignatureCheck:
    return SignatureCheck("compatible_with" in said, IfAbsent(said.get("if_absent", "pass")))


KIND = Kind(
    name="signature",
    summary="The model has a signature, and callers of the live version survive it.",
    schema={
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "compatible_with": {"enum": ["champion"], "description": "Whose callers must survive: the live version's."},
            "if_absent": {
                "enum": ["pass", "fail"],
                "default": "pass",
                "description": "What it means that nothing is live, or that what is live has no signature.",
            },
        },
    },
    read=_read,
)
