"""What people do, at any moment: each deed is drawn from a number, so that it can be done again."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

import yaml

from bot.domain.keys import RegisteredModelKey
from bot.sandbox.github import SandboxPull
from bot.sandbox.github.errors import ApiError
from policies.evidence import RunStatus
from tests.simulation.company import FLOOR, MODELS, NOTES, POLICY
from tests.simulation.oracle import ENVIRONMENTS, OVERRIDER
from tests.simulation.registry import Model, Version
from tests.simulation.said import Said
from tests.simulation.world import World


class People:
    """Everybody but the bot."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.changed: Callable[[], None] = lambda: None  # called between two changes of one deed
        self.said: list[Said] = []
        self.clicked: set[tuple[str, str]] = set()  # model and environment where somebody changed the registry by hand
        self.closed: set[tuple[str, str, int]] = set()  # what a person refused

    def do(self, deed: str, number: int) -> str:
        """Do something; what it was, for the story, or nothing where it cannot be done now."""
        return DEEDS[deed](self, Random(number))

    # --- data scientists ------------------------------------------------------------------------------------------

    def register(self, random: Random) -> str:
        name = random.choice(MODELS)
        model = self.world.mlflow.models.setdefault(name, Model(name))
        number = max(model.versions, default=0) + 1
        accuracy = random.choice((0.95, 0.95, 0.99, FLOOR - 0.1))
        status = random.choice((RunStatus.FINISHED, RunStatus.FINISHED, RunStatus.FINISHED, RunStatus.RUNNING))
        files = {"MLmodel": f"{name} {number}".encode(), "model.bin": random.randbytes(8)}
        model.versions[number] = Version(number, self.world.now, {"accuracy": accuracy}, files, status)
        self.world.hints.append((RegisteredModelKey(name),))
        return f"dana registers {name} v{number}, accuracy {accuracy:.2f}, its run is {status.value}"

    def finish_run(self, random: Random) -> str:
        running = [
            (m.name, v)
            for m in self.world.mlflow.models.values()
            for v in m.versions.values()
            if v.status is RunStatus.RUNNING
        ]
        if not running:
            return ""
        name, version = random.choice(running)
        version.status = RunStatus.FINISHED
        return f"the run of {name} v{version.number} ends"

    def forge_tag(self, random: Random) -> str:
        found = self._a_version(random)
        if found is None:
            return ""
        name, version = found
        key, value = random.choice(
            (
                ("validation_status", "passed"),
                ("promotion.staging.status", "live"),
                ("promotion.production.status", "live"),
                ("promotion.production.override.accuracy-floor", "carol"),
                ("promotion.production.at", "2020-01-01T00:00:00Z"),
                ("promotion.production.commit", self.world.repository.head()),
                ("promotion.production.verdict", "pass"),
            )
        )
        self.world.mlflow.models[name].versions[version].tags[key] = value
        self.world.hints.append((RegisteredModelKey(name),))
        return f"somebody sets the tag {key}={value} on {name} v{version}"

    def delete_tags(self, random: Random) -> str:
        found = self._a_version(random)
        if found is None:
            return ""
        name, version = found
        release = self.world.mlflow.models[name].versions[version].tags.get("promotion.release")
        kept = {"promotion.release": release} if release else {}
        self.world.mlflow.models[name].versions[version].tags = kept
        return f"somebody deletes the tags of {name} v{version}"

    def click(self, random: Random) -> str:
        found = self._a_version(random)
        if found is None:
            return ""
        name, version = found
        environment = random.choice(list(ENVIRONMENTS))
        stage, alias = ENVIRONMENTS[environment]
        model = self.world.mlflow.models[name]
        self.clicked.add((name, environment))
        if random.random() < 0.5:
            model.aliases[alias] = version
            return f"somebody points the alias {alias} of {name} at v{version} by hand"
        self.clicked |= {(name, other) for other in ENVIRONMENTS}
        model.versions[version].stage = stage
        return f"somebody puts {name} v{version} into {stage} by hand"

    def _a_version(self, random: Random) -> tuple[str, int] | None:
        known = [(m.name, v) for m in self.world.mlflow.models.values() for v in m.versions]
        return random.choice(known) if known else None

    # --- reviewers ------------------------------------------------------------------------------------------------

    def approve(self, random: Random) -> str:
        pull = self._a_pull(random)
        who = random.choice(("alice", "bob", "carol", "dana-ds"))
        if pull is None or pull.author == who:
            return ""
        pull.approve(who)
        return f"{who} approves #{pull.number} ({pull.title})"

    def request_changes(self, random: Random) -> str:
        pull = self._a_pull(random)
        who = random.choice(("alice", "bob", "carol"))
        if pull is None or pull.author == who:
            return ""
        pull.request_changes(who)
        return f"{who} requests changes of #{pull.number}"

    def merge(self, random: Random) -> str:
        pull = self._a_pull(random)
        if pull is None:
            return ""
        method = random.choice(("merge", "merge", "squash", "rebase"))
        try:
            pull.merge("bob", method)
        except ApiError:
            return ""
        return f"bob merges #{pull.number} ({pull.title}) by {method}"

    def approve_and_merge(self, random: Random) -> str:
        pull = self._a_pull(random)
        if pull is None or pull.author == "alice":
            return ""
        pull.approve("alice")
        try:
            pull.merge("bob")
        except ApiError:
            return f"alice approves #{pull.number}"
        return f"alice approves and bob merges #{pull.number} ({pull.title})"

    def merge_and_take_back(self, random: Random) -> str:
        before = self.world.repository.file("versions.yaml") or ""
        done = self.approve_and_merge(random)
        if "merges" not in done:
            return done
        self.changed()
        self.world.repository.push({"versions.yaml": before}, "Take it back", as_user="bob")
        return f"{done}, and pushes the old manifest again"

    def push_after_approval(self, random: Random) -> str:
        """What was approved is not what is merged."""
        pull = self._a_pull(random)
        if pull is None or pull.author == "alice" or pull.pull.fork is not None:
            return ""
        if pull.head_ref not in self.world.repository.branches():
            return ""
        pull.approve("alice")
        self.changed()
        self.world.repository.push({NOTES: f"{random.random()}\n"}, "Notes", pull.head_ref, "dana-ds")
        self.changed()
        try:
            pull.merge("bob")
        except ApiError:
            return f"alice approves #{pull.number}, and dana-ds pushes to it"
        return f"alice approves #{pull.number}, dana-ds pushes to it, and bob merges it ({pull.title})"

    def close(self, random: Random) -> str:
        pull = self._a_pull(random)
        if pull is None:
            return ""
        pull.close("alice")
        self._refused(pull)
        return f"alice closes #{pull.number} ({pull.title})"

    def _refused(self, pull: SandboxPull) -> None:
        words = pull.title.split()
        if len(words) == 5 and words[0] == "Promote":
            self.closed.add((words[1], words[4], int(words[2][1:])))

    def label_hold(self, random: Random) -> str:
        pull = self._a_pull(random)
        if pull is None:
            return ""
        if "hold" in pull.labels:
            pull.unlabel("hold", "alice")
            return f"alice takes the label hold off #{pull.number}"
        pull.label("hold", "alice")
        return f"alice puts the label hold on #{pull.number}"

    def push_to_branch(self, random: Random) -> str:
        pull = self._a_pull(random)
        return self.push_to(pull, random) if pull is not None else ""

    def push_to(self, pull: SandboxPull, random: Random) -> str:
        """Add a commit to a pull request, if its branch is there."""
        if pull.pull.fork is not None or pull.head_ref not in self.world.repository.branches():
            return ""
        self.world.repository.push({NOTES: f"{random.random()}\n"}, "Notes", pull.head_ref, "dana-ds")
        return f"dana-ds pushes to the branch of #{pull.number}"

    def _a_pull(self, random: Random) -> SandboxPull | None:
        pulls = self.world.repository.pulls()
        for_production = [p for p in pulls if "production" in p.title]
        return (
            random.choice(for_production or pulls) if pulls and random.random() < 0.7 else random.choice([*pulls, None])
        )

    # --- the repository -------------------------------------------------------------------------------------------

    def revert(self, random: Random) -> str:
        merged = [p for p in self.world.repository.pulls("all") if p.merged]
        if not merged:
            return ""
        pull = random.choice(merged)
        if any(p.head_ref == f"revert-{pull.number}-{pull.head_ref}" for p in self.world.repository.pulls("all")):
            return ""
        try:
            made = self.world.repository.revert(pull.number, "alice")
        except Exception as error:  # libgit2's, where it conflicts
            if type(error).__name__ not in ("GitError", "ApiError", "KeyError"):
                raise
            return ""
        return f"alice presses revert on #{pull.number}: #{made.number}"

    def push_entry(self, random: Random) -> str:
        edited = self._edited(random)
        if edited is None:
            return ""
        text, what = edited
        self.world.repository.push({"versions.yaml": text}, what, as_user="bob")
        return f"bob pushes to main: {what}"

    def propose_entry(self, random: Random) -> str:
        edited = self._edited(random)
        if edited is None:
            return ""
        text, what = edited
        branch = f"by-hand-{random.randrange(10**9)}"
        if branch in self.world.repository.branches():
            return ""
        self.world.repository.push({"versions.yaml": text}, what, branch, "alice")
        pull = self.world.repository.open_pull(branch, what, "alice")
        return f"alice opens #{pull.number}: {what}"

    def _edited(self, random: Random) -> tuple[str, str] | None:
        found = self._a_version(random)
        if found is None:
            return None
        name, version = found
        environment = random.choice(list(ENVIRONMENTS))
        manifest = yaml.safe_load(self.world.repository.file("versions.yaml") or "")
        there = (manifest["models"] or {}).get(name, {})
        fate = random.random()
        if fate < 0.3 and environment in there:
            del there[environment]
            what = f"{name} leaves {environment}"
        else:
            digest = self.world.mlflow.digest(name, version) if fate < 0.9 else f"sha256:{'0' * 64}"
            entry = {"version": version, "digest": digest, "release": f"9.{version}.0"}
            if there.get(environment, {}).get("version") == version:
                return None
            there[environment] = entry
            what = f"{name} v{version} in {environment}" + ("" if fate < 0.9 else " with another digest")
        models = {**(manifest["models"] or {}), name: there}
        manifest["models"] = {k: v for k, v in models.items() if v}
        return yaml.safe_dump(manifest, sort_keys=False), what

    def edit_policy(self, random: Random) -> str:
        environment = random.choice(list(ENVIRONMENTS))
        floor = random.choice((FLOOR, FLOOR + 0.07))
        text = POLICY.format(name=environment, floor=floor)
        if self.world.repository.file(f"policies/{environment}.yaml") == text:
            return ""
        self.world.repository.push({f"policies/{environment}.yaml": text}, f"Ask for {floor}", as_user="bob")
        return f"bob pushes to main: {environment} asks for an accuracy of {floor}"

    # --- commands -------------------------------------------------------------------------------------------------

    def command(self, random: Random) -> str:
        found = self._a_version(random)
        if found is None:
            return ""
        (model, version), environment = found, random.choice(list(ENVIRONMENTS))
        line = random.choice(
            (
                f"/promote {model}@{version} to {environment}",
                f"/promote {model}",
                f"/rollback {model} in {environment}",
                f"/rollback {model} in {environment}",
                f"/promote {model}@{version} to {environment}",
                f"/rollback {model} to {version} in {environment}",
                f"/hold {model} in {environment} because tests",
                f"/resume {model} in {environment}",
                f"/hold in {environment}",
                f"/resume in {environment}",
                f"/status {model}",
                "/cancel",
                "/validate",
                "/expalin accuracy-floor",
            )
        )
        who = random.choice(("alice", "alice", "bob", "bob", "dana-ds", "dana-ds", "rita"))
        return self._say(random, who, line)

    def override(self, random: Random) -> str:
        found = self._a_version(random)
        if found is None:
            return ""
        name, version = found
        check = random.choice(("accuracy-floor", "accuracy-floor", "window"))
        environment = random.choice(list(ENVIRONMENTS))
        who = random.choice((OVERRIDER, OVERRIDER, "alice", "rita"))
        return self._say(random, who, f"/override {check} {name}@{version} to {environment} because tests")

    def edit_comment(self, random: Random) -> str:
        said = random.choice(self.said) if self.said else None
        if said is None or said.line.startswith("/override"):
            return ""  # what an override stands on is not taken back here: when the bot looked decides
        self.world.repository.edit_comment(said.comment, said.who, f"{said.line}\n\nEdited.")
        said.taken_back = self.world.now != said.at  # within one second nobody can tell
        return f"{said.who} edits “{said.line}”"

    def _say(self, random: Random, who: str, line: str) -> str:
        issues = self.world.repository.repo.issues
        number = random.choice(sorted(issues)) if issues else self.world.repository.open_issue("Operations")
        comment = self.world.repository.comment(number, who, line)
        self.said.append(Said(comment, number, who, line, self.world.now))
        return f"{who} says under #{number}: {line}"


DEEDS: Final[dict[str, Callable[[People, Random], str]]] = {
    "register": People.register,
    "finish_run": People.finish_run,
    "forge_tag": People.forge_tag,
    "delete_tags": People.delete_tags,
    "click": People.click,
    "approve": People.approve,
    "request_changes": People.request_changes,
    "merge": People.merge,
    "approve_and_merge": People.approve_and_merge,
    "merge_and_take_back": People.merge_and_take_back,
    "push_after_approval": People.push_after_approval,
    "close": People.close,
    "label_hold": People.label_hold,
    "push_to_branch": People.push_to_branch,
    "revert": People.revert,
    "push_entry": People.push_entry,
    "propose_entry": People.propose_entry,
    "edit_policy": People.edit_policy,
    "command": People.command,
    "override": People.override,
    "edit_comment": People.edit_comment,
}
