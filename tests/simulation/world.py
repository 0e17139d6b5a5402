"""What surrounds the bot: one GitHub, one MLflow, one Redis, one clock, and two workers that can stop at every call."""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from greenlet import getcurrent, greenlet

from bot.domain.errors import PromotionError, Service, Unreachable
from bot.domain.keys import Key, RepositoryKey, dump_key
from bot.domain.pipeline import Pipeline
from bot.gateways.cache import Cache
from bot.gateways.queue import Claimed
from bot.sandbox.github import GitHubSandbox, SandboxRepository
from bot.sandbox.github.state import App
from bot.settings import AppCredentials, Secret, Settings
from bot.web.github_webhook import Served, keys
from bot.wiring import Gateways
from tests.simulation.company import ENVIRONMENTS, FILES, MANIFEST, MODELS, PEOPLE, REPOSITORY
from tests.simulation.github import SimulatedGitHubClient
from tests.simulation.queue import SimulatedQueue, Stored
from tests.simulation.registry import Mlflow, Model, SimulatedRegistry, Version
from workers import deploy_files, execution
from workers.desk import Desk
from workers.jobs import look_at
from workers.process import JOB_LIMIT

MONDAY: Final = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
_LAG: Final = timedelta(seconds=2)  # how long GitHub's replicas may say what was true before
_LAGGING: Final = 0.3  # of the reads that could be answered so, where the replicas lag all the time
FRIDAY: Final = datetime(2026, 3, 6, 15, 20, tzinfo=UTC)  # shortly before production freezes


def parse_each_text_once() -> None:
    """Parsing is pure, and thousands of schedules read the same few files."""
    parse_policy, parse_manifests = deploy_files.parse_policy, deploy_files.parse_manifests
    pipelines = functools.lru_cache(maxsize=64)(deploy_files.parse_pipeline)
    policies = functools.lru_cache(maxsize=64)(parse_policy)
    manifests: dict[object, object] = {}

    def parsed(texts: Mapping[str, str | bytes], pipeline: Pipeline) -> object:
        key = (tuple(sorted(texts.items())), id(pipeline))  # pipelines are parsed once, and stay
        if key not in manifests:
            manifests[key] = parse_manifests(texts, pipeline)
            if len(manifests) > 10_000:
                manifests.pop(next(iter(manifests)))
        return manifests[key]

    deploy_files.parse_pipeline = pipelines
    deploy_files.parse_policy = lambda text, source, _read_file: policies(text, source)
    deploy_files.parse_manifests = parsed  # type: ignore[assignment]


def take_over_this_process() -> None:
    """Make a process quick that does nothing but run schedules: no log, nothing parsed twice, no thread for leases."""
    logging.getLogger("promotion-bot").setLevel(logging.CRITICAL)
    parse_each_text_once()
    execution._heartbeat = lambda _queue, _claimed: contextlib.nullcontext()  # `World.pass_time` keeps the leases


@dataclass(frozen=True)
class _Answer:
    """What GitHub says to a question since when, and what it said before.

    `moment` is after how many effects of the bot and deeds of people it was asked last.
    """

    said: Any
    since: datetime
    moment: tuple[int, int]
    before: Any


class Killed(BaseException):
    """SIGKILL, for a worker of the simulation."""


class Violation(AssertionError):
    """A promise that was not kept."""


@dataclass
class Fault:
    """What goes wrong with one of a worker's next calls: after so many others, before or after it took effect."""

    after_calls: int
    lost_answer: bool
    times: int = 1
    retry_after: float | None = None


@dataclass
class Worker:
    """One worker and the look that it is at, which stops when it has made its calls."""

    name: str
    job: Claimed | None = None
    thread: greenlet | None = None
    calls: int = 0
    until: Callable[[str], bool] = lambda _effect: False  # whether it stops before an effect
    stands_at: str = ""
    killed: bool = False
    frozen: bool = False  # no heartbeat
    began: int = 0  # how many effects there were before
    misled: bool = False  # GitHub gave it an answer of a moment ago
    after_loss: int = 0  # effects since its key became another's
    faults: list[Fault] = field(default_factory=list)

    @property
    def is_idle(self) -> bool:
        return self.thread is None


