"""The libraries that come with the package are the ones that the documentation names."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
VENDOR = ROOT / "bot" / "web" / "static" / "vendor"


def test_each_library_is_the_file_that_is_documented() -> None:
    rows = re.findall(
        r"`([\w.]+\.(?:js|css))` \| [\d.]+ \| \w+ \| `([0-9a-f]{64})`", (ROOT / "docs" / "board.md").read_text()
    )
    files = {
        p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in VENDOR.iterdir() if p.suffix in (".js", ".css")
    }
    assert dict(rows) == files


def test_each_library_has_its_licence_beside_it() -> None:
    assert "Permission to use, copy" in (VENDOR / "htmx.LICENSE.txt").read_text()
    assert "The MIT License" in (VENDOR / "uPlot.LICENSE.txt").read_text()
