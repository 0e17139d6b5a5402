"""What workers measure: kept by each process while it works, added up in Redis, read by whoever answers Prometheus.

Jobs are forked and end, and run on any number of hosts, so that nobody could ask them. An emptied Redis begins at 0
again, as a process does that was restarted, which Prometheus' `rate` and `increase` allow for.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import redis

from bot.domain.errors import PromotionError
from bot.gateways.redis_connection import PREFIX, asked_of_redis

_SUMS: Final = f"{PREFIX}measured"  # hash: metric, labels and what is summed -> the sum
_LAST: Final = f"{PREFIX}last"  # hash: metric and labels -> the last value
_COUNT: Final = ""  # what is summed of a counter
_SUM: Final = "sum"
_ANY: Final = "+Inf"


@dataclass(frozen=True, slots=True)
class Measured:
    """A metric: its name in Prometheus without `_total`, its help, its labels. With `buckets` it is a histogram."""

    name: str
    help: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()


REQUESTS: Final = Measured(
    "promotion_requests", "Requests to GitHub and MLflow by how they were answered.", ("service", "status")
)
REQUEST_SECONDS: Final = Measured(
    "promotion_request_seconds",
    "Time until GitHub or MLflow answered.",
    ("service",),
    (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0),
)
VERDICTS: Final = Measured(
    "promotion_verdicts", "Verdicts that were reached, by what they say.", ("repository", "environment", "status")
)
CHECKS: Final = Measured(
    "promotion_checks",
    "Outcomes of a policy's checks in these verdicts.",
    ("repository", "environment", "check", "status"),
)
HAPPENINGS: Final = Measured("promotion_happenings", "What happened to models.", ("repository", "environment", "event"))
TOUCHED: Final = Measured(
    "promotion_live", "Versions that went live, by who merged them.", ("repository", "environment", "merged_by")
)
TO_LIVE: Final = Measured(
    "promotion_registration_to_live_seconds",
    "Time from a version's registration until it was live.",
    ("repository", "environment"),
    (60.0, 300.0, 1800.0, 3600.0, 14400.0, 86400.0, 259200.0, 604800.0, 2592000.0),
)
NOTIFICATIONS: Final = Measured(
    "promotion_notifications", "Tries to notify a receiver, by what came of them.", ("receiver", "result")
)
COUNTED: Final = (REQUESTS, REQUEST_SECONDS, VERDICTS, CHECKS, HAPPENINGS, TOUCHED, TO_LIVE, NOTIFICATIONS)

TOKEN: Final = "token"  # noqa: S105 - the account of a bot that has a token

BUDGET: Final = Measured(
    "promotion_github_requests_remaining", "Requests that GitHub still allows in this hour.", ("account",)
)
ALLOWED: Final = Measured("promotion_github_requests_limit", "Requests that GitHub allows in an hour.", ("account",))
LAST_SWEEP: Final = Measured(
    "promotion_last_sweep_timestamp_seconds", "When everything was looked at last, in Unix time.", ("repository",)
)
KEPT: Final = (BUDGET, ALLOWED, LAST_SWEEP)


@dataclass(frozen=True, slots=True)
class Sample:
    """One series: the values of its labels and its value; a histogram's counts by bucket instead, and their sum."""

    labels: tuple[str, ...]
    value: float = 0.0
    buckets: Mapping[str, float] = field(default_factory=dict)


class Measurements:
    """One process' measurements. Without Redis nothing is kept; what cannot be written is let go, never a job."""

    def __init__(self, connection: redis.Redis | None) -> None:
        self._redis = connection
        self._sums: dict[str, float] = defaultdict(float)
        self._last: dict[str, float] = {}

    def count(self, metric: Measured, *labels: str) -> None:
        """Count one."""
        self._sums[_field(metric, labels, _COUNT)] += 1

    def observe(self, metric: Measured, value: float, *labels: str) -> None:
        """Take a value into a histogram."""
        bucket = next((f"{limit}" for limit in metric.buckets if value <= limit), _ANY)
        self._sums[_field(metric, labels, bucket)] += 1
        self._sums[_field(metric, labels, _SUM)] += value

    def keep(self, metric: Measured, value: float, *labels: str) -> None:
        """Remember the last value."""
        self._last[_field(metric, labels, _COUNT)] = value

    def request(self, service: str, status: str, seconds: float) -> None:
        """Take down a request to another system; `status` is 2xx and so on, or `none` where nothing answered."""
        self.count(REQUESTS, service, status)
        self.observe(REQUEST_SECONDS, seconds, service)

    def forget(self) -> None:
        """Begin anew: a forked process has what its parent has not written yet."""
        self._sums.clear()
        self._last.clear()

    def flush(self) -> None:
        """Add what was measured to that of all others."""
        if self._redis is None or not (self._sums or self._last):
            return
        with suppress(PromotionError), asked_of_redis(), self._redis.pipeline(transaction=False) as pipe:
            for name, value in self._sums.items():
                pipe.hincrbyfloat(_SUMS, name, round(value, 6))
            if self._last:
                pipe.hset(_LAST, mapping={name: str(value) for name, value in self._last.items()})
            pipe.execute()
        self.forget()


def read(connection: redis.Redis) -> Mapping[Measured, Sequence[Sample]]:
    """Everything that all processes measured."""
    with asked_of_redis(), connection.pipeline(transaction=False) as pipe:
        pipe.hgetall(_SUMS)
        pipe.hgetall(_LAST)
        sums, last = pipe.execute()
    found: dict[Measured, list[Sample]] = {metric: [] for metric in (*COUNTED, *KEPT)}
    by_name = {metric.name: metric for metric in found}
    grouped: dict[tuple[Measured, tuple[str, ...]], dict[str, float]] = defaultdict(dict)
    for name, raw in [*sums.items(), *last.items()]:
        metric, labels, part, value = _parsed(name, raw)
        known = by_name.get(metric)
        if known is not None and len(known.labels) == len(labels):  # another version of the bot may have others
            grouped[known, labels][part] = value
    for (known, labels), parts in sorted(grouped.items(), key=lambda item: item[0][1]):
        if known.buckets:
            found[known].append(Sample(labels, parts.get(_SUM, 0.0), _cumulated(known, parts)))
        else:
            found[known].append(Sample(labels, parts.get(_COUNT, 0.0)))
    return found


def _cumulated(metric: Measured, parts: Mapping[str, float]) -> dict[str, float]:
    buckets: dict[str, float] = {}
    total = 0.0
    for limit in (*(f"{limit}" for limit in metric.buckets), _ANY):
        total += parts.get(limit, 0.0)
        buckets[limit] = total
    return buckets


def _field(metric: Measured, labels: Sequence[str], part: str) -> str:
    return json.dumps([metric.name, *labels, part], separators=(",", ":"), ensure_ascii=False)


def _parsed(name: bytes, raw: bytes) -> tuple[str, tuple[str, ...], str, float]:
    """A field and its value; of no metric where somebody else wrote it."""
    try:
        match json.loads(name):
            case [str(metric), *labels, str(part)]:
                return metric, tuple(map(str, labels)), part, float(raw)
    except (ValueError, RecursionError):
        pass
    return "", (), "", 0.0
