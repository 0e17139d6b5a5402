"""The promises of docs/reliability.md, each looked at from outside the bot."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import yaml

from bot.domain.instructions import Said, Settled, parse_answer
from policies.evidence import RunStatus
from tests.simulation.company import MODELS, REPOSITORY
from tests.simulation.oracle import BOT, ENVIRONMENTS, Oracle, Verdict, may_write
from tests.simulation.people import People
from tests.simulation.world import Violation, Worker, World


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
            self._merged_by_the_bot(known)
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
        if (
            worker.misled
            or self.world.overlap
            or any(s.line.startswith(("/promote", "/rollback")) for s in self.people.said)
        ):
            return  # somebody asked for something, which may be this
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

    def _merged_by_the_bot(self, known: dict[tuple[str, str], int]) -> None:
        for key, place in self.oracle.places.items():
            for change in place.changes[known.get(key, 0) :]:
                if change.verdict is not Verdict.AUTHORISED:
                    raise Violation(f"3: the bot merged #{change.pull}, which nothing allows: {change}")

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
        for model in MODELS:
            for environment in ENVIRONMENTS:
                self._registry_follows(model, environment)
        for place, count in self._open_proposals().items():
            if count > 1:
                raise Violation(f"2: at rest there are {count} open proposals for {place}")
        for said in self.people.said:
            self._answered(said)
        self._nothing_forgotten()
        self._nothing_twice()

    def _registry_follows(self, model: str, environment: str) -> None:
        """Promise 1, with promise 3's order: the last authorised entry is live."""
        place = self.oracle.place(model, environment)
        if any(c.verdict is Verdict.UNDECIDED for c in place.changes):
            raise Violation(f"the simulation left {model} in {environment} undecided")
        known = self.world.mlflow.models.get(model)
        if known is None or not place.took_effect:
            return
        self._refusal_is_said(model, environment)
        is_there = known.aliases.get(ENVIRONMENTS[environment][1])
        wanted = place.live.version if place.live else None
        if is_there == wanted:
            return
        if wanted is None and (model, environment) in self.people.clicked and not self._has_judged(model, environment):
            return  # what was taken back before anybody looked was never the bot's, nor is what people click there
        if environment == "production" and (model, environment) in self.people.clicked:
            title = f"drift: {model} in {environment}"
            if not any(model in i.title and environment in i.title for i in self.world.repository.issues()):
                raise Violation(f"1: {title} is not reported: the alias is at {is_there}, authorised is {wanted}")
            return
        raise Violation(f"1: {model} in {environment} is {is_there}, authorised was {place.took_effect}")

    def _has_judged(self, model: str, environment: str) -> bool:
        rows = self.world.repository.repo.deployments
        return any(row["environment"] == environment and row["payload"].get("model") == model for row in rows)

    def _refusal_is_said(self, model: str, environment: str) -> None:
        """Promise 1: where the newest change has no effect, an issue says so."""
        place = self.oracle.place(model, environment)
        if not place.changes or place.changes[-1].verdict is not Verdict.REFUSED:
            return
        said = (i.title + i.body for i in self.world.repository.issues() if i.author == BOT)
        if not any(model in text and environment in text for text in said):
            raise Violation(
                f"1: nobody is told that {place.changes[-1].commit[:7]} has no effect for {model} in {environment}"
            )

    def _answered(self, said: Any) -> None:
        """Promise 4: answered once, finally, and not for someone who may not."""
        comments = [c for i in self.world.repository.repo.issues.values() for c in i.comments]
        comment = next(c for c in comments if c.id == said.comment)
        answers = [a for c in comments if c.author == BOT and (a := parse_answer(c.body)) and a.comment == said.comment]
        settled = Counter(a.lines[1].settled for a in answers)
        written = [c.created_at for c in comments if c.author == BOT and (a := parse_answer(c.body)) and a in answers]
        if written and min(written) - said.at > timedelta(hours=1, minutes=10) and settled.keys() - {Settled.REFUSED}:
            raise Violation(f"4: “{said.line}” by {said.who} was carried out long after it was said")
        if not self.world.overlap and any(count > 1 for count in settled.values()):
            raise Violation(f"6: “{said.line}” by {said.who} was answered {dict(settled)}")
        reactions = {r.content for r in comment.reactions if r.login == BOT}
        if not may_write(said.who) and settled.keys() - {Settled.REFUSED} and "/hold" in said.line:
            raise Violation(f"4: “{said.line}” by {said.who}, who may not, was carried out")
        if said.taken_back or self.world.now - said.at > timedelta(days=3):
            return  # the service was away for days: nobody waits for an answer any more
        if not answers:
            raise Violation(f"4: “{said.line}” by {said.who} under #{said.issue} was never answered")
        if Settled.WAITING not in settled and not reactions & {"rocket", "confused"}:
            raise Violation(f"4: “{said.line}” by {said.who} has an answer and no reaction but {reactions}")

    def _nothing_forgotten(self) -> None:
        """Promise 5: a version that its policy accepts is live, proposed, superseded, refused by a person, or held."""
        for model in self.world.mlflow.models.values():
            good = [
                v.number
                for v in model.versions.values()
                if v.status is RunStatus.FINISHED and v.metrics["accuracy"] >= self._floor("staging")
            ]
            if not good:
                continue
            newest = max(good)
            place = self.oracle.place(model.name, "staging")
            was_live = [e.version for e in place.took_effect if e]
            known = [
                p
                for p in self.world.repository.pulls("all")
                if p.head_ref.startswith(f"promotion/staging/{model.name}-v")
            ]
            versions = {int(p.head_ref.rpartition("-v")[2]): p for p in known}
            if (
                newest <= max([*was_live, *versions, 0])
                or self._is_held(model.name, "staging")
                or self._asked(model.name, "staging")
            ):
                continue  # and what is older than a proposal was passed over
            raise Violation(f"5: {model.name} v{newest} is good, and forgotten: {versions} {was_live}")

    def _floor(self, environment: str) -> float:
        text = self.world.repository.file(f"policies/{environment}.yaml") or ""
        return float(
            next(c["metric"]["at_least"] for c in yaml.load(text, yaml.CSafeLoader)["checks"] if "metric" in c)
        )

    def _is_held(self, model: str, environment: str) -> bool:
        tags = self.world.mlflow.models[model].tags
        labelled = any("hold" in p.labels for p in self.world.repository.pulls())
        return f"promotion.{environment}.hold" in tags or labelled

    def _asked(self, model: str, environment: str) -> bool:
        """Whether somebody asked for another version here, beside which older ones are no candidates."""
        return any(s.line.startswith(("/promote", "/rollback")) and model in s.line for s in self.people.said)

    def _nothing_twice(self) -> None:
        """Promise 6: releases, issues and standing comments once each."""
        repo = self.world.repository.repo
        released = Counter(r["tag_name"] for r in repo.releases)
        markers = Counter(i.body.splitlines()[0] for i in self.world.repository.issues() if i.author == BOT and i.body)
        standing = Counter(
            (number, "status")
            for number, issue in repo.issues.items()
            for c in issue.comments
            if c.author == BOT and not parse_answer(c.body)
        )
        for counted in (released, markers, standing):
            for what, count in counted.items():
                if count > 1 and not self.world.overlap:
                    raise Violation(f"6: {what} is there {count} times")
