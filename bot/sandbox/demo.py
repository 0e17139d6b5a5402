"""The demo's story: real models, a real registry and a real queue, from registration to a reverted promotion."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table

from bot.domain import naming
from bot.sandbox.company import MODEL, PIPELINE, REPOSITORY
from bot.sandbox.github import SandboxPull
from bot.sandbox.stage import STEP_LIMIT, Stage, StepFailedError, running
from bot.sandbox.training import Recipe, train_and_register

if TYPE_CHECKING:
    from mlflow import MlflowClient

_FREEZE: Final = '    freeze: [{from: "2020-01-01", until: "2099-01-01", reason: audit}]\n'


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
    with running(console) as stage:
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
