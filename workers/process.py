"""The worker's processes: RQ workers that fork a work-horse a job, and the scheduler that feeds them."""

from __future__ import annotations

import contextlib
import importlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from multiprocessing.context import ForkContext, ForkProcess
from types import FrameType, TracebackType
from typing import Any, Final, Self

from rq import Queue, Worker
from rq.serializers import JSONSerializer
from rq.timeouts import JobTimeoutException, UnixSignalDeathPenalty

from bot import tracing, wiring
from bot.domain.errors import Misconfigured, PromotionError, Unreachable
from bot.domain.keys import RepositoryKey, Urgency, dump_key, parse_key
from bot.gateways.parent_process import end_with
from bot.gateways.queue import RQ_QUEUES, Claimed, WorkQueue
from bot.gateways.receivers import receivers_of
from bot.gateways.redis_connection import asked_of_redis, connect_waiting
from bot.settings import Settings
from workers.alive import worker_name
from workers.execution import TookTooLong, gateways_of, give_back, open_queue
from workers.notifier import run_notifier
from workers.queued_job import ENTRY, JOB_LIMIT, KEEP_FAILURE, KEEP_RESULT, QueuedLook

log = logging.getLogger("promotion-bot.worker")

LOOKS: Final = "workers.jobs"  # what each job needs: imported by each, it was half of a quiet look's CPU
_OTHERS_EVERY: Final = 8  # jobs
_POLL: Final = 0.05  # seconds between looks at the inbox
_REDIS_BACK: Final = 1.0  # seconds until Redis is tried again
_GRACE: Final = 20.0  # seconds that running jobs get to end; orchestrators kill after 30
_COLD: Final = 5.0  # seconds for a process to end after it was told to drop its job
_SLOWEST_RESTART: Final = 30.0  # seconds


# --- the RQ worker ----------------------------------------------------------------------------------------------------


class TimeLimit(UnixSignalDeathPenalty):
    """RQ's alarm, which ends a look by what no library on the way takes for an error of its own."""

    def handle_death_penalty(self, signum: int, frame: FrameType | None) -> None:
        """The time is over."""
        if self._exception is JobTimeoutException:
            raise TookTooLong(f"the look took longer than {self._timeout} s and was ended")
        super().handle_death_penalty(signum, frame)  # type: ignore[no-untyped-call]


class KeyWorker(Worker):
    """An RQ worker that signs in before it forks, and gives a key back when its work-horse is killed."""

    death_penalty_class = TimeLimit

    settings: Settings
    work_queue: WorkQueue
    is_told_to_stop: bool = False
    _taken: int = 0

    def request_stop(self, signum: Any, frame: Any) -> None:  # noqa: ANN401 - RQ's types
        """A signal asks to end once the job has ended."""
        self.is_told_to_stop = True
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]

    def reorder_queues(self, reference_queue: Queue) -> None:  # noqa: ARG002 - RQ's hook after each job that it takes
        """The most urgent first; each eighth job is one of the others, by turns: no flood makes it wait for ever."""
        self._taken += 1
        turn, rest = divmod(self._taken, _OTHERS_EVERY)
        first = self.queues[0 if rest else 1 + turn % (len(self.queues) - 1)]
        self._ordered_queues = [first, *(queue for queue in self.queues if queue is not first)]

    def subscribe(self) -> None:
        """Take no commands from Redis: signals stop a worker, and nobody else has to stop its jobs."""

    def execute_job(self, job: Any, queue: Any) -> None:  # noqa: ANN401 - RQ's types
        """Run a job in a work-horse, which inherits the sign-in of this process."""
        for repository in self.settings.repositories:
            with contextlib.suppress(PromotionError):  # the job says it, where it matters
                gateways_of(self.settings).github_client.prepare(repository)
        gateways_of(self.settings).measurements.flush()
        super().execute_job(job, queue)

    def handle_work_horse_killed(self, job: Any, _pid: int, ret_val: int, rusage: Any) -> None:  # noqa: ANN401
        """The horse is dead for certain."""
        key_text, token = job.args
        log.error("key=%s: its job was killed (wait status %s)", key_text, ret_val)
        give_back(Claimed(parse_key(key_text), token), self.work_queue, rusage.ru_utime + rusage.ru_stime)


def run_worker(settings: Settings) -> None:
    """Take jobs until told to stop.

    RQ's worker also ends where Redis refuses what it writes, or has forgotten its job; then another takes its place.
    """
    tracing.configure()
    while True:
        try:
            with asked_of_redis():
                worker = KeyWorker(
                    [*RQ_QUEUES.values()],
                    name=worker_name(),
                    connection=_waiting(settings),
                    serializer=JSONSerializer,
                    job_class=QueuedLook,
                )
                worker.settings = settings
                worker.work_queue = open_queue(settings)
                worker.work(logging_level="WARNING", with_scheduler=False)
            if worker.is_told_to_stop:
                return
        except Unreachable as error:
            log.warning("%s; waiting for it", error)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # RQ's own handler belongs to a worker that is no more
        time.sleep(_REDIS_BACK)


# --- the scheduler ----------------------------------------------------------------------------------------------------


