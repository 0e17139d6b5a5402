"""What happens to the machinery: workers work, stop, die, are misled; events, time and Redis come and go."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Final

from bot.domain.keys import CommentKey, Key, ModelKey, PullRequestKey
from policies.evidence import RunStatus
from tests.simulation.company import MODELS, REPOSITORY
from tests.simulation.world import Fault, Worker

if TYPE_CHECKING:
    from tests.simulation.schedule import Schedule

TO_THE_END: Final = 10**9  # calls
_LOOKS_TO_A_MERGE: Final = 6  # at most
_LOOKS_IN_A_SECOND: Final = 4
_LAGGING_NOW: Final = 0.5
_KINDS: Final = (CommentKey, CommentKey, ModelKey, PullRequestKey)
_ALL_MODELS: Final = tuple(ModelKey(REPOSITORY, model) for model in MODELS)
_IN_A_SECOND: Final = ("approve_and_merge", "approve_and_merge", "merge_and_take_back", "revert", "close", "command")


def _work(schedule: Schedule, random: Random) -> str:
    worker = _worker(schedule, random)
    if worker.is_idle and not schedule.world.take(worker):
        return ""
    key = worker.job.key if worker.job else ""
    schedule.world.go_on(worker, TO_THE_END)
    schedule.outcome.looks += 1
    return f"{worker.name} looks at {key} to the end"


def _a_few_calls(schedule: Schedule, random: Random) -> str:
    worker = _worker(schedule, random)
    if worker.is_idle and not schedule.world.take(worker):
        return ""
    key, calls = worker.job.key if worker.job else "", random.choice((1, 3, 8, 15, 25, 40))
    schedule.world.go_on(worker, calls)
    stands = "has ended" if worker.is_idle else f"stands before {worker.stands_at}"
    return f"{worker.name} makes {calls} calls for {key} and {stands}"


def _to_an_effect(schedule: Schedule, random: Random) -> str:
    """Go on until the worker stands before one of its next effects."""
    worker = _worker(schedule, random)
    if random.random() < 0.5:
        _deliver_all(schedule)
    if worker.is_idle and not schedule.world.take(worker, random.choice(_KINDS)):
        return ""
    key, effects = worker.job.key if worker.job else "", random.choice((0, 1, 1, 2, 2, 3, 5, 8))
    counted = itertools.count()
    schedule.world.go_on(worker, TO_THE_END, lambda _effect: next(counted) >= effects)
    stands = "has ended" if worker.is_idle else f"stands before {worker.stands_at}"
    return f"{worker.name} has {effects} effects for {key} and {stands}"


def _kill_between_effects(schedule: Schedule, random: Random) -> str:
    told = _to_an_effect(schedule, random)
    killed = [worker for worker in schedule.world.workers if not worker.is_idle]
    for worker in killed:
        schedule.world.kill(worker, seen=random.random() < 0.7)
    return told + (", and is killed" if killed else "")


def _push_before_merge(schedule: Schedule, random: Random) -> str:
    """Somebody pushes to a proposal after the bot has looked at it, and before it merges."""
    world, worker = schedule.world, _worker(schedule, random)
    world.queue.request(*_ALL_MODELS)
    for _ in range(_LOOKS_TO_A_MERGE):
        if worker.is_idle and not world.take(worker):
            return ""
        world.go_on(worker, TO_THE_END, lambda effect: effect.endswith("/merge"))
        _deliver_all(schedule)
        if not worker.is_idle:
            break
    if worker.is_idle:
        return ""
    number, stands_at = int(worker.stands_at.split("/")[-2]), worker.stands_at
    told = schedule.people.push_to(world.repository.pull(number), random)
    schedule.watch.after_deed()
    world.go_on(worker, TO_THE_END if random.random() < 0.7 else 0)
    return f"{worker.name} stands before {stands_at}; {told}"


def _busy_second(schedule: Schedule, random: Random) -> str:
    """In one second everything is looked at, somebody does something, and it is looked at in replicas that lag."""
    world, worker, lagging = schedule.world, _worker(schedule, random), schedule.world.lagging
    pulls = (PullRequestKey(REPOSITORY, pull.number) for pull in world.repository.pulls())
    schedule.finish(worker)
    _look_at(schedule, worker, *pulls)
    done = schedule.people.do(random.choice(_IN_A_SECOND), random.getrandbits(32))
    schedule.watch.after_deed()
    if not done:
        return ""
    world.lagging = _LAGGING_NOW
    for _ in range(2):
        _look_at(schedule, worker, *_ALL_MODELS)
    world.lagging = lagging
    return f"in one second: all is looked at, {done}, and it is looked at in replicas that lag"


def _look_at(schedule: Schedule, worker: Worker, *keys: Key) -> None:
    """Look at these, and at what is due before them."""
    world = schedule.world
    world.queue.request(*keys)
    _deliver_all(schedule)
    for _ in range(_LOOKS_IN_A_SECOND):
        if not world.take(worker, type(keys[0]) if keys else None):
            return
        schedule.finish(worker)


def _deliver_all(schedule: Schedule) -> None:
    """Every event arrives, in its order."""
    schedule.world.collect_events()
    for named in schedule.world.hints:
        schedule.world.queue.request(*named)
    schedule.world.hints.clear()


def _kill_worker(schedule: Schedule, random: Random) -> str:
    return _kill(schedule, random, seen=True)


def _kill_host(schedule: Schedule, random: Random) -> str:
    return _kill(schedule, random, seen=False)


def _kill(schedule: Schedule, random: Random, *, seen: bool) -> str:
    worker = _worker(schedule, random)
    if worker.is_idle:
        return ""
    schedule.world.kill(worker, seen=seen)
    return f"{worker.name} is killed before {worker.stands_at}" + ("" if seen else ", with its host")


def _freeze(schedule: Schedule, random: Random) -> str:
    worker = _worker(schedule, random)
    if worker.is_idle:
        return ""
    worker.frozen = True
    schedule.world.pass_time(timedelta(seconds=45))
    schedule.world.overlap = True
    return f"{worker.name} stands still for 45 s before {worker.stands_at}; its lease ends"


def _no_answer(schedule: Schedule, random: Random) -> str:
    return _fault(schedule, random, Fault(random.randrange(30), lost_answer=False))


def _long_outage(schedule: Schedule, random: Random) -> str:
    return _fault(schedule, random, Fault(random.randrange(30), lost_answer=False, times=100))


def _lost_answer(schedule: Schedule, random: Random) -> str:
    return _fault(schedule, random, Fault(random.randrange(30), lost_answer=True))


def _rate_limit(schedule: Schedule, random: Random) -> str:
    return _fault(schedule, random, Fault(random.randrange(30), lost_answer=False, retry_after=60.0))


def _fault(schedule: Schedule, random: Random, fault: Fault) -> str:
    worker = _worker(schedule, random)
    worker.faults.append(fault)
    kind = "takes effect, and its answer is lost" if fault.lost_answer else "gets no answer"
    return f"after {fault.after_calls} more calls one of {worker.name} {kind}" + (
        " for long" if fault.times > 1 else ""
    )


def _stale_reads(schedule: Schedule, random: Random) -> str:
    schedule.world.stale = random.choice((3, 10, 30))
    return f"GitHub answers {schedule.world.stale} reads as it did a moment ago"


def _deliver(schedule: Schedule, random: Random) -> str:
    hints = schedule.world.hints
    if not hints:
        return ""
    named = hints.pop(random.randrange(len(hints)))
    schedule.world.queue.request(*named)
    return "an event arrives: " + ", ".join(map(str, named))


def _lose_event(schedule: Schedule, random: Random) -> str:
    if not schedule.world.hints:
        return ""
    lost = schedule.world.hints.pop(random.randrange(len(schedule.world.hints)))
    return "an event is lost: " + ", ".join(map(str, lost))


def _repeat_event(schedule: Schedule, random: Random) -> str:
    if not schedule.world.hints:
        return ""
    schedule.world.hints.append(random.choice(schedule.world.hints))
    return "an event will arrive twice"


def _sweep(schedule: Schedule, random: Random) -> str:
    schedule.world.sweep()
    return "the sweep is due"


def _calm(schedule: Schedule, random: Random) -> str:
    """For a while all goes well: what is due is done, and what soaks has soaked."""
    for worker in schedule.world.workers:
        worker.faults.clear()
        schedule.finish(worker)
    schedule.world.stale = 0
    for _ in range(2):
        schedule.world.sweep()
        schedule.drain()
        schedule.world.pass_time(timedelta(minutes=11))
        schedule.watch.after_deed()
    return "all is well for 22 minutes"


def _wipe_redis(schedule: Schedule, random: Random) -> str:
    schedule.world.wipe_redis()
    return "Redis is emptied"


def _disaster(schedule: Schedule, random: Random) -> str:
    schedule.world.disaster()
    return "Redis and all workers go down; Redis comes back empty"


def _seconds(schedule: Schedule, random: Random) -> str:
    return _pass(schedule, timedelta(seconds=random.randint(1, 40)))


def _minutes(schedule: Schedule, random: Random) -> str:
    return _pass(schedule, timedelta(minutes=random.randint(1, 20)))


def _hours(schedule: Schedule, random: Random) -> str:
    """Up to the next weekend and its end; no run lasts as long as evidence is waited for."""
    hours = random.choice((1, 5, 13, 40))
    if hours > 5:
        for model in schedule.world.mlflow.models.values():
            for version in model.versions.values():
                version.status = RunStatus.FINISHED
    return _pass(schedule, timedelta(hours=hours))


def _pass(schedule: Schedule, duration: timedelta) -> str:
    schedule.world.pass_time(duration)
    schedule.watch.after_deed()
    return f"{duration} go by"


def _skew(schedule: Schedule, random: Random) -> str:
    schedule.world.bot_skew = timedelta(seconds=random.choice((-300, -30, 0, 30, 300)))
    return f"the bot's clock is {schedule.world.bot_skew.total_seconds():+.0f} s off"


def _worker(schedule: Schedule, random: Random) -> Worker:
    return random.choice(schedule.world.workers)


MACHINERY: Final[dict[str, Callable[[Schedule, Random], str]]] = {
    "work": _work,
    "a_few_calls": _a_few_calls,
    "to_an_effect": _to_an_effect,
    "kill_between_effects": _kill_between_effects,
    "kill_worker": _kill_worker,
    "kill_host": _kill_host,
    "freeze": _freeze,
    "no_answer": _no_answer,
    "long_outage": _long_outage,
    "lost_answer": _lost_answer,
    "rate_limit": _rate_limit,
    "stale_reads": _stale_reads,
    "push_before_merge": _push_before_merge,
    "busy_second": _busy_second,
    "deliver": _deliver,
    "lose_event": _lose_event,
    "repeat_event": _repeat_event,
    "sweep": _sweep,
    "calm": _calm,
    "wipe_redis": _wipe_redis,
    "disaster": _disaster,
    "seconds": _seconds,
    "minutes": _minutes,
    "hours": _hours,
    "skew": _skew,
}
