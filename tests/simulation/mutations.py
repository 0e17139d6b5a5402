"""Deliberate mistakes: each makes the code break a promise, and the simulation has to notice.

A mistake is made before the product is imported, in a process of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.other_code import Change, change


@dataclass(frozen=True)
class Mutation:
    """A mistake in one module; `seed` is a schedule from which on it is noticed soon."""

    name: str
    module: str
    right: str
    wrong: str
    seed: int = 0

    @property
    def change(self) -> Change:
        """The mistake as a text in the place of another."""
        return Change(self.module, self.right, self.wrong)


MUTATIONS: Final = (
    Mutation(
        "effects do not ask whether the key is still this worker's",
        "workers.desk",
        "self.queue.still_mine(self.claimed)",
        "pass",
        seed=345,
    ),
    Mutation("approvals are not asked for", "bot.domain.authorisation", "if needed == 0:", "if needed >= 0:"),
    Mutation(
        "an old approval counts", "bot.domain.approvals", "review.commit != head:", "review.commit == 'never':", seed=40
    ),
    Mutation("the window is not looked at", "bot.domain.authorisation", "if freeze is None or", "if True or", seed=15),
    Mutation(
        "a failed check is no reason",
        "bot.domain.authorisation",
        "case Status.FAIL:",
        "case Status.FAIL if False:",
        seed=27,
    ),
    Mutation(
        "the digest is not compared",
        "bot.domain.authorisation",
        "if found.digest != entry.digest:",
        "if False:",
        seed=37,
    ),
    Mutation(
        "a comment is answered at every look",
        "workers.commands",
        "if any(line.number in answered for line in lines):",
        "if False:",
        seed=10,
    ),
    Mutation("who may not write, may", "workers.commands", "self._role < Role.WRITE", "False", seed=50),
    Mutation(
        "everybody may override",
        "workers.commands",
        "if self._comment.author not in (allowed or ()):",
        "if False:",
    ),
    Mutation(
        "a command is carried out a day late", "workers.commands", "timedelta(hours=1)", "timedelta(hours=90)", seed=95
    ),
    Mutation(
        "the sweep does not look for comments",
        "workers.jobs",
        "unanswered(now - _HEARD_FOR)",
        "unanswered(now + _HEARD_FOR)",
        seed=4,
    ),
    Mutation(
        "the sweep does not look at models",
        "workers.jobs",
        "if evaluations_needed(world, now) or any(not isinstance(a, RecordAdoption) for a in decide(world, now)):",
        "if False:",
        seed=6,
    ),
    Mutation(
        "an older proposal stays open",
        "bot.domain.proposals",
        "            if reason is not None:",
        "            if False:",
        seed=3,
    ),
    Mutation(
        "only the newest change of an entry is judged",
        "workers.observe",
        "self._change(state, unjudged[-1], is_last=len(unjudged) == 1)",
        "self._change(state, unjudged[0])",
        seed=8,
    ),
    Mutation("a hold holds nothing", "bot.domain.candidates", "state.hold or _waits", "_waits", seed=73),
    Mutation(
        "what was live before is proposed again",
        "bot.domain.candidates",
        "*(j.entry.version for j in state.authorised if j.entry),",
        "",
        seed=65,
    ),
    Mutation(
        "what a person refused is proposed again",
        "bot.domain.candidates",
        "*(p.version for p in state.proposals if p.was_closed_unmerged),",
        "",
        seed=9,
    ),
    Mutation(
        "the bot merges whatever the checks say",
        "bot.domain.proposals",
        "return green and approved and is_open and evaluation.verdict.status is Status.PASS",
        "return True",
        seed=330,
    ),
    Mutation(
        "a merge that was taken back at once is forgotten",
        "workers.observe",
        "owed = self._owed(state, place, judged)",
        "owed = ()",
        seed=15,
    ),
    Mutation(
        "drift is not looked for",
        "bot.domain.drift",
        "last is None or last.completed",
        "True or last.completed",
        seed=5,
    ),
    Mutation(
        "nothing is said of a change without effect",
        "bot.domain.merged",
        "yield from _announce_refusal(state, judgement)",
        "yield from ()",
    ),
    Mutation(
        "nothing is archived that production leaves",
        "bot.domain.merged",
        "for version in carrier.registered.versions:",
        "for version in ():",
        seed=23,
    ),
    Mutation(
        "a version has the stage of its first environment",
        "bot.domain.carriers",
        "for s in own if s.live",
        "for s in reversed([*own]) if s.live",
        seed=16,
    ),
    Mutation(
        "production is never proposed",
        "bot.domain.candidates",
        "if world.registered is None or state.hold or",
        "if world.registered is None or state.rules.name == 'production' or state.hold or",
    ),
    Mutation(
        "the alias of what was removed stays",
        "bot.domain.merged",
        "if entry is None and target.alias and target.alias in carrier.registered.aliases:",
        "if False:",
        seed=115,
    ),
    Mutation(
        "strangers may do all but hold",
        "workers.commands",
        "self._role < Role.WRITE",
        "self._role < Role.WRITE and spec.name == '/hold'",
        seed=13,
    ),
    Mutation(
        "what was pushed after the look is merged too",
        "bot.gateways.github.pulls",
        "sha=head, merge_method",
        "merge_method",
        seed=22,
    ),
    Mutation(
        "the answer comes before the reaction",
        "workers.commands",
        """        desk.still_mine()
        repository.comments.conclude(comment, reaction)
    desk.still_mine()
    repository.comments.say(key.issue, replies.reply(comment.id, said))
""",
        """        desk.still_mine()
        repository.comments.say(key.issue, replies.reply(comment.id, said))
        desk.still_mine()
        repository.comments.conclude(comment, reaction)
        return
    desk.still_mine()
    repository.comments.say(key.issue, replies.reply(comment.id, said))
""",
        seed=10,
    ),
    Mutation(
        "what the bot wrote is not known before GitHub lists it",
        "bot.gateways.github.deployments",
        'if not listed or not min(listed) <= row["id"] <= max(listed)',
        'if row["id"] < min(listed, default=0)',
        seed=82,
    ),
    Mutation(
        "a missing approval is judged while lists may lag",
        "bot.domain.merged",
        "_LAG = timedelta(seconds=3)",
        "_LAG = timedelta(seconds=0)",
        seed=82,
    ),
)


def make(name: str) -> None:
    """Make a mistake; before the product is imported."""
    change(next(m for m in MUTATIONS if m.name == name).change)
