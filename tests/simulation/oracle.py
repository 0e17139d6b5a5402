"""What may be live, worked out from the manifest's history and the people's deeds alone, without asking the bot.

It knows the simulation's one pipeline by heart and judges every change of the manifest as SPEC says: evidence at the
digest, approvals and window at the merge, or a recorded override.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Protocol

import yaml

from bot.domain.instructions import Said, Settled, parse_answer
from bot.sandbox.github import SandboxRepository
from policies.evidence import RunStatus
from tests.simulation.company import ENVIRONMENTS as ENVIRONMENTS
from tests.simulation.registry import Mlflow

APPROVERS: Final = ("alice", "bob")
OVERRIDER: Final = "carol"
BOT: Final = "promotion-bot[bot]"


class Surroundings(Protocol):
    """What the oracle looks at: the deploy repository, the registry, and what time it is."""

    repository: SandboxRepository
    mlflow: Mlflow
    now: datetime


class Verdict(StrEnum):
    """How a change of the manifest stands."""

    AUTHORISED = "authorised"
    REFUSED = "refused"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Entry:
    """A manifest's entry as far as it names files."""

    version: int
    digest: str
    release: str = field(compare=False)


@dataclass
class Change:
    """One changed entry on the default branch: what it lacks of what nobody can override, and of the rest.

    `commits` are all that came to the default branch with it, `commit` the last of them.
    """

    commit: str
    commits: tuple[str, ...]
    entry: Entry | None
    pull: int | None
    at: datetime
    floor: float
    lacks_for_ever: str = ""
    lacks_window: bool = False
    went_back: bool = False
    verdict: Verdict = Verdict.UNDECIDED
    was_refused: bool = False  # before it was overridden
    took_effect: bool = False

    @property
    def changed_nothing(self) -> bool:
        """Whether it only took back what had no effect."""
        return self.verdict is Verdict.AUTHORISED and not self.took_effect


@dataclass
class Place:
    """One model in one environment: every change, oldest first, and the entries that took effect, in order.

    `adopted` is what the first manifest stated.
    """

    adopted: Entry | None = None
    changes: list[Change] = field(default_factory=list)
    took_effect: list[Entry | None] = field(default_factory=list)

    @property
    def live(self) -> Entry | None:
        return self.took_effect[-1] if self.took_effect else None

    def is_rollback(self, entry: Entry | None) -> bool:
        """Whether an entry was authorised here before the live one first was."""
        if entry is None or self.live is None or entry == self.live:
            return False
        return entry in self.took_effect[: self.took_effect.index(self.live)]


