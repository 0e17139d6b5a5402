"""What is done to it: processes killed, the queue emptied and its disk filled, answers spoilt, webhooks lost."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Final

import psutil

from bot.gateways.troubles import Cause
from tests.chaos.site import Site
from tests.conftest import wait_until
from tests.e2e.proxy import Fault
from tests.passing import end_windows
from workers.execution import Result

_FULL_FOR: Final = 3.0  # seconds that the disk stays full
_AWAY_FOR: Final = 4.0  # seconds that GitHub closes each connection without an answer
_BACK: Final = 90.0  # seconds that a server has to answer again

# How often in a minute each thing happens; each happens at least once.
RATES: Final[Mapping[str, Mapping[str, float]]] = {
    "workers": {"workers: all killed": 2, "workers: one process killed": 4, "workers: supervisor killed": 1},
    "web": {"web service killed": 3},
    "mlflow": {"MLflow killed": 1},
    "stand-in": {"GitHub away": 1},
    "valkey": {"Valkey killed": 1.5, "FLUSHALL": 1.5, "disk full": 1},
    "webhooks": {"webhooks: lost": 4, "webhooks: twice": 3, "webhooks: in another order": 3},
}
# What loses the queue, after which two workers may be at one key for a moment. Runs with an even seed do not have it.
_LOSES_QUEUE: Final = ("Valkey killed", "FLUSHALL")
_BUSY: Final = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
# What goes wrong with a request, and how often beside the others; each kind comes once before any comes again.
_GITHUB: Final[Mapping[str, tuple[int, Fault]]] = {
    "GitHub: 502": (10, Fault(status=502)),
    "GitHub: 502 after it took effect": (10, Fault(status=502, after=True)),
    "GitHub: 429, Retry-After": (2, Fault(status=429, headers={"Retry-After": "2"}, message=_BUSY)),
    "GitHub: 403, Retry-After": (2, Fault(status=403, headers={"Retry-After": "2"}, message=_BUSY)),
    "GitHub: slow": (10, Fault(seconds=2.0)),
    "GitHub: no answer": (1, Fault(seconds=25.0, lost=True)),  # the bot waits 20 s
    "GitHub: connection cut after it took effect": (4, Fault(lost=True, after=True)),
}
_MLFLOW: Final[Mapping[str, tuple[int, Fault]]] = {
    "MLflow: 503": (4, Fault(status=503)),
    "MLflow: connection cut after it took effect": (3, Fault(lost=True, after=True)),
    "MLflow: slow": (4, Fault(seconds=2.0)),
}
_SPOILT: Final = 0.03  # of the requests


def plan(random: Random, rates: Mapping[str, float], seconds: float) -> list[tuple[float, str]]:
    """What happens when, in seconds from the beginning."""
    times = {name: max(1, round(rate * seconds / 60)) for name, rate in rates.items()}
    return sorted((random.uniform(0, seconds), name) for name, count in times.items() for _ in range(count))


class Spoilt:
    """What goes wrong with each request through a proxy, if anything does; it is counted."""

    def __init__(self, random: Random, faults: Mapping[str, tuple[int, Fault]], done: Counter[str]) -> None:
        self._random = random
        self._faults = faults
        self._done = done
        self._first = random.sample(list(faults), len(faults))
        self._lock = threading.Lock()

    def __call__(self, _said: str) -> Fault | None:
        with self._lock:
            if self._random.random() >= _SPOILT:
                return None
            weights = [weight for weight, _ in self._faults.values()]
            name = self._first.pop() if self._first else self._random.choices(list(self._faults), weights)[0]
            self._done[name] += 1
            return self._faults[name][1]


@dataclass
class Trouble:
    """Does it all, each service's troubles on a thread and by a seed of its own."""

    site: Site
    seed: int
    done: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    failed: set[str] = field(default_factory=set)  # looks that ended by a mistake

    def __post_init__(self) -> None:
        self.site.to_github.fault = Spoilt(Random(f"{self.seed} github"), _GITHUB, self.done)
        self.site.to_mlflow.fault = Spoilt(Random(f"{self.seed} registry"), _MLFLOW, self.done)
        self._deeds: Mapping[str, Callable[[Random], None]] = {
            "workers: all killed": lambda _random: self.site.workers.restart(),
            "workers: one process killed": self._kill_one,
            "workers: supervisor killed": lambda _random: self._lose_supervisor(),
            "web service killed": lambda _random: self._kill_web(),
            "MLflow killed": lambda _random: self._kill_mlflow(),
            "GitHub away": lambda _random: self._lose_github(),
            "Valkey killed": lambda _random: self._kill_valkey(),
            "FLUSHALL": lambda _random: self._empty(),
            "disk full": lambda _random: self._fill_disk(),
            "webhooks: lost": lambda _random: self.site.github.webhooks.drop(3),
            "webhooks: twice": lambda _random: self.site.github.webhooks.duplicate(3),
            "webhooks: in another order": lambda _random: self.site.github.webhooks.reorder(3),
        }

    @property
    def impossible(self) -> tuple[str, ...]:
        """What cannot be done on this machine: a disk of its own needs the right to mount one."""
        return () if self.site.valkey.disk.can_fill else ("disk full",)

    @property
    def keeps_queue(self) -> bool:
        """Whether the queue is never lost in this run, so that nothing at all may be there twice."""
        return self.seed % 2 == 0

    @contextlib.contextmanager
    def going_on(self, seconds: float) -> Iterator[None]:
        """Make trouble for so many seconds; at the end of the context everything runs and answers again."""
        stopped = threading.Event()
        threads = [
            threading.Thread(target=self._make, args=(service, seconds, stopped), name=f"trouble {service}")
            for service in RATES
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stopped.set()
            for thread in threads:
                thread.join()
            self._calm()

    def _make(self, service: str, seconds: float, stopped: threading.Event) -> None:
        random = Random(f"{self.seed} {service}")
        begun = time.monotonic()
        left_out = (*self.impossible, *(_LOSES_QUEUE if self.keeps_queue else ()))
        possible = {name: rate for name, rate in RATES[service].items() if name not in left_out}
        for at, name in plan(random, possible, seconds):
            if stopped.wait(max(0.0, begun + at - time.monotonic())):
                return
            try:
                self._deeds[name](random)
                self.done[name] += 1
            except Exception as error:
                self.broken.append(f"{name}: {error!r}")
                return

    def _calm(self) -> None:
        self.site.to_github.fault = self.site.to_mlflow.fault = lambda _said: None
        webhooks = self.site.github.webhooks
        webhooks.drop(0)
        webhooks.duplicate(0)
        webhooks.release()
        wait_until(lambda: self.site.web.is_up, "the web service answers again", _BACK)
        self._last_blow()

    def _last_blow(self) -> None:
        """What is left to do has to be found again from GitHub and MLflow alone, or where the queue is kept, from it.

        Either spares the run the time in which writes are spaced because GitHub once asked for a pause.
        """
        if self.keeps_queue:
            end_windows(self.site.valkey.connection)
            return
        self._empty()
        self.done["FLUSHALL"] += 1

    def note_failed_looks(self) -> None:
        """Remember which looks ended by a mistake, before the queue that counts them is lost; kills are no mistakes."""
        queue = self.site.queue
        mistakes = (each for each in queue.troubles.failing() if each.cause is Cause.MISTAKE)
        self.failed |= {f"a look at {m.key} failed: {m.what}" for m in mistakes if "was killed" not in m.what}
        self.failed |= {f"looks at a {t.kind} key failed" for t in queue.tallies() if t.result == Result.FAILED}

    # --- processes ------------------------------------------------------------------------------------------------

    def _kill_one(self, random: Random) -> None:
        """The scheduler, a worker, or a work-horse: whoever is above it notices."""
        below = self.site.workers.below()
        if below:
            with contextlib.suppress(psutil.NoSuchProcess):
                random.choice(below).kill()

    def _lose_supervisor(self) -> None:
        """A new one starts while the old workers still end their jobs."""
        self.site.workers.kill_supervisor()
        self.site.workers.start()

    def _kill_web(self) -> None:
        wait_until(lambda: self.site.web.is_up, "the web service answers again", _BACK)
        self.site.web.kill()
        self.site.web.start()

    def _kill_mlflow(self) -> None:
        self.site.mlflow.kill()
        self.site.mlflow.restart()

    def _lose_github(self) -> None:
        """Its state is in this process' memory, so it is not killed: for some seconds nobody is reached there."""
        self.site.to_github.away = True
        time.sleep(_AWAY_FOR)
        self.site.to_github.away = False

    # --- the queue ------------------------------------------------------------------------------------------------

    def _kill_valkey(self) -> None:
        self.note_failed_looks()
        self.site.queue_is_lost()  # up to a second of what it was told is not on disk
        self.site.valkey.kill()
        self.site.valkey.start()

    def _empty(self) -> None:
        self.note_failed_looks()
        self.site.queue_is_lost()
        self.site.valkey.empty()

    def _fill_disk(self) -> None:
        self.site.valkey.disk.fill()
        try:
            wait_until(lambda: self.site.valkey.refuses_writes, "the queue refuses writes")
            time.sleep(_FULL_FOR)
        finally:
            self.site.valkey.disk.free()
        wait_until(lambda: not self.site.valkey.refuses_writes, "the queue takes writes again")