class SweepSchedule:
    """When this scheduler has everything looked at: at its start, and once in an interval together with all others."""

    def __init__(self, queue: WorkQueue, settings: Settings) -> None:
        self._queue = queue
        self._keys = [RepositoryKey(repository) for repository in settings.repositories]
        self._interval = settings.sweep_interval.total_seconds()
        self._next: float | None = None  # on the monotonic clock

    def ask_if_due(self, now: float) -> None:
        """Ask for a sweep, unless it is too early or another scheduler has asked; `now` is monotonic."""
        if self._next is not None and now < self._next:
            return
        left = 0.0 if self._next is None else self._queue.until_next_sweep()
        if not left:
            self._queue.request_sweep(self._keys, self._interval)
            left = self._interval
        self._next = now + left


def run_scheduler(settings: Settings) -> None:
    """Hand due keys to RQ, and have everything looked at once in a sweep's interval, the first time at once."""
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stopped.set())
    queue = open_queue(settings)
    jobs = job_queues(settings)
    sweeps = SweepSchedule(queue, settings)
    while not stopped.is_set():
        try:
            sweeps.ask_if_due(time.monotonic())
            if not dispatch(queue, jobs):
                stopped.wait(_POLL)
        except Unreachable as error:
            log.warning("%s; waiting for it", error)
            stopped.wait(_REDIS_BACK)


def job_queues(settings: Settings) -> Mapping[Urgency, Queue]:
    """RQ's own queues, in JSON: pickle would let whoever writes to Redis run code here."""
    connection = _waiting(settings)
    return {
        urgency: Queue(name, connection=connection, serializer=JSONSerializer) for urgency, name in RQ_QUEUES.items()
    }


def dispatch(queue: WorkQueue, jobs: Mapping[Urgency, Queue]) -> int:
    """Hand every due key to RQ; how many there were. A job is known to RQ by its token."""
    claimed = queue.claim()
    for item in claimed:
        with asked_of_redis():
            jobs[item.urgency].enqueue_call(
                ENTRY,
                args=(dump_key(item.key), item.token),
                timeout=JOB_LIMIT,
                result_ttl=KEEP_RESULT,
                failure_ttl=KEEP_FAILURE,
                job_id=item.token,
            )
    return len(claimed)


def _waiting(settings: Settings) -> Any:  # noqa: ANN401 - redis-py's client
    if settings.redis_url is None:
        raise Misconfigured("REDIS_URL is missing; `promotion-bot up` starts a queue of its own")
    return connect_waiting(settings.redis_url)


# --- all of them ------------------------------------------------------------------------------------------------------


@dataclass
class _Child:
    name: str
    target: Callable[[], None]
    process: ForkProcess
    started: float
    delay: float = 1.0  # seconds before the next restart


class Supervisor:
    """Runs children in processes of their own, starts again those that end, and ends them all when it is left.

    As a context: what is added runs at once, `wait` lasts until a signal asks to stop.
    """

    def __init__(self) -> None:
        self._children: list[_Child] = []
        self._stopped = threading.Event()

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        for child in self._children:
            child.process.terminate()
        if not self._gone(_GRACE):
            log.warning("jobs still run after %.0f s; they are dropped and looked at again at the next start", _GRACE)
            for child in self._children:
                child.process.terminate()  # for RQ's worker the second signal is the end of its job too
        if not self._gone(_COLD):
            for child in self._children:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.process.pid or 0, signal.SIGKILL)
                child.process.join()

    def add(self, name: str, target: Callable[[], None]) -> None:
        """Run `target` in a process of its own, for as long as this context lasts."""
        self._children.append(_Child(name, target, _started(name, target), time.monotonic()))

    def wait(self) -> None:
        """Keep the children running until a signal asks to stop."""
        while not self._stopped.wait(0.1):
            for child in self._children:
                self._keep(child)

    def _keep(self, child: _Child) -> None:
        if child.process.is_alive():
            return
        lived = time.monotonic() - child.started
        if lived < child.delay:
            return
        log.error("%s ended (exit code %s); starting it again", child.name, child.process.exitcode)
        child.delay = min(_SLOWEST_RESTART, child.delay * 2) if lived < 2 * _SLOWEST_RESTART else 1.0
        child.process, child.started = _started(child.name, child.target), time.monotonic()

    def _gone(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        for child in self._children:
            child.process.join(max(0.0, deadline - time.monotonic()))
        return not any(child.process.is_alive() for child in self._children)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopped.set()


def add_workers(supervisor: Supervisor, settings: Settings, workers: int) -> None:
    """Run the scheduler and `workers` RQ workers; what is slow to import is imported once, before they fork."""
    export(settings)
    supervisor.add("scheduler", lambda: run_scheduler(settings))
    for receiver in receivers_of(settings):
        supervisor.add(f"notifier-{receiver}", partial(run_notifier, settings, receiver))
    wiring.preload()
    importlib.import_module(LOOKS)
    for number in range(workers):
        supervisor.add(f"worker-{number + 1}", lambda: run_worker(settings))


def export(settings: Settings) -> None:
    """Let child processes find the queue that this process started: they read their settings from the environment."""
    if settings.redis_url is not None:
        os.environ["REDIS_URL"] = settings.redis_url.reveal()


def _started(name: str, target: Callable[[], None]) -> ForkProcess:
    fork: ForkContext = multiprocessing.get_context("fork")
    process = fork.Process(target=_child, args=(target, os.getpid()), name=name)
    process.start()
    return process


def _child(target: Callable[[], None], parent: int) -> None:
    # A group of its own: Ctrl+C reaches the supervisor alone, which says when to stop.
    os.setpgrp()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with(parent, signal.SIGTERM)
    try:
        target()
    except PromotionError as error:
        log.error("%s", error)
        sys.exit(1)
