"""The promises of docs/reliability.md while the bot works, after each of its effects; `promises.py` is for the end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from bot.domain.instructions import Said, Settled, parse_answer
from bot.domain.naming import drift_tag
from bot.sandbox.github import SandboxPull
from tests.simulation.company import FILES, NOTES, REPOSITORY
from tests.simulation.oracle import BOT, ENVIRONMENTS, Oracle, Verdict
from tests.simulation.people import People
from tests.simulation.promises import End, broken
from tests.simulation.world import Violation, Worker, World

_LONG_AGO: Final = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Watch:
    """Looks after every effect of the bot and every deed of people."""

    world: World
    people: People
    oracle: Oracle
    writes: list[str] = field(default_factory=list)
    _seen: dict[str, Any] = field(default_factory=dict)
    _rulings: dict[int, Any] = field(default_factory=dict)
    _newest_pull: int = 0
    _since: dict[tuple[str, str, str, int], int] = field(default_factory=dict)

    def after_deed(self) -> None:
        """People may write to the registry what they like; from then on it is not the bot's work."""
        self.world.deeds += 1
        self.oracle.follow()
        self._seen = self._registry()
        self._remember()

    def after_effect(self, worker: Worker, done: str) -> None:
        """What the bot just did, against what it may."""
        what = f"{worker.name}: {done}"
        self.writes.append(what)
        known = {key: len(place.changes) for key, place in self.oracle.places.items()}
        self.oracle.follow()
        if done.startswith("PUT ") and done.endswith("/merge"):
            self._merged_by_the_bot(known, self.world.repository.pull(int(done.split("/")[-2])))
        if done == f"POST /repos/{REPOSITORY}/pulls":
            self._opened(worker)
        self._remember()
        now = self._registry()
        for key, version in now.items():
            if version is not None and self._seen.get(key) != version:
                self._put_live(what, *key, version)
        self._seen = now
        if not self.world.overlap:
            self._one_proposal(what)
        self._rulings_stay(what)

    def _opened(self, worker: Worker) -> None:
        """Promise 5, its other half: automation does not fight the person who held, refused or took out a version.

        What came after the look began, or could not be seen in it, is the next look's.
        """
        opened = max(self.world.repository.repo.pulls, default=0)
        if opened == self._newest_pull:
            return  # GitHub refused
        pull = self.world.repository.pull(opened)
        _, environment, branch = pull.head_ref.split("/")
        model, _, version = branch.rpartition("-v")
        asked = (said for said in self.people.said if said.concerns(model, environment, "promote", "rollback"))
        if worker.misled or self.world.overlap or any(said.words["version"] in (None, version) for said in asked):
            return  # somebody asked for this, or for what may be this
        subjects = {("live", model, environment, int(version)), ("closed", model, environment, int(version))}
        subjects |= {("held", model, environment, 0), ("held", "", environment, 0)}
        for subject in sorted(subjects):
            if self._since.get(subject, worker.began + 1) <= worker.began:
                raise Violation(f"5: {worker.name} opens #{opened} ({pull.title}) although {subject[0]} before")

    def _remember(self) -> None:
        """Since which effect people's decisions stand."""
        self._newest_pull = max(self.world.repository.repo.pulls, default=0)
        now: set[tuple[str, str, str, int]] = {("closed", *refused) for refused in self.people.closed}
        # An entry that a person put in and took out again between two looks was never live.
        for row in self.world.repository.repo.deployments:
            if row["payload"].get("ruling") == "authorised" and row["payload"]["version"] is not None:
                now.add(("live", row["payload"]["model"], row["environment"], row["payload"]["version"]))
        now |= self._held()
        for subject in now - self._since.keys():
            self._since[subject] = self.world.effects
        for subject in self._since.keys() - now:
            del self._since[subject]

    def _held(self) -> set[tuple[str, str, str, int]]:
        held: dict[tuple[str, str, str, int], bool] = {}
        comments = {c.id: c for issue in self.world.repository.repo.issues.values() for c in issue.comments}
        answers = [a for c in comments.values() if c.author == BOT and (a := parse_answer(c.body))]
        for answer in sorted(answers, key=lambda a: (comments[a.comment].created_at, a.comment)):
            told = answer.lines[1].told
            edited = comments[answer.comment].updated_at != comments[answer.comment].created_at
            if told and told.said in (Said.HOLD, Said.RESUME) and answer.lines[1].settled is Settled.DONE:
                held["held", told.model, told.environment, 0] = told.said is Said.HOLD and not edited
        return {subject for subject, is_held in held.items() if is_held}

    def _registry(self) -> dict[tuple[str, str, Any], int | None]:
        """Who is where: aliases by model and environment, and stages by model, environment and version."""
        found: dict[tuple[str, str, Any], int | None] = {}
        for model in self.world.mlflow.models.values():
            for environment, (stage, alias) in ENVIRONMENTS.items():
                found[model.name, environment, "alias"] = model.aliases.get(alias)
                for version in model.versions.values():
                    if version.stage == stage:
                        found[model.name, environment, version.number] = version.number
        return found

    def _put_live(self, what: str, model: str, environment: str, how: Any, version: int) -> None:
        """Promise 3: nothing without an authorised entry."""
        allowed = {e.version for e in self.oracle.place(model, environment).took_effect if e is not None}
        if version not in allowed:
            raise Violation(
                f"3: {what} puts {model} v{version} into {environment} ({how}); authorised were {allowed or 'none'}"
            )

    def _merged_by_the_bot(self, known: dict[tuple[str, str], int], pull: SandboxPull) -> None:
        """Promise 3: only what is its own commit, whose whole diff is authorised entries."""
        if pull.merged and (others := self._by_others(pull)):
            raise Violation(f"3: the bot merged #{pull.number} with {others} in it")
        for key, place in self.oracle.places.items():
            for change in place.changes[known.get(key, 0) :]:
                if change.verdict is not Verdict.AUTHORISED:
                    raise Violation(f"3: the bot merged #{change.pull}, which nothing allows: {change}")

    def _by_others(self, pull: SandboxPull) -> str:
        """What a merged pull request changes beside the manifest, which is all that the bot changes."""
        git = self.world.repository.repo.git
        parent = str(git.repo[pull.head_sha].parent_ids[0])
        changed = [p for p in (*FILES, NOTES) if git.file(pull.head_sha, p) != git.file(parent, p)]
        return ", ".join(path for path in changed if path != "versions.yaml")

    def _one_proposal(self, what: str) -> None:
        """Promise 2: one open proposal for each model and environment."""
        for place, count in self._open_proposals().items():
            if count > 1:
                raise Violation(f"2: after {what} there are {count} open proposals for {place}")

    def _open_proposals(self) -> Counter[tuple[str, str]]:
        opened = [p for p in self.world.repository.pulls() if p.author == BOT]
        return Counter((p.head_ref.split("/")[1], p.head_ref.split("/")[2].rpartition("-v")[0]) for p in opened)

    def _rulings_stay(self, what: str) -> None:
        """Promise 3: what was authorised stays so, and is judged once."""
        rows = self.world.repository.repo.deployments
        authorised: set[tuple[str, str, str]] = set()
        for row in rows:
            payload = row["payload"]
            if self._rulings.setdefault(row["id"], payload) != payload:
                raise Violation(f"3: after {what} a judgement is another than it was")
            if payload.get("ruling") == "authorised":
                key = (payload["model"], row["environment"], row["sha"])
                if key in authorised and not self.world.overlap:
                    raise Violation(f"6: after {what} {key} is judged twice")
                authorised.add(key)

    # --- at the end -------------------------------------------------------------------------------------------------

    def at_rest(self) -> None:
        """Every promise about how things end, once nothing is left to do."""
        if not self.oracle.is_readable:
            if not any("read" in i.title or "files" in i.title for i in self.world.repository.issues()):
                raise Violation("1: nobody is told that the manifest cannot be read")
            return
        for what in broken(self._end()):
            raise Violation(what)
        if not self.world.overlap:
            self._nothing_drifts_by_itself()

    def _end(self) -> End:
        overlaps = (_LONG_AGO,) if self.world.overlap else ()
        said, clicked = self.people.said, self.people.clicked
        under_way = self.world.now - _LONG_AGO  # which of two workers' effects came when is not followed here
        world = self.world
        return End(world.repository, world.mlflow, self.oracle, said, world.now, clicked, overlaps, under_way)

    def _nothing_drifts_by_itself(self) -> None:
        """Promise 1: what carrying out a merge forgot is not left to the repair of what people click."""
        for model in self.world.mlflow.models.values():
            for environment in ENVIRONMENTS:
                found = model.tags.get(drift_tag(environment))
                if found is not None and (model.name, environment) not in self.people.clicked:
                    raise Violation(f"1: {model.name} drifted in {environment}, where nobody clicked: {found}")
