"""What the product is built from: every package by its hash, a bill of it, and workflows that nobody slips into."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml")) + sorted(ROOT.glob("examples/**/.github/workflows/*.yml"))
BIN = Path(sys.executable).parent


def locked(name: str) -> dict[str, str]:
    """Each package of a lock file with what follows its name: version and hashes."""
    text = (ROOT / "requirements" / name).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return {line.partition("==")[0].strip(): line for line in lines}


@pytest.mark.parametrize("name", ["runtime.txt", "dev.txt"])
def test_every_package_is_locked_to_a_version_and_hashes(name: str) -> None:
    packages = locked(name)
    assert len(packages) > 50
    for line in packages.values():
        assert re.match(r"[a-z0-9.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line), line


def test_only_what_is_locked_gets_into_the_image() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    installs = re.findall(r"pip .*?(install|wheel) ([^\\\n]*[^\\\s])", dockerfile)
    assert installs == [
        ("install", "--no-deps --require-hashes -r requirements/build.txt"),
        ("install", "--no-deps --require-hashes -r requirements/runtime.txt"),
        ("wheel", "--no-deps --no-build-isolation --wheel-dir /wheels ."),
        ("install", "--no-deps /wheels/*.whl"),
    ]
    assert locked("build.txt").keys() == {"setuptools"}
    assert locked("build.txt")["setuptools"] == locked("dev.txt")["setuptools"]


def test_the_bill_of_materials_names_every_locked_package(tmp_path: Path) -> None:
    bill = tmp_path / "sbom.json"
    command = ["requirements", "requirements/runtime.txt", "--pyproject", "pyproject.toml", "--of", "JSON", "-o", bill]
    subprocess.run([BIN / "cyclonedx-py", *command], cwd=ROOT, check=True, capture_output=True, timeout=300)
    said = json.loads(bill.read_text())
    assert said["bomFormat"] == "CycloneDX"
    assert said["metadata"]["component"]["name"] == "promotion-bot"
    assert {component["name"] for component in said["components"]} == set(locked("runtime.txt"))
    assert all(component["externalReferences"][0]["hashes"] for component in said["components"])


def test_each_build_keeps_its_bill_of_materials() -> None:
    steps = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]["check"]["steps"]
    made = next(number for number, step in enumerate(steps) if step.get("run") == "make sbom")
    kept = steps[made + 1]
    assert kept["uses"].startswith("actions/upload-artifact@")
    assert kept["with"]["path"] == "build/sbom.json"
    assert "--output-file build/sbom.json" in (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: str(path.relative_to(ROOT)))
def test_workflows_name_actions_by_their_commit_and_have_no_findings(workflow: Path) -> None:
    used = re.findall(r"\buses:\s*(\S+)", workflow.read_text())
    assert used
    assert all(re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", action) for action in used)
    found = subprocess.run(
        [BIN / "zizmor", "--offline", "--quiet", workflow], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert found.returncode == 0, found.stdout
