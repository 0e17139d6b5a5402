"""`helm lint` for the chart, with every set of values that it is checked with; no Helm has to be installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import helm_python
import yaml

CHART: Final = Path(__file__).parent / "promotion-bot"
_NO_FINDINGS: Final = {"icon is recommended"}


def findings() -> Iterator[str]:
    """What Helm has to say, and about which values."""
    for path in sorted(CHART.glob("ci/*-values.yaml")):
        report = helm_python.lint(CHART, yaml.safe_load(path.read_text(encoding="utf-8")), strict=True)
        for message in report["messages"]:
            if message["error"] not in _NO_FINDINGS:
                yield f"{path.name}: {message['path']}: {message['error']}"


if __name__ == "__main__":
    found = list(findings())
    sys.stderr.writelines(f"{line}\n" for line in found)
    sys.exit(1 if found else 0)
