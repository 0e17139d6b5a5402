"""Print the number and the name of the one version that a manifest puts where the manifest before it did not.

    python proposed.py BEFORE AFTER

It does not ask what the commit says of itself: anybody can write that.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import yaml


class Entry(NamedTuple):
    """One version that should be live in an environment."""

    model: str
    environment: str
    version: int
    digest: str


def main() -> None:
    before, after = (entries(Path(name)) for name in sys.argv[1:])
    proposed = sorted({(each.model, each.version) for each in after - before})
    if len(proposed) != 1:
        named = ", ".join(f"{model} v{version}" for model, version in proposed) or "none"
        raise SystemExit(f"One version is tried at a time; versions.yaml proposes: {named}")
    ((model, version),) = proposed
    print(version, model, sep="\n")


def entries(manifest: Path) -> set[Entry]:
    models = yaml.safe_load(manifest.read_text())["models"] or {}
    return {
        Entry(model, environment, entry["version"], entry["digest"])
        for model, environments in models.items()
        for environment, entry in environments.items()
    }


if __name__ == "__main__":
    main()
