"""The kinds of check: one file each, listed once, here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from policies.kinds import (
    age,
    artifact,
    compare,
    data,
    expression,
    github_check,
    lineage,
    metric,
    param,
    run,
    scan,
    signature,
    signed,
    soak,
    tag,
)
from policies.kinds.base import Kind
from policies.kinds.compose import compositions

_SIMPLE: Final = {
    kind.name: kind
    for kind in (
        metric.KIND,
        compare.KIND,
        tag.KIND,
        param.KIND,
        lineage.KIND,
        data.KIND,
        signature.KIND,
        artifact.KIND,
        scan.KIND,
        signed.KIND,
        github_check.KIND,
        run.KIND,
        age.KIND,
        soak.KIND,
        expression.KIND,
    )
}

KINDS: Final[Mapping[str, Kind]] = _SIMPLE
_SIMPLE.update({kind.name: kind for kind in compositions(_SIMPLE)})
