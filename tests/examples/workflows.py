"""The steps of a GitHub Actions workflow, run here: what `run:` says, with the environment that the step has there.

Steps that use an action or install packages are left out: what they bring is here already.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
_LIMIT = 800.0  # seconds for one step
_SHELLS = {"bash": ["bash", "--noprofile", "--norc", "-eo", "pipefail"], "": ["bash", "-e"]}


@dataclass
class Ran:
    """What came of a job: the step that failed, what each printed, and the summary that GitHub would show."""

    failed: str = ""
    said: dict[str, str] = field(default_factory=dict)
    summary: str = ""


def run_job(
    workflow: Path, folder: Path, environment: Mapping[str, str], contexts: Mapping[str, str], scratch: Path
) -> Ran:
    """Run the only job of a workflow in a folder; `contexts` are the values of expressions, such as `inputs.model`."""
    document = yaml.safe_load(workflow.read_text())
    (job,) = document["jobs"].values()
    shell = document.get("defaults", {}).get("run", {}).get("shell", "")
    known, ran = dict(contexts), Ran()
    output, summary = scratch / "output", scratch / "summary"
    for step in job["steps"]:
        name = step.get("name", step.get("run", ""))
        if "run" not in step or step["run"].startswith("pip install") or (ran.failed and step.get("if") != "always()"):
            continue
        assert "${{" not in step["run"], f"{name}: an expression in a script is an injection"
        output.write_text("")
        summary.touch()
        variables = {**job.get("env", {}), **step.get("env", {})}
        done = subprocess.run(
            [*_SHELLS[step.get("shell", shell)], "-c", step["run"]],
            cwd=folder,
            env={
                **environment,
                **{key: _filled(value, known) for key, value in variables.items()},
                "GITHUB_OUTPUT": str(output),
                "GITHUB_STEP_SUMMARY": str(summary),
                "RUNNER_TEMP": str(scratch),
            },
            capture_output=True,
            text=True,
            timeout=_LIMIT,
        )
        ran.said[name] = done.stdout + done.stderr
        for line in output.read_text().splitlines():
            key, _, value = line.partition("=")
            known[f"steps.{step['id']}.outputs.{key}"] = value
        if done.returncode and not ran.failed:
            ran.failed = name
    ran.summary = summary.read_text()
    return ran


def _filled(value: Any, known: Mapping[str, str]) -> str:
    return _EXPRESSION.sub(lambda found: _value(found[1], known), str(value))


def _value(expression: str, known: Mapping[str, str]) -> str:
    """The first that is not empty of `a || b || 'text'`; what nobody set is empty, as on GitHub."""
    for part in expression.split(" || "):
        if part.startswith("'"):
            return part.strip("'")
        assert part in known or part.startswith(("secrets.", "vars.", "inputs.")), f"no value for {part}"
        if known.get(part):
            return known[part]
    return ""
