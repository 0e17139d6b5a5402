"""The demo's story: real models, a real registry and a real queue, from registration to a reverted promotion."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table

from bot.domain import naming
from bot.domain.errors import PromotionError
from bot.gateways.mlflow_api import MlflowApi
from bot.gateways.mlflow_webhooks import ensure_webhook
from bot.sandbox.github import GitHubSandbox, SandboxPull, SandboxRepository
from bot.sandbox.github.state import App
from bot.sandbox.guard import Guard
from bot.sandbox.mlflow_server import MlflowServer, free_port
from bot.sandbox.training import Recipe, train_and_register

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODEL: Final = "breast-cancer"
REPOSITORY: Final = "acme/models"
STEP_LIMIT: Final = 120.0  # seconds for one thing to happen

PIPELINE: Final = """\
apiVersion: promotion-bot/v1
kind: Pipeline
manifest: versions.yaml
models: ["breast-*"]
identities: {dana: dana-ds}
environments:
  - name: staging
    policy: policies/staging.yaml
    propose: on_registration
    merge: auto
    registry: {stage: Staging, alias: staging}
  - name: production
    policy: policies/production.yaml
    propose: {after: staging, soak: 1s}
    merge: manual
    approvals: {count: 2, from: ["@acme/ml-platform"], not_author: true}
    overrides: {from: [carol]}
    registry: {stage: Production, alias: champion, archive_existing: true}
releases: {tag: "model-{model}-v{version}", github_release: true}
"""

STAGING_POLICY: Final = """\
apiVersion: promotion-bot/v1
kind: Policy
name: staging
checks:
  - {id: run-finished, run: {status: finished}}
  - {id: accuracy-floor, metric: {name: accuracy, at_least: 0.92}, remedy: "Train on all features."}
  - {id: lineage, lineage: {require: [git_commit, data_version]}}
"""

PRODUCTION_POLICY: Final = """\
apiVersion: promotion-bot/v1
kind: Policy
name: production
checks:
  - {id: accuracy-floor, metric: {name: accuracy, at_least: 0.92}}
  - {id: beats-champion, compare: {metric: f1_score, to: champion, tolerance: 0.005}}
  - {id: lineage, lineage: {require: [git_commit, data_version]}}
