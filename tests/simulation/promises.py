"""The promises of docs/reliability.md about how things end, seen from outside the bot; each says what is broken.

One implementation: the simulation and the chaos with real processes both end with it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final

import yaml

from bot.domain.instructions import Answer, Settled, parse_answer
from bot.gateways.github.api import time_of
from bot.sandbox.github import SandboxRepository
from bot.sandbox.github.state import Comment
from tests.simulation.company import ENVIRONMENTS
from tests.simulation.oracle import BOT, Change, Oracle, Verdict
from tests.simulation.registry import Mlflow, Model
from tests.simulation.said import Conversation, Said, may_write

_LATE: Final = timedelta(hours=1, minutes=10)  # a command is carried out within its hour, by clocks 5 minutes off
_NOBODY_WAITS: Final = timedelta(days=3)  # for an answer, where the service was away for so long
_SECOND: Final = timedelta(seconds=1)  # GitHub's times are whole ones


@dataclass
class End:
    """The world at rest, what people did, and what follows from both.

    `clicked` are the models and environments where somebody changed the registry by hand. After each of `overlaps` two
    workers could be at one key, and each finish one effect that was `under_way`.
    """

    repository: SandboxRepository
    mlflow: Mlflow
    oracle: Oracle
    said: Sequence[Said]
    now: datetime
    clicked: Collection[tuple[str, str]] = ()
    overlaps: Sequence[datetime] = ()
    under_way: timedelta = timedelta()

    @cached_property
    def comments(self) -> Mapping[int, Comment]:
        """Everything that was said anywhere, by its id."""
        return {comment.id: comment for issue in self.repository.repo.issues.values() for comment in issue.comments}

    @cached_property
    def answers(self) -> Mapping[int, list[tuple[Answer, datetime]]]:
        """The bot's answers by the comment that they answer, and when each was given."""
        answers: dict[int, list[tuple[Answer, datetime]]] = defaultdict(list)
        for comment in self.comments.values():
            if comment.author == BOT and (answer := parse_answer(comment.body)):
                answers[answer.comment].append((answer, comment.created_at))
        return dict(answers)

    @cached_property
    def conversation(self) -> Conversation:
        """What was said, with its answers."""
        answers = {comment: [answer for answer, _ in given] for comment, given in self.answers.items()}
        return Conversation(self.said, answers)

    @cached_property
    def rulings(self) -> Mapping[tuple[str, str], list[dict[str, Any]]]:
        """The bot's deployments that judge a change, by model and environment."""
        rows: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        for row in self.repository.deployments():
            if "ruling" in row["payload"]:
                rows[row["payload"]["model"], row["environment"]].append(row)
        return dict(rows)

    def floor(self, environment: str) -> float:
        """The accuracy that an environment's policy asks for now."""
        text = self.repository.file(f"policies/{environment}.yaml") or ""
        checks = yaml.load(text, yaml.CSafeLoader)["checks"]
        return float(next(check["metric"]["at_least"] for check in checks if "metric" in check))

    def may_be_twice(self, times: Iterable[datetime]) -> bool:
        """Whether what was made at these times may be there more than once: the key was two workers' just then."""
        ordered = sorted(times)
        return any(
            lost - _SECOND <= ordered[0] and ordered[-1] <= lost + self.under_way + _SECOND for lost in self.overlaps
        )


# --- 1 ----------------------------------------------------------------------------------------------------------------


def registry_follows_the_manifest(end: End) -> Iterator[str]:
    """The last authorised entry is live; what is live nowhere has no alias and no stage; a refusal is said."""
    for name, model in sorted(end.mlflow.models.items()):
        for environment in ENVIRONMENTS:
            yield from _refusal_is_said(end, name, environment)
            differs = [*_alias_follows(end, model, environment), *_stage_follows(end, model, environment)]
            if differs and (name, environment) in end.clicked:
                yield from _drift_is_said(end, name, environment, differs)
            else:
                yield from differs


def _alias_follows(end: End, model: Model, environment: str) -> Iterator[str]:
    alias, entry = ENVIRONMENTS[environment][1], end.oracle.place(model.name, environment).live
    wanted = entry.version if entry else None
    if model.aliases.get(alias) != wanted:
        yield f"{model.name}: alias {alias} is at {model.aliases.get(alias)}, authorised is {wanted}"


def _stage_follows(end: End, model: Model, environment: str) -> Iterator[str]:
    """Staging does not ask for those that were live there to leave its stage; production has what is live alone."""
    stage, place = ENVIRONMENTS[environment][0], end.oracle.place(model.name, environment)
    in_production = end.oracle.place(model.name, "production").live
    wanted = {place.live.version} if place.live else set()
    may_stay: set[int] = set()
    if environment == "staging":
        wanted -= {in_production.version} if in_production else set()
        known = [place]
        if (model.name, environment) in end.clicked:
            known.append(end.oracle.place(model.name, "production"))  # by hand, and nobody asks for it to leave
        may_stay = {entry.version for each in known for entry in each.took_effect if entry}
    holders = {number for number, version in model.versions.items() if version.stage == stage}
    if not wanted <= holders <= wanted | may_stay:
        yield f"{model.name}: in stage {stage} are {holders or 'none'}, authorised is {wanted or 'none'}"


