"""Two versions of a model side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Generic, TypeVar

from policies.evidence import Metric, Run, VersionEvidence
from policies.signatures import compare_signatures

T = TypeVar("T")
_DATA_TAGS: Final = "data_"


@dataclass(frozen=True, slots=True)
class Row(Generic[T]):
    """One metric or param of both; None where one does not have it."""

    name: str
    before: T | None
    after: T | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two versions have; `signature` are the differences for those who call the model, in words.

    `data` is what their lineage says of the data they learned from; `size` is there where the files were listed.
    `has_signature` where one of them has a signature, in which there may be no difference.
    """

    model: str
    before: int
    after: int
    metrics: tuple[Row[float], ...]
    params: tuple[Row[str], ...]
    signature: tuple[str, ...]
    has_signature: bool
    data: tuple[Row[str], ...] = ()
    size: tuple[Row[int], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        return asdict(self)


def compare(before: VersionEvidence, after: VersionEvidence) -> Comparison:
    """The comparison of two versions whose run and model file were read."""
    return Comparison(
        model=after.name,
        before=before.version,
        after=after.version,
        metrics=_rows(_metrics(before.metrics), _metrics(after.metrics)),
        params=_rows(_params(before), _params(after)),
        signature=compare_signatures(before.signature, after.signature).differences,
        has_signature=bool(before.signature or after.signature),
        data=_rows(_data(before), _data(after)),
    )


def _rows(before: Mapping[str, T], after: Mapping[str, T]) -> tuple[Row[T], ...]:
    return tuple(Row(name, before.get(name), after.get(name)) for name in sorted(before.keys() | after.keys()))


def _metrics(metrics: tuple[Metric, ...]) -> dict[str, float]:
    return {m.name if m.dataset is None else f"{m.name} on {m.dataset}": m.value for m in metrics}


def _data(version: VersionEvidence) -> Mapping[str, str]:
    return {key: value for key, value in sorted(version.lineage.items()) if key.startswith(_DATA_TAGS)}


def _params(version: VersionEvidence) -> Mapping[str, str]:
    return version.run.params if isinstance(version.run, Run) else {}