"""

MANIFEST: Final = """\
# What should be live. Every change of this file is a reviewed pull request.
apiVersion: promotion-bot/v1
kind: ModelVersions
models: {}
"""


_FREEZE: Final = '    freeze: [{from: "2020-01-01", until: "2099-01-01", reason: audit}]\n'


class StepFailedError(PromotionError):
    """Something did not happen within its time limit; the message says which step."""


@dataclass
class Stage:
    """Everything that runs for the demo, and the clients to look at it with."""

    github: GitHubSandbox
    repository: SandboxRepository
    mlflow_url: str
    bot_url: str
    log: Path
    bot: subprocess.Popen[bytes]


@dataclass
class Story:
    """Tells what happens, step by step, and believes only what MLflow and GitHub show."""

    stage: Stage
    console: Console
    started: float = field(default_factory=time.monotonic)

    def tell(self) -> None:
        """The whole story; raises StepFailedError at the first thing that does not happen."""
        first = self._register(Recipe.GOOD)
        self._reaches_staging(first)
        self._reaches_production(first)
        worse = self._register(Recipe.WORSE)
        self._is_refused(worse)
        better = self._register(Recipe.BETTER)
        self._reaches_staging(better)
        promotion = self._reaches_production(better, replaces=first)
        self._is_reverted(promotion, back_to=first, away_from=better)
        again = self._is_asked_for(better)
        self._is_held_and_resumed(again)
        self._is_frozen_and_overridden(again, better)
        self._is_rolled_back(again, back_to=first)

    # --- chapters -------------------------------------------------------------------------------------------------

    def _register(self, recipe: Recipe) -> int:
        self._say(f"dana trains a {recipe.value} model and registers it")
        version = train_and_register(self.stage.mlflow_url, MODEL, recipe)
        self._saw(f"MLflow has {MODEL} version {version}")
        return version

    def _reaches_staging(self, version: int) -> None:
        pull = self._proposal("staging", version)
        self._wait(f"the bot merges #{pull.number} into staging by itself", lambda: pull.merged)
        self._wait(f"version {version} has the alias staging", lambda: self._alias("staging") == version)
        self._wait(f"version {version} is in the stage Staging", lambda: self._stage(version) == "Staging")

    def _reaches_production(self, version: int, replaces: int | None = None) -> SandboxPull:
        pull = self._proposal("production", version)
        self._wait(
            f"#{pull.number} waits for approvals",
            lambda: self._check(pull, "promotion/approvals") == "in_progress",
        )
        for person in ("alice", "bob"):
            pull.approve(as_user=person)
            self._say(f"{person} reviews #{pull.number} and approves")
        self._wait(f"every check of #{pull.number} is green", lambda: self._all_green(pull))
        pull.merge(as_user="bob")
        self._say(f"bob merges #{pull.number}")
        self._wait(f"version {version} is in the stage Production", lambda: self._stage(version) == "Production")
        self._wait(f"version {version} has the alias champion", lambda: self._alias("champion") == version)
        if replaces is not None:
            self._wait(f"version {replaces} is archived", lambda: self._stage(replaces) == "Archived")
        self._wait(
            f"the release model-{MODEL}-v{version} is published",
            lambda: (
                f"model-{MODEL}-v{version}" in [release["tag_name"] for release in self.stage.repository.releases()]
            ),
        )
        return pull

    def _is_refused(self, version: int) -> None:
        self._wait(
            f"version {version} is refused",
            lambda: (
                self._tags(version).get("promotion.staging.status") == "refused"
                and "promotion.staging.reason" in self._tags(version)
            ),
        )
        for line in self._tags(version)["promotion.staging.reason"].splitlines():
            self.console.print(f"      [yellow]{line}[/yellow]", highlight=False)
        if self._find("staging", version) is not None:
            raise StepFailedError(f"version {version} was refused, yet a pull request proposes it")

    def _is_reverted(self, promotion: SandboxPull, back_to: int, away_from: int) -> None:
        revert = self.stage.repository.revert(promotion.number, as_user="alice")
        self._say(f"alice presses “Revert” on #{promotion.number}: #{revert.number}")
        self._wait(f"every check of #{revert.number} is green", lambda: self._all_green(revert))
        revert.merge(as_user="bob")
        self._say(f"bob merges #{revert.number}")
        self._wait(f"version {back_to} is in the stage Production", lambda: self._stage(back_to) == "Production")
        self._wait(f"version {back_to} has the alias champion", lambda: self._alias("champion") == back_to)
        self._wait(
            f"version {away_from}, still live in staging, is in the stage Staging",
            lambda: self._stage(away_from) == "Staging",
        )

    def _is_asked_for(self, version: int) -> SandboxPull:
        issue = self.stage.repository.open_issue("The revert was a mistake", as_user="dana-ds")
        said = self._comment(issue, "dana-ds", f"/promote {MODEL}@{version} to production")
        self._wait("the bot answers 🚀", lambda: self._reacted(said, "rocket"))
        self._wait(f"version {version} is proposed again", lambda: self._open("production", version) is not None)
        pull = self._open("production", version)
        if pull is None:
            raise StepFailedError(f"the new proposal of version {version} is gone")
        return pull

    def _is_held_and_resumed(self, pull: SandboxPull) -> None:
        self._comment(pull.number, "alice", "/hold because the dashboard is being rebuilt")
        self._wait(f"#{pull.number} says that it is on hold", lambda: "On hold" in pull.body)
        self._comment(pull.number, "alice", "/resume")
        self._wait(f"#{pull.number} is on hold no more", lambda: "On hold" not in pull.body)

    def _is_frozen_and_overridden(self, pull: SandboxPull, version: int) -> None:
        frozen = PIPELINE.replace("    overrides:", f"{_FREEZE}    overrides:")
        self.stage.repository.push({"promotion.yaml": frozen}, "Freeze production", as_user="bob")
        self._say("bob freezes production for the audit")
        self._wait("the window is closed", lambda: self._check(pull, "promotion/window") == "action_required")
        self._comment(pull.number, "carol", "/override window because the fraud model loses money")
        self._wait("the override opens it", lambda: self._check(pull, "promotion/window") == "success")
        for person in ("alice", "bob"):
            pull.approve(as_user=person)
        self._wait(f"every check of #{pull.number} is green", lambda: self._all_green(pull))
        pull.merge(as_user="bob")
        self._say(f"alice and bob approve, bob merges #{pull.number}")
        self._wait(f"version {version} is in the stage Production", lambda: self._stage(version) == "Production")

    def _is_rolled_back(self, promotion: SandboxPull, back_to: int) -> None:
        self._comment(promotion.number, "alice", "/rollback")
        self._wait("the bot proposes to go back", lambda: self._open("production", back_to) is not None)
        pull = self._open("production", back_to)
        if pull is None:
            raise StepFailedError(f"the rollback to version {back_to} is gone")
        self._wait(f"every check of #{pull.number} is green, frozen or not", lambda: self._all_green(pull))
        pull.merge(as_user="alice")
        self._say(f"alice merges #{pull.number}")
        self._wait(f"version {back_to} is in the stage Production", lambda: self._stage(back_to) == "Production")

    def _comment(self, number: int, login: str, text: str) -> int:
        self._say(f"{login} comments on #{number}: {text}")
        return self.stage.repository.comment(number, login, text)

    # --- looking --------------------------------------------------------------------------------------------------

    def _proposal(self, environment: str, version: int) -> SandboxPull:
        self._wait(
            f"the bot proposes version {version} for {environment}",
            lambda: self._find(environment, version) is not None,
        )
        pull = self._find(environment, version)
        if pull is None:
            raise StepFailedError(f"the proposal of version {version} for {environment} is gone")
        return pull

    def _find(self, environment: str, version: int) -> SandboxPull | None:
        branch = naming.branch_name(environment, MODEL, version)
        return next((p for p in self.stage.repository.pulls(state="all") if p.head_ref == branch), None)

    def _open(self, environment: str, version: int) -> SandboxPull | None:
        branch = naming.branch_name(environment, MODEL, version)
        return next((p for p in self.stage.repository.pulls() if p.head_ref == branch), None)

    def _reacted(self, comment: int, reaction: str) -> bool:
        return reaction in self.stage.repository.reactions(comment)

    def _check(self, pull: SandboxPull, name: str) -> str | None:
        runs = [run for run in self.stage.repository.check_runs(pull.head_sha) if run["name"] == name]
        if not runs:
            return None
        newest = max(runs, key=lambda run: int(run["id"]))
        return str(newest["conclusion"] or newest["status"])

    def _all_green(self, pull: SandboxPull) -> bool:
        return all(self._check(pull, f"promotion/{gate}") == "success" for gate in ("policy", "approvals", "window"))

    def _client(self) -> MlflowClient:
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=self.stage.mlflow_url)

    def _alias(self, alias: str) -> int | None:
        aliases = self._client().get_registered_model(MODEL).aliases
        return int(aliases[alias]) if alias in aliases else None

    def _stage(self, version: int) -> str:
        return str(self._client().get_model_version(MODEL, str(version)).current_stage)

    def _tags(self, version: int) -> dict[str, str]:
        return dict(self._client().get_model_version(MODEL, str(version)).tags)

    # --- telling --------------------------------------------------------------------------------------------------

    def _say(self, text: str) -> None:
        self.console.print(f"[dim]{time.monotonic() - self.started:6.1f}s[/dim]  {text}", highlight=False)

    def _saw(self, text: str) -> None:
        self.console.print(
            f"[dim]{time.monotonic() - self.started:6.1f}s[/dim]  [green]✓[/green] {text}", highlight=False
        )

    def _wait(self, what: str, happened: Callable[[], bool]) -> None:
        """Look until it is there; what is not there within the limit ends the demo."""
        deadline = time.monotonic() + STEP_LIMIT
        with self.console.status(f"{what} …"):
            while not happened():
                if self.stage.bot.poll() is not None:
                    raise StepFailedError(
                        f"promotion-bot stopped while the demo waited until {what}; see {self.stage.log}"
                    )
                if time.monotonic() > deadline:
                    raise StepFailedError(
                        f"within {STEP_LIMIT:.0f} s it did not happen that {what}; see {self.stage.log}"
                    )
                time.sleep(0.2)
        self._saw(what)

    def table(self) -> Table:
        """What is live at the end, as MLflow and the manifest say it."""
        table = Table("version", "stage", "aliases", "staging", "production", title=MODEL)
        aliases = self._client().get_registered_model(MODEL).aliases
        for version in sorted(self._client().search_model_versions(f"name = '{MODEL}'"), key=lambda v: int(v.version)):
            number = int(version.version)
            named = [alias for alias, holder in aliases.items() if int(holder) == number]
            status = [str(version.tags.get(f"promotion.{name}.status", "–")) for name in ("staging", "production")]
            table.add_row(f"v{number}", version.current_stage, ", ".join(named) or "–", *status)
        return table


def run(console: Console, *, keep: bool) -> None:
    """Start everything, tell the story, stop everything; with `keep` it goes on running until interrupted."""
    with _running(console) as stage:
        story = Story(stage, console)
        story.tell()
        console.print(story.table())
        console.print("[green]Every step was seen in MLflow and on GitHub.[/green]")
        if keep:
            console.print(f"GitHub stand-in  {stage.github.url}/{REPOSITORY}/pulls")
            console.print(f"MLflow           {stage.mlflow_url}")
            console.print(f"promotion-bot    {stage.bot_url}")
            console.print("Press Ctrl+C to stop.")
            signal.pause()


@contextmanager
def _running(console: Console) -> Iterator[Stage]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="promotion-bot-demo-")))
        port = free_port()
        bot_url = f"http://127.0.0.1:{port}"
        github_secret, mlflow_secret = secrets.token_hex(16), secrets.token_hex(16)
        with console.status("starting the GitHub stand-in and MLflow …"):
            github = stack.enter_context(GitHubSandbox())
            mlflow_url = stack.enter_context(MlflowServer(folder / "mlflow")).url
        app, repository = people_and_repository(github, f"{bot_url}/webhooks/github", github_secret)
        key = folder / "app.pem"
        key.touch(mode=0o600)
        key.write_text(app.private_key_pem, encoding="utf-8")
        environment = {
            "MLFLOW_TRACKING_URI": mlflow_url,
            "MLFLOW_WEBHOOK_SECRET": mlflow_secret,
            "GITHUB_WEBHOOK_SECRET": github_secret,
            "GITHUB_API_URL": github.api_url,
            "GITHUB_APP_ID": str(app.id),
            "GITHUB_APP_PRIVATE_KEY_FILE": str(key),
            "PROMOTION_REPOSITORIES": REPOSITORY,
            "PROMOTION_PUBLIC_URL": bot_url,
            "PROMOTION_DATA_DIR": str(folder / "data"),
        }
        log = folder / "promotion-bot.log"
        bot = stack.enter_context(_bot(environment, port, log))
        _wait_until_ready(bot_url, bot, log, console)
        ensure_webhook(MlflowApi(mlflow_url), "promotion-bot", f"{bot_url}/webhooks/mlflow", mlflow_secret)
        yield Stage(github, repository, mlflow_url, bot_url, log, bot)


def people_and_repository(
    github: GitHubSandbox, webhook_url: str | None, webhook_secret: str
) -> tuple[App, SandboxRepository]:
    """The company of the story: dana trains models, alice and bob look after the platform, carol leads."""
    github.add_user("dana-ds", "alice", "bob", "carol")
    github.add_team("acme", "ml-platform", ["alice", "bob"])
    app = github.add_app("promotion-bot", webhook_url, webhook_secret)
    files = {
        "promotion.yaml": PIPELINE,
        "policies/staging.yaml": STAGING_POLICY,
        "policies/production.yaml": PRODUCTION_POLICY,
        "versions.yaml": MANIFEST,
    }
    people = {"dana-ds": "write", "alice": "write", "bob": "admin", "carol": "write"}
    return app, github.add_repository(REPOSITORY, files, people, [app])


@contextmanager
def _bot(environment: dict[str, str], port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`promotion-bot up` as a user starts it, with nothing of this machine's own settings for it."""
    inherited = {
        k: v for k, v in os.environ.items() if not k.startswith(("GITHUB_", "MLFLOW_", "PROMOTION_", "REDIS_"))
    }
    command = [sys.executable, "-m", "bot.cli", "up", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**inherited, **environment}, stdout=output, stderr=output, start_new_session=True
        )
        guard = Guard(process.pid)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            guard.release()


def _wait_until_ready(url: str, bot: subprocess.Popen[bytes], log: Path, console: Console) -> None:
    deadline = time.monotonic() + STEP_LIMIT
    with console.status("starting promotion-bot …"):
        while True:
            if bot.poll() is not None or time.monotonic() > deadline:
                raise StepFailedError(f"promotion-bot did not start:\n{log.read_text(errors='replace')[-2000:]}")
            try:
                with urllib.request.urlopen(f"{url}/readyz", timeout=2) as answer:  # noqa: S310 - an address of our own
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
