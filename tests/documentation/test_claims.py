"""What the documentation says of tests holds: each that it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "security.md").read_text())
THREATS = (
    "A forged webhook",
    "A replay",
    "A malicious model artifact",
    "A hostile training repository",
    "A hostile pull request",
    "A compromised data scientist",
    "A stolen Redis",
    "A curious contributor",
)


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[name for _, name in NAMED])
def test_a_test_that_shows_what_is_claimed_is_there(path: str, name: str) -> None:
    tree = ast.parse((ROOT / path).read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("threat", THREATS)
def test_every_threat_is_answered_by_tests(threat: str) -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    section = text.partition(f"### {threat}\n")[2].partition("\n##")[0]
    claims = section.split("\n- ")[1:]
    assert claims
    assert all("::test_" in claim for claim in claims), "what is claimed without a test"
