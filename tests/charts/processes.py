"""What a container of the chart starts, started here: its arguments and variables, with no more rights than there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from tests.charts.rendering import ROOT

PEM = "-----BEGIN RSA PRIVATE KEY-----\nnot a real one\n-----END RSA PRIVATE KEY-----"
SECRETS = {
    "MLFLOW_WEBHOOK_SECRET": "mlflow-new",
    "GITHUB_WEBHOOK_SECRET": "github-new",
    "GITHUB_TOKEN": "github_pat_of_nobody",
    "PROMOTION_BOARD_TOKEN": "t" * 20,
    "VALKEY_PASSWORD": "a1b2c3",
    "REDIS_URL": "redis://127.0.0.1:9/0",
    "PROMOTION_NOTIFY_SLACK_URL": "https://hooks.slack.example.com/services/of/nobody",
    "PROMOTION_NOTIFY_WEBHOOK_URL": "https://receiver.example.com/promotions",
    "PROMOTION_NOTIFY_WEBHOOK_SECRET": "notifications-new",
}
_CONTAINED = ("unshare", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child")
_READ_ONLY = 'mount -o remount,bind,ro / && mount -t tmpfs tmpfs "$TMPDIR" && exec "$@"'


def environment(container: Mapping[str, Any], directory: Path, **instead: str) -> dict[str, str]:
    """A container's variables as the cluster would fill them in; files of Secrets are below `directory`."""
    found: dict[str, str] = {}
    for each in container["env"]:
        value = SECRETS[each["valueFrom"]["secretKeyRef"]["key"]] if "valueFrom" in each else each["value"]
        found[each["name"]] = re.sub(r"\$\((\w+)\)", lambda name: found[name[1]], value)
    if "GITHUB_APP_PRIVATE_KEY_FILE" in found:
        key = directory / "GITHUB_APP_PRIVATE_KEY"
        key.write_text(PEM)
        found["GITHUB_APP_PRIVATE_KEY_FILE"] = str(key)
    return {**found, **instead}


def start(arguments: list[str], environ: Mapping[str, str], directory: Path) -> subprocess.Popen[bytes]:
    """The image's entry point as process 1 on a read-only file system, without any capability, with a /tmp of its own.

    Where nobody may arrange that, only the home cannot be written.
    """
    home, tmp = directory / "home", directory / "tmp"
    home.mkdir(mode=0o500)
    tmp.mkdir()
    command = [str(Path(sys.executable).parent / "promotion-bot"), *arguments]
    if _may_mount():
        dropped = ["setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", *command]
        command = [*_CONTAINED, "sh", "-ec", _READ_ONLY, "sh", *dropped]
    return subprocess.Popen(
        command,
        cwd=home,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(home), "TMPDIR": str(tmp), **environ},
    )


def stop(process: subprocess.Popen[bytes], seconds: float) -> int:
    """Tell it to end as the cluster does, and give it so long; the exit code."""
    [first] = psutil.Process(process.pid).children() if _may_mount() else [psutil.Process(process.pid)]
    first.terminate()
    try:
        return process.wait(seconds)
    finally:
        process.kill()


@cache
def _may_mount() -> bool:
    """Whether this is root, with the rights that root has outside of a container."""
    return os.geteuid() == 0 and subprocess.run([*_CONTAINED, "true"], capture_output=True).returncode == 0
