"""`promotion-bot app create`: what a browser does on the local page, against the GitHub stand-in."""

from __future__ import annotations

import html
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from bot.gateways.cache import Cache
from bot.sandbox.github import GitHubSandbox
from bot.settings import AppCredentials, Secret, Settings
from bot.wiring import Gateways
from workers.diagnosis import State
from workers.diagnosis.github_account import look_at_account, look_at_rights

PUBLIC = "https://promotion.example.com"
ORIGIN = re.compile(r"http://127\.0\.0\.1:\d+/")


@pytest.fixture
def github() -> Iterator[GitHubSandbox]:
    with GitHubSandbox() as sandbox:
        yield sandbox


@contextmanager
def creating(github: GitHubSandbox, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command at work, and where its page is."""
    command = [sys.executable, "-m", "bot.cli", "app", "create", *arguments]
    environment = {"GITHUB_API_URL": github.api_url, "PROMOTION_PUBLIC_URL": PUBLIC, "PYTHONPATH": ":".join(sys.path)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stderr is not None
            said = process.stderr.readline()
            found = ORIGIN.search(said)
            assert found, said + process.stderr.read()
            yield process, found[0]
        finally:
            process.kill()


def form_of(page: str) -> tuple[str, str]:
    """Where the page's form goes, and the manifest that it carries."""
    text = requests.get(page, timeout=60).text
    action, value = re.search(r'action="([^"]+)"', text), re.search(r'name="manifest" value="([^"]+)"', text)
    assert action
    assert value
    return html.unescape(action[1]), html.unescape(value[1])


def test_one_click_makes_an_app_that_the_doctor_is_content_with(
    github: GitHubSandbox, settings: Settings, tmp_path: Path
) -> None:
    with creating(github, "--to", str(tmp_path), "--organization", "acme", "--name", "acme-promotes") as (
        process,
        page,
    ):
        action, manifest = form_of(page)
        assert action.startswith(f"{github.url}/organizations/acme/settings/apps/new?state=")
        done = requests.post(action, data={"manifest": manifest}, timeout=60)
        assert (done.status_code, "acme-promotes is made" in done.text) == (200, True)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert f"{github.url}/apps/acme-promotes/installations/new" in out

    key, written = tmp_path / "promotion-bot.pem", tmp_path / "promotion-bot.env"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (key, written)] == [0o600, 0o600]
    said = dict(line.split("=", 1) for line in written.read_text().splitlines())
    [app] = github.world.apps.values()
    assert said == {
        "GITHUB_APP_ID": str(app.id),
        "GITHUB_APP_PRIVATE_KEY_FILE": str(key),
        "GITHUB_WEBHOOK_SECRET": app.webhook_secret,
    }
    assert app.webhook_secret not in out

    github.add_repository("acme/models", {"README.md": ""}, {}, [app])
    credentials = AppCredentials(said["GITHUB_APP_ID"], Secret(key.read_text()))
    known = replace(
        settings,
        github_api_url=github.api_url,
        github_credentials=credentials,
        public_url=PUBLIC,
        repositories=("acme/models",),
    )
    gateways = Gateways(known, Cache(None))
    found = [*look_at_account(gateways), *look_at_rights(gateways, "acme/models")]
    assert [each for each in found if each.state is not State.GOOD and "last delivery" not in each.what] == []


def test_only_the_browser_that_began_brings_the_code(github: GitHubSandbox, tmp_path: Path) -> None:
    with creating(github, "--to", str(tmp_path)) as (process, page):
        assert requests.get(f"{page}created?state=guessed&code=abc", timeout=60).status_code == 400
        assert requests.get(page, headers={"Host": "evil.example"}, timeout=60).status_code == 400
        assert process.poll() is None
        state = form_of(page)[0].partition("state=")[2]
        assert requests.get(f"{page}created?state={state}&code=stale", timeout=60).status_code == 502
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "does not take its code" in err
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over_and_nothing_made_that_could_not_be_kept(github: GitHubSandbox, tmp_path: Path) -> None:
    (tmp_path / "promotion-bot.pem").write_text("the key of another App")
    for folder, says in ((tmp_path, "would be written over"), (tmp_path / "nowhere", "can be written")):
        command = [sys.executable, "-m", "bot.cli", "app", "create", "--to", str(folder)]
        environment = {
            "GITHUB_API_URL": github.api_url,
            "PROMOTION_PUBLIC_URL": PUBLIC,
            "PYTHONPATH": ":".join(sys.path),
        }
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, says in done.stderr) == (1, True), done.stderr
    assert github.world.apps == {}
