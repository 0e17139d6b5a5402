"""The queue in memory: the same promises as the one on Redis, on the simulation's clock."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bot.domain.board import Cell
from bot.domain.errors import LostLock, Service
from bot.domain.keys import Key, Urgency, dump_key, parse_key
from bot.domain.model_detail import Judged, ModelDetail
from bot.domain.repository_seen import RepositorySeen
from bot.gateways.board_details import GateSeen
from bot.gateways.origins import UNKNOWN, Origin
from bot.gateways.queue import Claimed
from bot.gateways.troubles import Cause
from tests.simulation.github import Carry

_ASAP = -1e10


@dataclass
class Stored:
    """What Redis holds. `handed` are the jobs that wait for a worker."""

    inbox: dict[str, float] = field(default_factory=dict)
    active: dict[str, float] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    attempts: dict[str, int] = field(default_factory=dict)
    handed: list[Claimed] = field(default_factory=list)

    def wipe(self) -> None:
        """Lose everything."""
        for part in (self.inbox, self.active, self.tokens, self.begun, self.attempts, self.handed):
            part.clear()  # type: ignore[attr-defined]


class Boards:
    """Nobody looks at the board here."""

    def show(self, repository: str, model: str, cells: Sequence[Cell]) -> None: ...

    def show_all(self, repository: str, rows: Mapping[str, Sequence[Cell]]) -> None: ...


class Origins:
    """Nor at logs."""

    def take(self, key: Key) -> Origin:
        return Origin()

    def keep(self, key: Key, origin: Origin) -> None: ...


class Details:
    """Nor at what stands beside it."""

    def show(self, details: Iterable[ModelDetail]) -> None: ...

    def keep_only(self, repository: str, models: Iterable[str]) -> None: ...

    def remember(self, repository: str, model: str, judged: tuple[Judged, ...]) -> None: ...

    def judged(self, repository: str, model: str) -> tuple[Judged, ...]:
        return ()

    def all_judged(self, repository: str) -> Mapping[str, tuple[Judged, ...]]:
        return {}

    def show_repository(self, seen: RepositorySeen) -> None: ...

    def repositories(self, names: Sequence[str]) -> tuple[RepositorySeen, ...]:
        return ()

    def show_gates(self, repository: str, number: int, gates: tuple[GateSeen, ...]) -> None: ...


class Troubles:
    """Every service is asked each time here, and a look that fails ends the schedule."""

    def expect(self, *services: Service) -> None: ...

    def is_away(self, service: Service, said: str) -> None: ...

    def is_back(self, *services: Service) -> None: ...

    def of(self, key: Key) -> None:
        return None

    def failed(self, key: Key, what: str, cause: Cause = Cause.MISTAKE) -> int:
        return 1

    def worked(self, key: Key) -> None: ...


class SimulatedQueue:
    """One worker's view of the queue: its calls can be interrupted as those to Redis can."""

    lease = 30.0

    def __init__(self, stored: Stored, clock: Any, host_clock: Any, carry: Carry, tokens: itertools.count[int]) -> None:
        self._stored = stored
        self._clock = clock
        self._host_clock = host_clock
        self._carry = carry
        self._tokens = tokens
        self.boards = Boards()
        self.details = Details()
        self.troubles = Troubles()
        self.origins = Origins()

    @property
    def _now(self) -> float:
        at: datetime = self._clock()
        return at.astimezone(UTC).timestamp()

    # --- asking ---------------------------------------------------------------------------------------------------

    def request(self, *keys: Key, urgency: Urgency | None = None, origin: Origin = UNKNOWN) -> None:
        self._ask(
            "ask for " + ", ".join(map(dump_key, keys)), lambda: [self._due(key, self._now + _ASAP) for key in keys]
        )

    def request_at(self, key: Key, when: datetime) -> None:
        self._ask(f"ask for {dump_key(key)} later", lambda: self._due(key, self._now + self._distance(when)))

    def _distance(self, when: datetime) -> float:
        return max(0.0, (when - self._host_clock()).total_seconds())

    def _due(self, key: Key, at: float) -> None:
        text = dump_key(key)
        self._stored.inbox[text] = min(at, self._stored.inbox.get(text, at))

    # --- running --------------------------------------------------------------------------------------------------

    def dispatch(self) -> None:
        """Hand out what is due and nobody runs; and again whatever lost its lease."""
        stored, now = self._stored, self._now
        for key, end in list(stored.active.items()):
            if end > now:
                continue
            if any(job.token == stored.tokens.get(key) for job in stored.handed):
                stored.active[key] = now + self.lease
            else:
                self._release(key)
                stored.inbox[key] = min(now + _ASAP, stored.inbox.get(key, now))
        for key, due in sorted(stored.inbox.items(), key=lambda item: item[1]):
            if due <= now and key not in stored.active:
                token = f"token-{next(self._tokens)}"
                stored.active[key], stored.tokens[key] = now + self.lease, token
                stored.handed.append(Claimed(parse_key(key), token))

    def begin(self, claimed: Claimed) -> bool:
        return bool(self._ask("begin", lambda: self._begin(claimed)))

    def _begin(self, claimed: Claimed) -> bool:
        key, stored = dump_key(claimed.key), self._stored
        if stored.tokens.get(key) != claimed.token or claimed.token in stored.begun:
            return False
        stored.begun.add(claimed.token)
        stored.active[key] = self._now + self.lease
        if stored.inbox.get(key, self._now + 1) <= self._now:
            del stored.inbox[key]
        return True

    def still_mine(self, claimed: Claimed) -> None:
        self._ask("still mine", lambda: self.extend(claimed))

    def extend(self, claimed: Claimed) -> None:
        key, stored = dump_key(claimed.key), self._stored
        if stored.tokens.get(key) != claimed.token or claimed.token not in stored.begun:
            raise LostLock(f"another worker has taken over {key}")
        stored.active[key] = self._now + self.lease

    def finish(self, claimed: Claimed, again_after: float | None = None) -> None:
        self._ask("finish", lambda: self._finish(claimed, again_after))

    def _finish(self, claimed: Claimed, again_after: float | None) -> None:
        key = dump_key(claimed.key)
        if self._stored.tokens.get(key) != claimed.token:
            return
        self._release(key)
        if again_after is not None:
            self._due(claimed.key, self._now + again_after)

    def _release(self, key: str) -> None:
        self._stored.begun.discard(self._stored.tokens.pop(key, ""))
        self._stored.active.pop(key, None)

    def count_attempt(self, key: Key) -> int:
        text = dump_key(key)
        self._stored.attempts[text] = self._stored.attempts.get(text, 0) + 1
        return self._stored.attempts[text]

    def forget_attempts(self, key: Key) -> None:
        self._stored.attempts.pop(dump_key(key), None)

    def record(self, kind: str, result: str, seconds: float) -> None:
        """Nobody measures here."""

    def _ask(self, what: str, do: Any) -> Any:
        return self._carry(False, f"Redis: {what}", do)
