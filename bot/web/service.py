"""How the service itself is doing: what waits, who works, what does not answer since when, which looks fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from bot.gateways.github.budget import Account, accounts
from bot.gateways.queue import WorkQueue
from bot.gateways.troubles import Cause
from bot.gateways.workers_seen import WorkerSeen, workers
from bot.web import metrics

_DO: Final = {
    Cause.MISTAKE: (
        "The worker's log has the whole error. When its cause is mended, `promotion-bot sweep` has it looked at again; "
        "so has any event about it."
    ),
    Cause.OUTSIDE: "It is tried on. Mend what it says; `promotion-bot doctor` checks credentials and rights.",
}
_DO_WHILE_AWAY: Final = "Webhooks are still taken; what waits is done when it answers."


@dataclass(frozen=True, slots=True)
class QueueState:
    """Keys to be looked at now, later, and being looked at; how long the first has waited, in seconds."""

    due: int
    asked: Mapping[str, int]
    later: int
    active: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class AwayState:
    """A service that does not answer."""

    service: str
    since: datetime
    failures: int
    said: str
    do: str = _DO_WHILE_AWAY


@dataclass(frozen=True, slots=True)
class FailingState:
    """A key whose looks fail."""

    key: str
    failures: int
    last: datetime
    what: str
    standing: str
    do: str


@dataclass(frozen=True, slots=True)
class BudgetState:
    """How many requests GitHub leaves an account until the hour starts anew."""

    account: str
    limit: int
    left: int
    reset: datetime


@dataclass(frozen=True, slots=True)
class SweepState:
    """The last sweep of a repository; `problem` is why its files cannot be read."""

    repository: str
    at: datetime | None
    seconds: float
    models: int
    problem: str


@dataclass(frozen=True, slots=True)
class WebhooksState:
    """Webhooks since this host's web service started: taken, refused, and not queued."""

    source: str
    taken: int
    refused: int
    failed: int


@dataclass(frozen=True, slots=True)
class ServiceState:
    """All of it."""

    queue: QueueState
    workers: tuple[WorkerSeen, ...]
    budget: tuple[BudgetState, ...]
    sweeps: tuple[SweepState, ...]
    webhooks: tuple[WebhooksState, ...]
    away: tuple[AwayState, ...]
    failing: tuple[FailingState, ...]


@dataclass(frozen=True, slots=True)
class Service:
    """Looks at the queue and what stands beside it. `measured` is where the web processes share their counts."""

    queue: WorkQueue
    repositories: Sequence[str]
    measured: str | None = None

    def state(self) -> ServiceState:
        """How it is doing; raises Unreachable while Redis does not answer."""
        depth, troubles = self.queue.depth(), self.queue.troubles
        asked = {urgency.name.lower(): count for urgency, count in depth.asked.items()}
        return ServiceState(
            queue=QueueState(depth.due, asked, depth.later, depth.active, round(depth.oldest, 1)),
            workers=workers(self.queue.connection),
            budget=tuple(map(_budget, accounts(self.queue.connection))),
            sweeps=self._sweeps(),
            webhooks=tuple(WebhooksState(*counts) for counts in metrics.webhooks(self.measured)),
            away=tuple(AwayState(a.service, _time(a.since), a.failures, a.said) for a in troubles.away()),
            failing=tuple(
                FailingState(f.key, f.failures, _time(f.at), f.what, f.standing.value, _DO[f.cause])
                for f in troubles.failing_of(self.repositories)
            ),
        )

    def _sweeps(self) -> tuple[SweepState, ...]:
        seen = {each.name: each for each in self.queue.details.repositories(self.repositories)}
        found = []
        for name in self.repositories:
            last = seen.get(name)
            found.append(
                SweepState(name, last.swept_at, last.seconds, last.models, last.problem)
                if last
                else SweepState(name, None, 0.0, 0, "")
            )
        return tuple(found)


def _budget(account: Account) -> BudgetState:
    return BudgetState(account.name, account.limit, account.left, _time(account.reset))


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
