"""What a container of the chart starts, started here: its arguments and variables, with no more rights than there."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.charts.rendering import ROOT

PEM = "-----BEGIN RSA PRIVATE KEY-----\nnot a real one\n-----END RSA PRIVATE KEY-----"
SECRETS = {
    "MLFLOW_WEBHOOK_SECRET": "mlflow-new",
    "GITHUB_WEBHOOK_SECRET": "github-new",
    "GITHUB_TOKEN": "github_pat_of_nobody",
    "PROMOTION_BOARD_TOKEN": "t" * 20,
    "VALKEY_PASSWORD": "a1b2c3",
    "REDIS_URL": "redis://127.0.0.1:9/0",
}
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
    """The image's entry point on a read-only file system, without any capability, with a /tmp of its own.

    Who is not root cannot make a file system read-only, and gets a home that cannot be written.
    """
    home, tmp = directory / "home", directory / "tmp"
    home.mkdir(mode=0o500)
    tmp.mkdir()
    command = [str(Path(sys.executable).parent / "promotion-bot"), *arguments]
    if os.geteuid() == 0:
        dropped = ["setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", *command]
        command = ["unshare", "--mount", "sh", "-ec", _READ_ONLY, "sh", *dropped]
    return subprocess.Popen(
        command,
        cwd=home,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(home), "TMPDIR": str(tmp), **environ},
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