def _drift_is_said(end: End, model: str, environment: str, differs: Sequence[str]) -> Iterator[str]:
    """What people clicked is reported, once the bot has put something live; before, the place is not the bot's."""
    ruled = {row["payload"]["ruling"] for row in end.rulings.get((model, environment), ())}
    if "authorised" not in ruled and not end.oracle.place(model, environment).adopted:
        return
    title = f"{model}: the registry differs from what is live in {environment}"
    if not any(issue.title == title for issue in end.repository.issues() if issue.author == BOT):
        yield f"{'; '.join(differs)}; somebody clicked, and nobody is told"


def _refusal_is_said(end: End, model: str, environment: str) -> Iterator[str]:
    changes = end.oracle.place(model, environment).changes
    if changes and changes[-1].verdict is Verdict.REFUSED:
        said = [issue.title + issue.body for issue in end.repository.issues() if issue.author == BOT]
        if not any(model in text and environment in text for text in said):
            yield f"nobody is told that {changes[-1].commit[:7]} has no effect for {model} in {environment}"


# --- 2 and 3 ----------------------------------------------------------------------------------------------------------


def one_open_proposal(end: End) -> Iterator[str]:
    """For each model and environment."""
    opened = [p.head_ref.rpartition("-v")[0] for p in end.repository.pulls() if p.author == BOT]
    for place, count in Counter(opened).items():
        if count > 1:
            yield f"{count} proposals are open for {place}"


def what_is_live_was_authorised(end: End) -> Iterator[str]:
    """The bot's judgement of each change of the manifest is the one that its history and reviews ask for."""
    ruled = {key: defaultdict(set) for key in end.rulings}
    for key, rows in end.rulings.items():
        for row in rows:
            ruled[key][row["sha"]].add(row["payload"]["ruling"])
    for (model, environment), place in end.oracle.places.items():
        rulings = ruled.get((model, environment), {})
        for change in place.changes:
            said = {word for commit in change.commits for word in rulings.pop(commit, ())}
            if change.verdict is Verdict.UNDECIDED:
                yield f"{model} in {environment} was left undecided: {change}"
            elif said != {change.verdict.value} and not _may_be_ruled(end, change, said):
                yield f"{change.commit[:7]} is {change.verdict} for {model} in {environment}; the bot ruled {said}"
    for key, rest in ruled.items():
        for commit, said in rest.items():
            yield f"the bot ruled {said} over {commit[:7]} for {key}, which changed nothing"


def _may_be_ruled(end: End, change: Change, said: Collection[str]) -> bool:
    """Whether the rulings differ from the verdict for a reason.

    What was overridden afterwards was refused first. What people changed and took back before anybody looked is not
    judged: the last word counts, which promise 1 compares with the registry; only the bot's own proposals always are.
    """
    if change.verdict is Verdict.AUTHORISED and change.was_refused and said == {"refused", "authorised"}:
        return True
    own = change.pull is not None and end.repository.pull(change.pull).author == BOT
    return not said and (change.changed_nothing or not own)


# --- 4 ----------------------------------------------------------------------------------------------------------------


def every_command_is_answered_once(end: End) -> Iterator[str]:
    """With one final reaction, in time, and not carried out for someone who may not."""
    for said in end.said:
        what, settled = f"“{said.line}” by {said.who} under #{said.issue}", end.conversation.settled(said)
        if not may_write(said.who) and not said.only_reads and settled - {Settled.REFUSED}:
            yield f"{what}, who may not, was carried out"
        first = min((at for _, at in end.answers.get(said.comment, ())), default=said.at)
        if first - said.at > _LATE and settled - {Settled.REFUSED}:
            yield f"{what} was carried out long after it was said"
        if said.taken_back or end.now - said.at > _NOBODY_WAITS:
            continue
        reactions = [r.content for r in end.comments[said.comment].reactions if r.login == BOT]
        final = [content for content in reactions if content in ("rocket", "confused")]
        if not settled:
            yield f"{what} was never answered"
        elif Settled.WAITING not in settled and len(final) != 1:
            yield f"{what} has the reactions {reactions}"
    for comment in end.answers.keys() - {said.comment for said in end.said}:
        yield f"the bot answers {comment}, which is no command"


# --- 5 ----------------------------------------------------------------------------------------------------------------


def nothing_is_forgotten(end: End) -> Iterator[str]:
    """A version that its policy accepts is proposed, live, passed over for a newer one, refused, or held."""
    for name, model in sorted(end.mlflow.models.items()):
        for environment in ENVIRONMENTS:
            candidate = _candidate(end, model, environment)
            if candidate <= _newest_known(end, name, environment) or end.conversation.waits(name, environment):
                continue
            if not _is_held(end, name, environment):
                yield f"{name} v{candidate} is good and forgotten in {environment}"


