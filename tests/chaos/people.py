"""What people do meanwhile: they register versions, review, merge, close, and tell the bot what to do."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Final

import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from bot.sandbox.github import SandboxPull
from bot.sandbox.github.errors import ApiError
from tests.chaos.site import Site
from tests.registering import register
from tests.simulation.company import ENVIRONMENTS, FLOOR
from tests.simulation.said import Said

_AGAIN: Final = 0.5  # seconds until a person tries again what MLflow did not answer
_BETWEEN_REVIEWS: Final = (0.2, 1.2)  # seconds
_BETWEEN_COMMANDS: Final = (1.0, 4.0)


@dataclass
class People:
    """Everybody but the bot; each kind of deed has a clock and a seed of its own."""

    site: Site
    seed: int
    models: tuple[str, ...]
    did: Counter[str] = field(default_factory=Counter)
    said: list[Said] = field(default_factory=list)
    operations: int = 0

    def __post_init__(self) -> None:
        self.operations = self.site.repository.open_issue("Operations", "alice")

    # --- data scientists ------------------------------------------------------------------------------------------

    def register(self, versions: int, seconds: float, stopped: threading.Event) -> None:
        """Register so many versions, spread over the models and the time; what MLflow did not answer is tried again."""
        random = Random(f"{self.seed} registrations")
        mlflow = MlflowClient(self.site.mlflow.url)
        begun = time.monotonic()
        for number in range(versions):
            stopped.wait(max(0.0, begun + seconds * number / versions - time.monotonic()))
            model = self.models[number] if number < len(self.models) else random.choice(self.models)
            accuracy = random.choice((0.95, 0.95, 0.95, 0.99, FLOOR - 0.1))
            weights = {"model.bin": random.randbytes(64)}
            while not stopped.is_set():
                with contextlib.suppress(MlflowException, requests.RequestException):
                    register(mlflow, model, {"accuracy": accuracy}, weights, {})
                    self.did["versions registered"] += 1
                    break
                stopped.wait(_AGAIN)

    # --- reviewers ------------------------------------------------------------------------------------------------

    def review(self, stopped: threading.Event) -> None:
        """Look at one open proposal after the other, approve and merge most, and close a few."""
        random = Random(f"{self.seed} reviews")
        while not stopped.wait(random.uniform(*_BETWEEN_REVIEWS)):
            waiting = [p for p in self.site.repository.pulls() if p.head_ref.startswith("promotion/production/")]
            if waiting:
                with contextlib.suppress(ApiError):  # the bot was faster, or the two conflict
                    self._review(random, random.choice(waiting))

    def _review(self, random: Random, pull: SandboxPull) -> None:
        fate = random.random()
        if fate < 0.04:
            pull.close("alice")
            self.did["proposals closed"] += 1
        elif fate < 0.08:
            pull.merge("bob")
            self.did["merges without approval"] += 1
        elif pull.check("promotion/policy") == "success":
            pull.approve(random.choice(("alice", "bob")))
            pull.merge("bob")
            self.did["merges after approval"] += 1

    # --- commands -------------------------------------------------------------------------------------------------

    def command(self, stopped: threading.Event) -> None:
        """Say something every few seconds, under a pull request or in the issue for it; some may not."""
        random = Random(f"{self.seed} commands")
        while not stopped.wait(random.uniform(*_BETWEEN_COMMANDS)):
            model, environment = random.choice(self.models), random.choice(list(ENVIRONMENTS))
            line = self._line(random, model, environment)
            pulls = self.site.repository.pulls()
            issue = random.choice(pulls).number if pulls and random.random() < 0.3 else self.operations
            # alice and bob approve: what they ask for themselves they could not.
            who = random.choice(("carol", "dana-ds", "dana-ds", "rita"))
            comment = self.site.repository.comment(issue, who, line)
            self.said.append(Said(comment, issue, who, line, datetime.now(UTC)))
            self.did["commands"] += 1

    @staticmethod
    def _line(random: Random, model: str, environment: str) -> str:
        """Mostly questions: a hold lasts until it is taken back, and so does what somebody asked for."""
        lines = {
            f"/status {model}": 6,
            f"/resume {model} in {environment}": 4,
            f"/hold {model} in {environment} because of an incident": 1,
            f"/rollback {model} in {environment}": 1,
            f"/promote {model} to {environment}": 1,
            f"/promote {model}@{random.randint(1, 8)} to {environment}": 1,
            "/stauts": 1,
        }
        return random.choices(list(lines), list(lines.values()))[0]