class World:
    """Everything. `watch` is called after each effect of the bot."""

    def __init__(self, seed: int) -> None:
        random.seed(seed)
        self.now = FRIDAY if seed % 3 == 0 else MONDAY
        self.random = random.Random(seed)
        self.bot_skew = timedelta()
        self.github = GitHubSandbox()
        self.github.world.url = "http://github.test"
        self.github.world.clock = lambda: self.now
        self.github.add_user(*PEOPLE)
        self.app = _app(self.github)
        self.mlflow = Mlflow()
        files = self._with_history() if seed % 2 else FILES
        self.repository: SandboxRepository = self.github.add_repository(REPOSITORY, files, PEOPLE, [self.app])
        self.stored = Stored()
        self.memory: dict[str, bytes] = {}
        self.hints: list[tuple[Key, ...]] = []
        self.stale = 0
        self.lagging = _LAGGING if seed % 7 == 3 else 0.0  # how many of the reads that could be are stale, all the time
        self.overlap = False  # whether two workers may be at one key: Redis was emptied or a lease ran out
        self.broken: Violation | None = None
        self.effects = 0
        self.deeds = 0
        self.watch: Callable[[Worker, str], None] = lambda _worker, _what: None
        self._tokens = itertools.count(1)
        self._answers: dict[str, _Answer] = {}
        self._when_time_passed = (0, 0)  # effects and deeds until then
        self.queue = SimulatedQueue(
            self.stored, lambda: self.now, lambda: self.now + self.bot_skew, self._carry, self._tokens
        )
        self.workers = (Worker("worker 1"), Worker("worker 2"))
        self._settings = Settings(
            mlflow_tracking_uri="http://mlflow.test",
            mlflow_webhook_secrets=(Secret("m"),),
            github_webhook_secrets=(Secret("g"),),
            github_credentials=AppCredentials(str(self.app.id), Secret("unused")),
            github_api_url=self.github.url,
            repositories=(REPOSITORY,),
            redis_url=None,
        )

    def _with_history(self) -> Mapping[str, str]:
        """Files of a team that comes with models that are live already: the first manifest states them."""
        manifest = MANIFEST.replace(" {}", "")
        for name in MODELS:
            model = self.mlflow.models[name] = Model(name)
            for number in (1, 2):
                content = {"MLmodel": f"{name} {number}".encode(), "model.bin": self.random.randbytes(8)}
                model.versions[number] = Version(number, self.now - timedelta(days=9), {"accuracy": 0.95}, content)
            manifest += f"  {name}:\n"
            for environment, (stage, alias), number in zip(ENVIRONMENTS, ENVIRONMENTS.values(), (2, 1), strict=True):
                model.versions[number].stage, model.aliases[alias] = stage, number
                digest = self.mlflow.digest(name, number)
                manifest += f"    {environment}: {{version: {number}, digest: '{digest}', release: 1.0.{number}}}\n"
        return {**FILES, "versions.yaml": manifest}

    def close(self) -> None:
        for worker in self.workers:
            self.kill(worker)
        self.github.close()

    # --- the workers ----------------------------------------------------------------------------------------------

    def take(self, worker: Worker, kind: type | None = None) -> bool:
        """Give an idle worker the next job, of a kind if there is one; False where there is none."""
        self.queue.dispatch()
        handed = self.stored.handed
        if not handed:
            return False
        worker.job = handed.pop(next((i for i, job in enumerate(handed) if type(job.key) is kind), 0))
        worker.killed = worker.frozen = worker.misled = False
        worker.began, worker.after_loss = self.effects, 0
        worker.thread = greenlet(lambda: self._work(worker))
        return True

    def go_on(self, worker: Worker, calls: int, until: Callable[[str], bool] = lambda _effect: False) -> None:
        """Let a worker make so many calls, at most to an effect that it is to stop before, or to its look's end."""
        if worker.thread is None:
            return
        worker.calls, worker.until = calls, until
        worker.thread.switch()
        self._ended(worker)

    def kill(self, worker: Worker, *, seen: bool = False) -> None:
        """Kill a worker where it stands; `seen` if the process above it lives on and gives the key back."""
        if worker.thread is None or worker.job is None:
            return
        job, worker.killed = worker.job, True
        with contextlib.suppress(Killed):
            worker.thread.throw(Killed())
        self._ended(worker)
        if seen:
            execution.give_back(job, self.queue, 0.0)  # type: ignore[arg-type]

    def _ended(self, worker: Worker) -> None:
        if worker.thread is not None and worker.thread.dead:
            worker.thread = worker.job = None
            worker.faults.clear()

    def _work(self, worker: Worker) -> None:
        assert worker.job is not None
        gateways = self.gateways()

        def look(desk: Desk) -> None:
            try:
                look_at(desk.claimed.key, desk, gateways)
            except Exception as error:
                if isinstance(error, Violation):
                    self.broken = self.broken or error
                elif not isinstance(error, PromotionError):
                    self.broken = self.broken or Violation(f"0: {dump_key(desk.claimed.key)} failed: {error!r}")
                    self.broken.__cause__ = error
                raise

        execution.run(worker.job, self.queue, look)  # type: ignore[arg-type]

    def gateways(self) -> Gateways:
        """A process' own gateways; only the cache is shared with others."""
        cache = Cache(None)
        cache._memory = self.memory
        gateways = Gateways(self._settings, cache, lambda: self.now + self.bot_skew)
        registry = SimulatedRegistry(self.mlflow, self._carry)
        gateways.__dict__["registry"] = gateways.__dict__["artifacts"] = registry
        gateways.__dict__["github_client"] = SimulatedGitHubClient(self.github, self.app, cache, self._carry)
        return gateways

    def _carry(self, writes: bool, what: str, do: Callable[[], Any]) -> Any:
        """One call of whoever makes it: where a worker can stop, die, be misled or get no answer."""
        worker = next((w for w in self.workers if w.thread is getcurrent()), None)
        if worker is None:
            return do()
        if worker.killed:
            raise Killed
        worker.stands_at = what
        if worker.calls <= 0 or (writes and worker.until(what)):
            assert worker.thread is not None
            assert worker.thread.parent is not None
            worker.thread.parent.switch()
        worker.calls -= 1
        fault = self._fault(worker)
        if fault is not None and not (fault.lost_answer and writes):
            service = Service.ARTIFACTS if what.startswith(("files of", "digest of")) else None
            raise Unreachable(f"no answer to {what}", fault.retry_after, service)
        answer = do() if writes else self._answer(worker, what, do)
        if writes:
            self.effects += 1
            self._expect_lock(worker, what)
            self.watch(worker, what)
        if fault is not None:
            raise Unreachable(f"the answer to {what} is lost", fault.retry_after)
        return answer

    def _expect_lock(self, worker: Worker, what: str) -> None:
        """An effect may be under way when the key is lost, and no other begins."""
        job = worker.job
        if job is not None and self.stored.tokens.get(dump_key(job.key)) != job.token:
            worker.after_loss += 1
            if worker.after_loss > 1:
                raise Violation(f"2: {worker.name} goes on with {what} although its key is another's")

    def _fault(self, worker: Worker) -> Fault | None:
        for fault in worker.faults:
            if fault.after_calls > 0:
                fault.after_calls -= 1
                continue
            fault.times -= 1
            if fault.times <= 0:
                worker.faults.remove(fault)
            return fault
        return None

    def _answer(self, worker: Worker, what: str, do: Callable[[], Any]) -> Any:
        """The answer, or while GitHub's replicas lag the one of a moment ago."""
        if not what.startswith("GET "):
            return do()
        known, moment = self._answers.get(what), (self.effects, self.deeds)
        # Nothing was done since: GitHub would say the same, except of a pull request whose merge it tries when asked.
        said = known.said if known and known.moment == moment and "/pulls/" not in what else do()
        if known is None or known.said != said:
            # What was not asked since time went by may have changed too long ago for a replica not to know.
            changed_now = known is not None and known.moment >= self._when_time_passed
            answer = _Answer(said, self.now, moment, known.said if known and changed_now else None)
        else:
            answer = replace(known, moment=moment)
        self._answers[what] = answer
        # Not promised is what comes of a bot whose clock is ahead and of replicas that lag in the same seconds.
        could_lag = answer.before is not None and self.now - answer.since <= _LAG and self.bot_skew <= timedelta()
        if could_lag and (self.stale > 0 or (self.lagging and self.random.random() < self.lagging)):
            self.stale = max(0, self.stale - 1)
            worker.misled = True
            return answer.before
        return said

    # --- time and events ------------------------------------------------------------------------------------------

    def pass_time(self, duration: timedelta) -> None:
        """Time goes by; workers that live keep their leases, and looks have a time limit."""
        if duration > timedelta(seconds=JOB_LIMIT):
            for worker in self.workers:
                self.kill(worker, seen=True)
        self._when_time_passed = (self.effects, self.deeds)
        left = duration
        while left > timedelta():
            step = min(left, timedelta(seconds=10))
            self.now += step
            left -= step
            for worker in self.workers:
                if worker.job is not None and not worker.frozen:
                    self._heartbeat(worker.job)
            if left > timedelta(seconds=60) and all(w.is_idle for w in self.workers):
                self.now += left
                return

    def _heartbeat(self, job: Claimed) -> None:
        key = dump_key(job.key)
        if self.stored.tokens.get(key) == job.token and job.token in self.stored.begun:
            self.stored.active[key] = (self.now).timestamp() + self.queue.lease

    def collect_events(self) -> None:
        """What GitHub has to tell, as the keys that the web service makes of it."""
        served = Served((REPOSITORY,), self.app.id)
        for delivery in self.github.webhooks.take():
            named = keys(delivery.event, delivery.payload, served)
            if named:
                self.hints.append(named)

    def sweep(self) -> None:
        """The scheduler's sweep."""
        self.queue.request(RepositoryKey(REPOSITORY))

    def disaster(self) -> None:
        """The machine with Redis and the workers goes down."""
        for worker in self.workers:
            self.kill(worker)
        self.stored.wipe()
        self.memory.clear()

    def wipe_redis(self) -> None:
        self.stored.wipe()
        self.memory.clear()
        self.overlap = True


def _app(github: GitHubSandbox) -> App:
    """An App without a key: nothing is signed here."""
    app = App(github.world.next_id(), "promotion-bot", "", "", "http://bot.test/webhooks/github", "s")
    github.world.apps[app.id] = app
    return app
