"""`scan`: no file runs code of somebody's when the model is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Final

from policies.evidence import Evidence, Need, Part, Unreadable, UnsafeCode, Unusable
from policies.kinds.base import Finding, Kind, unreadable
from policies.verdict import Status

_NEEDS: Final[frozenset[Need]] = frozenset({Part.SCAN})
_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class ScanCheck:
    """Nothing dangerous is in the serialized files; `strict` refuses unknown code too, except what `allow` names."""

    strict: bool
    allow: tuple[str, ...]

    @property
    def needs(self) -> frozenset[Need]:
        """The scan."""
        return _NEEDS

    def judge(self, evidence: Evidence, _now: datetime) -> Finding:
        """What the scan found. `allow` never lets through what is known to be dangerous."""
        required = "no unsafe code" + (", and none that is unknown" if self.strict else "")
        scan = evidence.subject.scan
        if isinstance(scan, Unreadable):
            return unreadable(scan, required)
        if isinstance(scan, Unusable):
            return Finding(Status.FAIL, scan.reason, required, "Save the model in a format that can be scanned.")
        found = [code for code in scan or () if code.dangerous or (self.strict and not self._allows(code))]
        if found:
            shown = "; ".join(f"{code.path}: {code.what}" for code in found[:_SHOWN])
            more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            remedy = "Save the model in a format without code, such as skops, safetensors or ONNX."
            return Finding(Status.FAIL, shown + more, required, remedy)
        return Finding(Status.PASS, "nothing unsafe", required)

    def _allows(self, code: UnsafeCode) -> bool:
        return any(fnmatchcase(code.what, pattern) for pattern in self.allow)


def _read(said: Mapping[str, Any]) -> ScanCheck:
    return ScanCheck(said.get("unknown", "allow") == "fail", tuple(said.get("allow", ())))


KIND = Kind(
    name="scan",
    summary="No serialized file (pickle, joblib, PyTorch, Keras, NumPy) runs unsafe code when it is loaded.",
    schema={
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "unknown": {
                "enum": ["allow", "fail"],
                "default": "allow",
                "description": "What code means that is neither known to be harmless nor to be dangerous.",
            },
            "allow": {
                "type": "array",
                "maxItems": 200,
                "items": {"type": "string", "minLength": 1, "maxLength": 200},
                "description": "globs of unknown code that is trusted, such as sklearn.*",
            },
        },
    },
    read=_read,
)
