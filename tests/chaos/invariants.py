"""The promises of docs/reliability.md about how things end, seen from outside the bot; each says what is broken."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from bot.domain.instructions import Answer, Settled, parse_answer
from bot.gateways.github.api import time_of
from tests.chaos.found import Found
from tests.simulation.company import ENVIRONMENTS, FLOOR
from tests.simulation.oracle import BOT, Verdict, may_write

# After the queue was lost two workers may be at one key: until the older one's effect that was under way has ended.
_OVERLAP: Final = timedelta(seconds=30)


def registry_follows_the_manifest(found: Found) -> Iterator[str]:
    """1: the last authorised entry is live; what is live nowhere has no alias and no stage; a refusal is said."""
    for name, model in sorted(found.mlflow.models.items()):
        live = {e: found.oracle.place(name, e).live for e in ENVIRONMENTS}
        for environment, (_stage, alias) in ENVIRONMENTS.items():
            entry = live[environment]
            wanted = entry.version if entry else None
            if model.aliases.get(alias) != wanted:
                yield f"{name}: alias {alias} is at {model.aliases.get(alias)}, authorised is {wanted}"
            yield from _refusal_is_said(found, name, environment)
            yield from _stage_follows(found, name, environment)


def _stage_follows(found: Found, model: str, environment: str) -> Iterator[str]:
    """Staging does not ask for those that were live there to leave its stage; production has what is live alone."""
    stage, place = ENVIRONMENTS[environment][0], found.oracle.place(model, environment)
    in_production = found.oracle.place(model, "production").live
    wanted = {place.live.version} if place.live else set()
    if environment == "staging":
        wanted -= {in_production.version} if in_production else set()
    may_stay = {e.version for e in place.took_effect if e} if environment == "staging" else set()
    holders = {n for n, version in found.mlflow.models[model].versions.items() if version.stage == stage}
    if not wanted <= holders <= wanted | may_stay:
        yield f"{model}: in stage {stage} are {holders or 'none'}, authorised is {wanted or 'none'}"


def _refusal_is_said(found: Found, model: str, environment: str) -> Iterator[str]:
    changes = found.oracle.place(model, environment).changes
    if changes and changes[-1].verdict is Verdict.REFUSED:
        said = [i.title + i.body for i in found.repository.issues() if i.author == BOT]
        if not any(model in text and environment in text for text in said):
            yield f"nobody is told that {changes[-1].commit[:7]} has no effect for {model} in {environment}"


def one_open_proposal(found: Found) -> Iterator[str]:
    """2: for each model and environment."""
    opened = [p.head_ref.rpartition("-v")[0] for p in found.repository.pulls() if p.author == BOT]
    for place, count in Counter(opened).items():
        if count > 1:
            yield f"{count} proposals are open for {place}"


def what_is_live_was_authorised(found: Found) -> Iterator[str]:
    """3: the bot's judgement of each change of the manifest is the one that its history and reviews ask for."""
    ruled: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for row in found.repository.deployments():
        if "ruling" in row["payload"]:
            ruled[row["payload"]["model"], row["environment"], row["sha"]].add(row["payload"]["ruling"])
    for (model, environment), place in found.oracle.places.items():
        for change in place.changes:
            said = ruled.pop((model, environment, change.commit), set())
            if change.verdict is Verdict.UNDECIDED:
                yield f"the chaos left {model} in {environment} undecided: {change}"
            elif said != {change.verdict.value}:
                yield f"{change.commit[:7]} is {change.verdict} for {model} in {environment}; the bot ruled {said}"
    for key, said in ruled.items():
        yield f"the bot ruled {said} over {key}, which changed nothing"


def every_command_is_answered_once(found: Found) -> Iterator[str]:
    """4: with one final reaction, and not carried out for someone who may not."""
    comments = {comment.id: comment for comment in found.comments()}
    answers = _answers(found)
    for said in found.said:
        what = f"“{said.line}” by {said.who} under #{said.issue}"
        settled = {answer.lines[1].settled for answer, _ in answers.get(said.comment, ())}
        reactions = [r.content for r in comments[said.comment].reactions if r.login == BOT]
        final = [content for content in reactions if content in ("rocket", "confused")]
        if not settled:
            yield f"{what} was never answered"
        elif Settled.WAITING not in settled and len(final) != 1:
            yield f"{what} has the reactions {reactions}"
        if not may_write(said.who) and not said.line.startswith("/status") and settled - {Settled.REFUSED}:
            yield f"{what}, who may not, was carried out"
    for comment in answers.keys() - {said.comment for said in found.said}:
        yield f"the bot answers {comment}, which is no command"


def nothing_is_forgotten(found: Found) -> Iterator[str]:
    """5: a version that its policy accepts is proposed, live, passed over for a newer one, refused, or held."""
    for name, model in sorted(found.mlflow.models.items()):
        good = [v.number for v in model.versions.values() if v.metrics["accuracy"] >= FLOOR]
        in_staging = found.oracle.place(name, "staging").live
        candidates = {
            "staging": max(good, default=0),
            "production": in_staging.version if in_staging and in_staging.version in good else 0,
        }
        for environment, candidate in candidates.items():
            if candidate > _newest_known(found, name, environment) and not _is_held(found, name, environment):
                yield f"{name} v{candidate} is good and forgotten in {environment}"