def _candidate(end: End, model: Model, environment: str) -> int:
    """The newest version that should be proposed, if it was not; 0 where there is none."""
    in_staging = end.oracle.place(model.name, "staging").live
    named = set(model.versions) if environment == "staging" else {in_staging.version} if in_staging else set()
    asked, desired = end.conversation.asked_at(model.name, environment), end.oracle.desired(model.name, environment)
    good = (
        number
        for number, version in model.versions.items()
        if number in named and version.metrics["accuracy"] >= end.floor(environment)
        if asked is None or version.created_at > asked
    )
    newest = max(good, default=0)
    # What stands in the manifest without effect is not proposed beside it: an issue says what it lacks.
    return 0 if desired is not None and desired.version == newest else newest


def _newest_known(end: End, model: str, environment: str) -> int:
    branch = f"promotion/{environment}/{model}-v"
    proposed = [p.head_ref for p in end.repository.pulls("all") if p.head_ref.startswith(branch) and p.author == BOT]
    was_live = [entry.version for entry in end.oracle.place(model, environment).took_effect if entry]
    return max([*was_live, *(int(ref.removeprefix(branch)) for ref in proposed)], default=0)


def _is_held(end: End, model: str, environment: str) -> bool:
    """Held by a word, by the label on an open proposal, or because what is live was gone back to."""
    branch = f"promotion/{environment}/{model}-v"
    if any("hold" in p.labels for p in end.repository.pulls() if p.head_ref.startswith(branch)):
        return True
    effective = [c for c in end.oracle.place(model, environment).changes if c.took_effect]
    went_back_at = None
    if effective and effective[-1].went_back:
        judged = [r for r in end.rulings.get((model, environment), ()) if r["sha"] in effective[-1].commits]
        went_back_at = max((time_of(row["created_at"]) for row in judged), default=effective[-1].at)
    return end.conversation.is_held(model, environment, went_back_at)


# --- 6 ----------------------------------------------------------------------------------------------------------------


def nothing_is_there_twice(end: End) -> Iterator[str]:
    """Releases, tags, judgements, answers, issues and standing comments follow from what happened alone."""
    released = Counter(row["tag_name"] for row in end.repository.releases())
    owed, allowed = _releases(end)
    for tag, count in released.items():
        if count > 1 or tag not in allowed:
            yield f"the release {tag} is there {count} times, allowed are {sorted(allowed)}"
    if missing := owed - released.keys():
        yield f"there are no releases for {sorted(missing)}"
    tags = set(end.repository.tags())
    if not owed <= tags <= allowed:
        yield f"the git tags are {sorted(tags)}, owed {sorted(owed)}, allowed {sorted(allowed)}"
    yield from (twin for twin, times in _twins(end) if not end.may_be_twice(times))


def _releases(end: End) -> tuple[set[str], set[str]]:
    """The tags of what has to be released, and of what may be: what was overtaken at once was never carried out."""
    owed, allowed = set(), set()
    for (model, environment), place in end.oracle.places.items():
        if environment != "production":
            continue
        adopted = {place.adopted.version} if place.adopted else set()
        done = {
            row["payload"]["version"]
            for row in end.rulings.get((model, environment), ())
            if row["payload"]["ruling"] == "authorised" and any(s["state"] == "success" for s in row["statuses"])
        }
        live = {place.live.version} if place.live else set()
        owed |= {f"model-{model}-v{version}" for version in (done | live) - adopted - {None}}
        allowed |= {f"model-{model}-v{entry.version}" for entry in place.took_effect if entry}
    return owed, allowed


def explained_twins(end: End) -> list[str]:
    """What is there twice because the key was two workers' at that moment."""
    return [twin for twin, times in _twins(end) if end.may_be_twice(times)]


def _twins(end: End) -> Iterator[tuple[str, list[datetime]]]:
    """Judgements, answers, issues and standing comments that are there more than once, and when each was made."""
    made: dict[str, list[datetime]] = defaultdict(list)
    for (model, environment), rows in end.rulings.items():
        for row in rows:
            judged = f"{model} in {environment} at {row['sha'][:7]}: {row['payload']['ruling']}"
            made[f"the judgement of {judged}"].append(time_of(row["created_at"]))
    for comment, answers in end.answers.items():
        for answer, at in answers:
            made[f"the answer to {comment} ({answer.lines[1].settled})"].append(at)
    for number, issue in end.repository.repo.issues.items():
        for comment in issue.comments:
            if comment.author == BOT and parse_answer(comment.body) is None:
                made[f"the standing comment of #{number}"].append(comment.created_at)
    for issue in end.repository.issues():
        if issue.author == BOT and issue.body:
            made[f"the open issue {issue.body.splitlines()[0]}"].append(issue.created_at)
    return ((f"{what} is there {len(times)} times", times) for what, times in made.items() if len(times) > 1)


PROMISES: Final[tuple[Callable[[End], Iterator[str]], ...]] = (
    registry_follows_the_manifest,
    one_open_proposal,
    what_is_live_was_authorised,
    every_command_is_answered_once,
    nothing_is_forgotten,
    nothing_is_there_twice,
)


def broken(end: End) -> Iterator[str]:
    """What of all this is not so, with the promise's number and name."""
    for number, promise in enumerate(PROMISES, 1):
        for what in promise(end):
            yield f"{number}: {promise.__name__.replace('_', ' ')}: {what}"