@dataclass
class Oracle:
    """Follows the default branch."""

    world: Surroundings
    places: dict[tuple[str, str], Place] = field(default_factory=dict)
    _head: str = ""

    def __post_init__(self) -> None:
        self._head = self.world.repository.head()
        for key, entry in (self._entries(self._head) or {}).items():
            self.places[key] = Place(adopted=entry, took_effect=[entry])

    def place(self, model: str, environment: str) -> Place:
        return self.places.setdefault((model, environment), Place())

    def follow(self) -> None:
        """Take notice of new commits on the default branch, and of runs that ended."""
        head = self.world.repository.head()
        if head != self._head and (after := self._entries(head)) is not None:
            before = self._entries(self._head) or {}
            pull = next(
                (n for n, p in self.world.repository.repo.pulls.items() if p.merge_commit_sha == head and p.merged_at),
                None,
            )
            changed = [key for key in sorted(before.keys() | after.keys()) if _differ(before.get(key), after.get(key))]
            commits = self._commits_since(self._head) if changed else ()
            for key in changed:
                self._changed(key, after.get(key), commits, pull)
            self._head = head
        for (model, environment), place in self.places.items():
            self._settle(model, environment, place)

    def _commits_since(self, before: str) -> tuple[str, ...]:
        """What the default branch has after a commit, oldest first."""
        git, commits = self.world.repository.repo.git.repo, [self.world.repository.head()]
        while (parents := git[commits[-1]].parent_ids) and str(parents[0]) != before:
            commits.append(str(parents[0]))
        return tuple(reversed(commits))

    def desired(self, model: str, environment: str) -> Entry | None:
        """What the manifest on the default branch says, with effect or without."""
        return (self._entries(self.world.repository.head()) or {}).get((model, environment))

    @property
    def is_readable(self) -> bool:
        """Whether the manifest on the default branch can be read; until then nothing changes."""
        return self._entries(self.world.repository.head()) is not None

    def _entries(self, commit: str) -> dict[tuple[str, str], Entry] | None:
        """The entries as of a commit; None where two branches merged cleanly into a key that is there twice."""
        text = self.world.repository.repo.git.file(commit, "versions.yaml") or b""
        if _has_twins(yaml.compose(text, yaml.CSafeLoader)):
            return None
        models: dict[str, Any] = yaml.load(text, yaml.CSafeLoader)["models"] or {}
        return {
            (model, environment): Entry(entry["version"], entry["digest"], str(entry["release"]))
            for model, environments in models.items()
            for environment, entry in (environments or {}).items()
        }

    def _changed(self, key: tuple[str, str], entry: Entry | None, commits: tuple[str, ...], pull: int | None) -> None:
        model, environment = key
        # The policy of the merge's first parent is the one at the head that this change moved.
        text = self.world.repository.repo.git.file(self._head, f"policies/{environment}.yaml") or b""
        floor = next(c["metric"]["at_least"] for c in yaml.load(text, yaml.CSafeLoader)["checks"] if "metric" in c)
        change = Change(commits[-1], commits, entry, pull, self.world.now, floor)
        self.place(model, environment).changes.append(change)

    def _settle(self, model: str, environment: str, place: Place) -> None:
        """Judge in order what can be judged; a change waits for the one before it."""
        for change in place.changes:
            if change.verdict is Verdict.AUTHORISED:
                continue
            if change.verdict is Verdict.REFUSED:
                if change is place.changes[-1] and self._overridden_later(model, environment, change):
                    self._take_effect(place, change)
                continue
            self._judge(model, environment, place, change)
            if change.verdict is Verdict.UNDECIDED:
                return

    @staticmethod
    def _take_effect(place: Place, change: Change) -> None:
        change.verdict, change.took_effect = Verdict.AUTHORISED, True
        place.took_effect.append(change.entry)

    def _judge(self, model: str, environment: str, place: Place, change: Change) -> None:
        if not _differ(change.entry, place.live):
            change.verdict = Verdict.AUTHORISED  # what had no effect was taken back: nothing changes
            return
        change.went_back = place.is_rollback(change.entry)
        change.lacks_for_ever = self._files_lack(model, change) or self._approvals_lack(model, environment, change)
        frozen = environment == "production" and not change.went_back and is_frozen(change.at)
        change.lacks_window = frozen and not self.overridden(model, environment, change, "window", change.at)
        evidence = self._evidence(model, change)
        if not change.lacks_for_ever and evidence is None:
            return
        low = evidence is False and not self.overridden(model, environment, change, "accuracy-floor", None)
        if change.lacks_for_ever or change.lacks_window or low:
            change.verdict, change.was_refused = Verdict.REFUSED, True
            if not change.lacks_for_ever and self._overridden_later(model, environment, change):
                self._take_effect(place, change)
        else:
            self._take_effect(place, change)

    def _files_lack(self, model: str, change: Change) -> str:
        if change.entry is None:
            return ""
        known = self.world.mlflow.models.get(model)
        if known is None or change.entry.version not in known.versions:
            return "the version is not there"
        if self.world.mlflow.digest(model, change.entry.version) != change.entry.digest:
            return "the digest is another"
        return ""

    def _approvals_lack(self, model: str, environment: str, change: Change) -> str:
        if environment != "production" or change.went_back:
            return ""
        if change.pull is None:
            return "pushed without a pull request"
        pull = self.world.repository.repo.pulls[change.pull]
        latest: dict[str, tuple[str, str]] = {}
        for review in pull.reviews:
            if review["state"] in ("APPROVED", "CHANGES_REQUESTED", "DISMISSED"):
                latest[review["user"]["login"]] = (review["state"], review["commit_id"])
        beneficiaries = {self._author(change.pull), *self._asked_for(model, environment, change)}
        said = {who: word for who, word in latest.items() if who in APPROVERS and who not in beneficiaries}
        if any(state == "CHANGES_REQUESTED" for state, _ in said.values()):
            return "changes were requested"
        if not any(word == ("APPROVED", pull.head_sha) for word in said.values()):
            return "no approval"
        return ""

    def _asked_for(self, model: str, environment: str, change: Change) -> set[str]:
        """Who had this version proposed by a command: not_author counts them as its authors."""
        comments = {c.id: c for issue in self.world.repository.repo.issues.values() for c in issue.comments}
        answers = (a for c in comments.values() if c.author == BOT and (a := parse_answer(c.body)))
        told = (
            (a.comment, line.told) for a in answers for line in a.lines.values() if line.settled is not Settled.REFUSED
        )
        wanted = (model, environment, change.entry.version if change.entry else None)
        return {
            comments[comment].author
            for comment, what in told
            if what and what.said is Said.PROMOTE and (what.model, what.environment, what.version) == wanted
        }

    def _author(self, pull: int) -> str:
        return self.world.repository.repo.issues[pull].author

    def _evidence(self, model: str, change: Change) -> bool | None:
        """Whether the policy accepts the version; None while its run goes on."""
        if change.entry is None or change.went_back:
            return True
        version = self.world.mlflow.models[model].versions[change.entry.version]
        if version.status is RunStatus.RUNNING:
            return None
        return version.metrics["accuracy"] >= change.floor

    def _overridden_later(self, model: str, environment: str, change: Change) -> bool:
        """Whether everything that a refusal stands on was overridden."""
        if change.lacks_for_ever or (change.entry is None and not change.lacks_window):
            return False
        lacking = ["window"] if change.lacks_window else []
        if self._evidence(model, change) is False:
            lacking.append("accuracy-floor")
        return bool(lacking) and all(self.overridden(model, environment, change, c, None) for c in lacking)

    def overridden(self, model: str, environment: str, change: Change, check: str, until: datetime | None) -> bool:
        """Whether somebody who may overrode a check of this version here, in a comment that stands and was accepted."""
        version = change.entry.version if change.entry else None
        line = f"/override {check} {model}@{version} to {environment} because "
        comments = [c for issue in self.world.repository.repo.issues.values() for c in issue.comments]
        accepted = {
            answer.comment
            for c in comments
            if c.author == BOT and (answer := parse_answer(c.body)) and answer.lines[1].settled is Settled.DONE
        }
        return any(
            c.id in accepted and c.author == OVERRIDER and c.body.startswith(line)
            for c in comments
            if until is None or c.created_at <= until
        )


def _differ(one: Entry | None, other: Entry | None) -> bool:
    """Whether entries say anything else: what is approved is the whole of it, though its files are what is live."""
    return f"{one}" != f"{other}"


def _has_twins(node: yaml.Node | None) -> bool:
    if not isinstance(node, yaml.MappingNode):
        return False
    names = [key.value for key, _ in node.value]
    return len(set(names)) < len(names) or any(_has_twins(value) for _, value in node.value)


def is_frozen(at: datetime) -> bool:
    """Whether production's weekend is on: from Friday 16:00 to Monday 08:00, UTC."""
    day, hour = at.weekday(), at.hour
    return (day == 4 and hour >= 16) or day in (5, 6) or (day == 0 and hour < 8)