def _newest_known(found: Found, model: str, environment: str) -> int:
    branch = f"promotion/{environment}/{model}-v"
    proposed = [p.head_ref for p in found.repository.pulls("all") if p.head_ref.startswith(branch)]
    was_live = [entry.version for entry in found.oracle.place(model, environment).took_effect if entry]
    return max([*was_live, *(int(ref.removeprefix(branch)) for ref in proposed)], default=0)


def _is_held(found: Found, model: str, environment: str) -> bool:
    """Held, or asked for another version, beside which older ones are no candidates."""
    return f"promotion.{environment}.hold" in found.mlflow.models[model].tags or any(
        said.line.startswith(f"/promote {model}") and environment in said.line for said in found.said
    )


def nothing_is_there_twice(found: Found) -> Iterator[str]:
    """6: releases, tags, judgements, answers, issues and standing comments follow from what happened alone."""
    released = Counter(row["tag_name"] for row in found.repository.releases())
    wanted = Counter(
        f"model-{model}-v{version}"
        for (model, environment), place in found.oracle.places.items()
        if environment == "production"
        for version in {entry.version for entry in place.took_effect if entry}
    )
    if released != wanted:
        yield f"releases: too many {dict(released - wanted)}, missing {dict(wanted - released)}"
    if set(found.repository.tags()) != set(wanted):
        yield f"git tags: {set(found.repository.tags()) ^ set(wanted)}"
    issues = Counter(i.body.splitlines()[0] for i in found.repository.issues() if i.author == BOT and i.body)
    for marker, count in issues.items():
        if count > 1:
            yield f"{count} open issues say the same: {marker}"
    yield from (twin for twin, times in _twins(found) if not _has_overlap(found, times))


def explained_twins(found: Found) -> list[str]:
    """What is there twice because the queue was lost at that moment: promised is only what the lock is held for."""
    return [twin for twin, times in _twins(found) if _has_overlap(found, times)]


def _twins(found: Found) -> Iterator[tuple[str, list[datetime]]]:
    """Judgements, answers and standing comments that are there more than once, and when each was made."""
    made: dict[str, list[datetime]] = defaultdict(list)
    for row in found.repository.deployments():
        if "ruling" in row["payload"]:
            judged = f"{row['payload']['model']} in {row['environment']} at {row['sha'][:7]}"
            made[f"the judgement of {judged}"].append(time_of(row["created_at"]))
    for comment, answers in _answers(found).items():
        for answer, at in answers:
            made[f"the answer to {comment} ({answer.lines[1].settled})"].append(at)
    for number, issue in found.repository.repo.issues.items():
        for comment in issue.comments:
            if comment.author == BOT and parse_answer(comment.body) is None:
                made[f"the standing comment of #{number}"].append(comment.created_at)
    return ((f"{what} is there {len(times)} times", times) for what, times in made.items() if len(times) > 1)


def _has_overlap(found: Found, times: Iterable[datetime]) -> bool:
    ordered = sorted(times)
    return any(lost - _OVERLAP <= ordered[0] and ordered[-1] <= lost + _OVERLAP for lost in found.lost_the_queue)


def _answers(found: Found) -> Mapping[int, list[tuple[Answer, datetime]]]:
    """The bot's answers by the comment that they answer."""
    answers: dict[int, list[tuple[Answer, datetime]]] = defaultdict(list)
    for comment in found.of_the_bot():
        if answer := parse_answer(comment.body):
            answers[answer.comment].append((answer, comment.created_at))
    return answers


INVARIANTS: Final[tuple[Callable[[Found], Iterator[str]], ...]] = (
    registry_follows_the_manifest,
    one_open_proposal,
    what_is_live_was_authorised,
    every_command_is_answered_once,
    nothing_is_forgotten,
    nothing_is_there_twice,
)


def broken(found: Found) -> list[str]:
    """What of all this is not so, with the invariant's number and name."""
    return [
        f"{number} {invariant.__name__}: {what}"
        for number, invariant in enumerate(INVARIANTS, 1)
        for what in invariant(found)
    ]


def came_out(found: Found) -> dict[str, Any]:
    """Figures of the end."""
    pulls = [p for p in found.repository.pulls("all") if p.author == BOT]
    versions = [version for model in found.mlflow.models.values() for version in model.versions.values()]
    rulings = Counter(r["payload"]["ruling"] for r in found.repository.deployments() if "ruling" in r["payload"])
    return {
        "versions in MLflow": len(versions),
        "of them accepted by policy": sum(
            version.metrics["accuracy"] >= FLOOR
            for m in found.mlflow.models.values()
            for version in m.versions.values()
        ),
        "proposals": len(pulls),
        "merged": sum(p.merged for p in pulls),
        "open": sum(p.is_open for p in pulls),
        "changes authorised": rulings["authorised"],
        "changes refused": rulings["refused"],
        "releases": len(found.repository.releases()),
        "commands answered": len(_answers(found)),
        "twice because the queue was lost": len(explained_twins(found)),
    }
