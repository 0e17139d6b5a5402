"""One schedule: what happens in which order, drawn from a seed; run, checked, and made short where it fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Final

from policies.evidence import RunStatus
from tests.simulation.invariants import Watch
from tests.simulation.machinery import MACHINERY, TO_THE_END
from tests.simulation.oracle import Oracle
from tests.simulation.people import DEEDS, People
from tests.simulation.world import Violation, Worker, World

STEPS: Final = (15, 45)
_ROUNDS: Final = 12  # of a sweep each, until everything must be at rest
_MOST_LOOKS: Final = 400  # in one round

# How often each thing happens, beside the others.
DEED_WEIGHTS: Final = {
    "register": 12,
    "finish_run": 3,
    "forge_tag": 2,
    "delete_tags": 1,
    "click": 2,
    "approve": 5,
    "request_changes": 1,
    "merge": 3,
    "approve_and_merge": 9,
    "close": 2,
    "label_hold": 1,
    "push_to_branch": 3,
    "push_after_approval": 2,
    "merge_and_take_back": 3,
    "revert": 4,
    "push_entry": 4,
    "propose_entry": 2,
    "edit_policy": 2,
    "command": 6,
    "override": 3,
    "edit_comment": 1,
}
MACHINE_WEIGHTS: Final = {
    "work": 60,
    "a_few_calls": 20,
    "to_an_effect": 6,
    "kill_between_effects": 8,
    "kill_worker": 3,
    "kill_host": 3,
    "freeze": 2,
    "no_answer": 5,
    "long_outage": 2,
    "lost_answer": 5,
    "rate_limit": 2,
    "stale_reads": 5,
    "push_before_merge": 3,
    "busy_second": 4,
    "deliver": 30,
    "lose_event": 6,
    "repeat_event": 4,
    "sweep": 6,
    "calm": 8,
    "wipe_redis": 2,
    "disaster": 4,
    "seconds": 10,
    "minutes": 8,
    "hours": 2,
    "skew": 2,
}


@dataclass(frozen=True)
class Step:
    """One thing that happens; `number` decides whatever is left open, so that a step means the same when others go."""

    what: str
    number: int


def plan(seed: int) -> tuple[Step, ...]:
    """The steps of a seed. Each seed has things that happen often and things that never do: so more comes together."""
    random = Random(seed)
    weights = {
        name: weight * random.choice((0, 1, 1, 3)) for name, weight in {**DEED_WEIGHTS, **MACHINE_WEIGHTS}.items()
    }
    weights["work"] += 20
    weights["calm"] += 6
    names = random.choices(list(weights), list(weights.values()), k=random.randint(*STEPS))
    return tuple(Step(name, random.getrandbits(32)) for name in ("register", *names))


@dataclass
class Outcome:
    """How a schedule ended: the story, and what was not kept, if anything."""

    story: list[str] = field(default_factory=list)
    violation: str = ""
    looks: int = 0
    effects: int = 0


class Schedule:
    """Runs steps in a world of their own."""

    def __init__(self, seed: int) -> None:
        self.world = World(seed)
        self.people = People(self.world)
        self.watch = Watch(self.world, self.people, Oracle(self.world))
        self.world.watch = self.watch.after_effect
        self.people.changed = self.watch.after_deed
        self.outcome = Outcome()

    def run(self, steps: Sequence[Step]) -> Outcome:
        """Let everything happen, then let everything come to rest; the first broken promise ends it."""
        try:
            for step in steps:
                self._step(step)
            self._come_to_rest()
            self.watch.at_rest()
            self._quiet_writes_nothing()
        except Violation as violation:
            self.outcome.violation = str(violation)
        finally:
            self.world.close()
        self.outcome.effects = len(self.watch.writes)
        return self.outcome

    def _step(self, step: Step) -> None:
        if step.what in DEEDS:
            told = self.people.do(step.what, step.number)
            self.watch.after_deed()
        else:
            told = MACHINERY[step.what](self, Random(step.number))
        if told:
            self._tell(told)
        self.world.collect_events()
        if self.world.broken is not None:
            raise self.world.broken

    def _tell(self, text: str) -> None:
        self.outcome.story.append(f"{self.world.now:%a %H:%M:%S}  {text}")

    # --- the end ----------------------------------------------------------------------------------------------------

    def _come_to_rest(self) -> None:
        """Nothing fails any more; what was under way ends, and sweeps find the rest."""
        world = self.world
        world.stale, world.lagging, world.bot_skew = 0, 0.0, timedelta()
        for model in world.mlflow.models.values():
            for version in model.versions.values():
                version.status = RunStatus.FINISHED
        self.watch.after_deed()
        self._tell("nothing fails any more; sweeps follow")
        for worker in world.workers:
            worker.faults.clear()
            self.finish(worker)
        for round_ in range(_ROUNDS):
            before = len(self.watch.writes)
            world.hints.clear()
            world.sweep()
            self.drain()
            if round_ > 1 and len(self.watch.writes) == before and not self._is_due_soon():
                return
            world.pass_time(timedelta(minutes=6))
        raise Violation(f"it does not come to rest: {self.watch.writes[-5:]}")

    def _is_due_soon(self) -> bool:
        soon = self.world.now.timestamp() + 900
        return any(due <= soon and "repository" not in key for key, due in self.world.stored.inbox.items())

    def _quiet_writes_nothing(self) -> None:
        before = len(self.watch.writes)
        self.world.sweep()
        self.drain()
        if len(self.watch.writes) > before:
            raise Violation(f"6: a sweep with nothing to do writes {self.watch.writes[before:][:3]}")

    def drain(self) -> None:
        """Do everything that is due."""
        for _ in range(_MOST_LOOKS):
            worker = self.world.workers[0]
            if not self.world.take(worker):
                return
            self.finish(worker)
        raise Violation(f"it looks for ever: {list(self.world.stored.inbox)[:5]}")

    def finish(self, worker: Worker) -> None:
        """Let a worker end what it is at."""
        self.world.go_on(worker, TO_THE_END)
        self.outcome.looks += 1
        self.world.collect_events()
        if self.world.broken is not None:
            raise self.world.broken


def run(seed: int) -> Outcome:
    """Run the schedule of a seed."""
    return Schedule(seed).run(plan(seed))


def shortest(seed: int) -> tuple[tuple[Step, ...], Outcome]:
    """The fewest steps of a failing schedule that still break a promise of the same number, by leaving steps out."""
    steps = plan(seed)
    outcome = Schedule(seed).run(steps)
    promise = outcome.violation[:2]
    size = len(steps) // 2
    while size >= 1:
        start = 0
        while start < len(steps):
            fewer = steps[:start] + steps[start + size :]
            tried = Schedule(seed).run(fewer)
            if tried.violation[:2] == promise:
                steps, outcome = fewer, tried
            else:
                start += size
        size //= 2
    return steps, outcome
