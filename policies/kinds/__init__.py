"""The kinds of check: one file each, listed once, here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from policies.kinds import compare, lineage, metric, run
from policies.kinds.base import Kind

KINDS: Final[Mapping[str, Kind]] = {kind.name: kind for kind in (metric.KIND, compare.KIND, lineage.KIND, run.KIND)}
