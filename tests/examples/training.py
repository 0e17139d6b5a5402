"""A copy of the example's training repository in which tests run its programs as people do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

EXAMPLE = Path(__file__).parents[2] / "examples" / "breast-cancer"
BIN = Path(sys.executable).parent
GIT_USER = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_AUTHOR_NAME": "Dana",
    "GIT_AUTHOR_EMAIL": "dana@example.com",
    "GIT_COMMITTER_NAME": "Dana",
    "GIT_COMMITTER_EMAIL": "dana@example.com",
}
LIMIT = 800.0  # seconds for one command
QUICK = {
    "random_forest": {"n_estimators": 5, "max_depth": 4},
    "logistic_regression": {"C": 0.1, "max_iter": 200},
    "gradient_boosting": {"n_estimators": 5, "max_depth": 2},
}


def environment(tracking_uri: str = "") -> dict[str, str]:
    """What a shell of the team has: this Python first, nothing of the person's own settings, no calls home."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MLFLOW_", "GIT_", "GITHUB_", "DVC_", "PROMOTION_"))
    }
    tracking = {"MLFLOW_TRACKING_URI": tracking_uri} if tracking_uri else {}
    quiet = {
        "DVC_NO_ANALYTICS": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }
    return {**inherited, **GIT_USER, **quiet, **tracking, "PATH": f"{BIN}:{os.environ['PATH']}"}


def git(folder: Path, *arguments: str) -> str:
    """What git answers in a folder."""
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, env=environment(), check=True, capture_output=True, text=True).stdout.strip()


@dataclass(frozen=True)
class Training:
    """One copy of the training repository."""

    folder: Path
    tracking_uri: str

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it, whatever comes of it."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**environment(self.tracking_uri), **variables},
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )

    def ok(self, *command: str, **variables: str) -> str:
        """What a command prints that must succeed."""
        done = self.run(*command, **variables)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def git(self, *arguments: str) -> str:
        return git(self.folder, *arguments)

    def commit(self, message: str) -> str:
        """Commit everything; the commit."""
        self.git("add", ".")
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD")

    def run_id(self) -> str:
        """The run that was trained last."""
        return (self.folder / "models/run_id.txt").read_text().strip()


def copied(folder: Path, tracking_uri: str) -> Training:
    """A copy with parameters that take no time to train with."""
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    params = yaml.safe_load((folder / "params.yaml").read_text())
    (folder / "params.yaml").write_text(yaml.safe_dump({**params, "models": QUICK}, sort_keys=False))
    return Training(folder, tracking_uri)
