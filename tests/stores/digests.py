"""What coreutils say of a directory."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path


def sha256sum(root: Path) -> str:
    """The manifest's digest as coreutils make it."""
    paths = sorted((str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()), key=os.fsencode)
    lines = subprocess.run(["sha256sum", "--", *paths], cwd=root, capture_output=True, check=True).stdout
    return "sha256:" + hashlib.sha256(lines).hexdigest()
