"""What Prometheus reads. Each web process counts for itself in a shared directory, and any of them adds all up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
)
from prometheus_client import multiprocess as shared
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from bot.domain.board import Cell, MatterKind
from bot.domain.errors import PromotionError
from bot.gateways.github.budget import owner_of
from bot.gateways.measurements import KEPT, TOKEN, Measured, Sample
from bot.gateways.queue import WorkQueue
from bot.gateways.troubles import Standing

SOURCES: Final = ("github", "mlflow")
WEBHOOKS = Counter(
    "promotion_webhooks",
    "Webhooks by their source, their event, and the status that they were answered with.",
    ("source", "event", "status"),
)
ACKNOWLEDGED = Histogram(
    "promotion_webhook_seconds",
    "Time to answer a webhook.",
    ("source",),
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5),
)


def count(source: str, event: str, status: int, seconds: float) -> None:
    """Count one webhook."""
    _counter(source, event, status).inc()
    _histogram(source).observe(seconds)


@cache
def _counter(source: str, event: str, status: int) -> Counter:
    # Looking up a label costs as much as counting; there are some dozens of them.
    return WEBHOOKS.labels(source, event, str(status))


@cache
def _histogram(source: str) -> Histogram:
    return ACKNOWLEDGED.labels(source)


def registry(queue: WorkQueue, served: Sequence[str], directory: str) -> CollectorRegistry:
    """Everything measured of the repositories `served`; `directory` is where the processes share their counts."""
    everything = CollectorRegistry()
    shared.MultiProcessCollector(everything, path=directory)  # type: ignore[no-untyped-call]
    everything.register(_QueueCollector(queue, served))
    return everything


def webhooks(directory: str | None) -> list[tuple[str, int, int, int]]:
    """By source, how many webhooks were taken, refused, and could not be queued, since the processes started."""
    counted: CollectorRegistry = REGISTRY
    if directory:
        counted = CollectorRegistry()
        shared.MultiProcessCollector(counted, path=directory)  # type: ignore[no-untyped-call]
    found = {source: [0, 0, 0] for source in SOURCES}
    for metric in counted.collect():
        for sample in metric.samples:
            if sample.name == "promotion_webhooks_total" and sample.labels["source"] in found:
                status = sample.labels["status"]
                place = {"2": 0, "4": 1}.get(status[:1], 2)
                found[sample.labels["source"]][place] += int(sample.value)
    return [(source, *counts) for source, counts in found.items()]  # type: ignore[misc]


def page(queue: WorkQueue, served: Sequence[str], directory: str | None) -> tuple[bytes, str]:
    """Everything measured, as Prometheus' text; without a directory what this process counted."""
    if directory:
        return generate_latest(registry(queue, served, directory)), CONTENT_TYPE_LATEST
    now = CollectorRegistry()
    now.register(_QueueCollector(queue, served))
    return generate_latest(REGISTRY) + generate_latest(now), CONTENT_TYPE_LATEST


class _QueueCollector(Collector):
    """Reads the queue when Prometheus asks; without Redis these are absent, which an alert can see.

    What is left of a repository that is not served any more is not told: an alert on it would never end.
    """

    def __init__(self, queue: WorkQueue, served: Sequence[str]) -> None:
        self._queue = queue
        self._served = frozenset(served)
        self._accounts = {owner_of(name) for name in served} | {TOKEN}

    def describe(self) -> Iterable[Metric]:
        """Nothing: what registers must not wait for Redis."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The queue's depth and what became of the jobs."""
        with suppress(PromotionError):
            depth = self._queue.depth()
            keys = GaugeMetricFamily("promotion_queue_keys", "Keys in the queue by state.", labels=["state"])
            keys.add_metric(["due"], depth.due)
            keys.add_metric(["later"], depth.later)
            keys.add_metric(["active"], depth.active)
            yield keys
            yield GaugeMetricFamily(
                "promotion_queue_oldest_seconds", "How long the first due key has waited.", depth.oldest
            )
            asked = GaugeMetricFamily("promotion_queue_asked", "Due keys by how urgent they are.", labels=["urgency"])
            for urgency, count in depth.asked.items():
                asked.add_metric([urgency.name.lower()], count)
            yield asked
            yield from self._troubles()
            jobs = CounterMetricFamily("promotion_jobs", "Jobs by kind of key and result.", labels=["kind", "result"])
            seconds = CounterMetricFamily("promotion_job_seconds", "Seconds in jobs.", labels=["kind", "result"])
            for tally in self._queue.tallies():
                jobs.add_metric([tally.kind, tally.result], tally.count)
                seconds.add_metric([tally.kind, tally.result], tally.seconds)
            yield jobs
            yield seconds
            yield from self._board()
            yield from self._measured()

    def _troubles(self) -> Iterator[Metric]:
        away = GaugeMetricFamily(
            "promotion_service_away_since_seconds",
            "Since when a service does not answer, in Unix time.",
            labels=["service"],
        )
        for service in self._queue.troubles.away():
            away.add_metric([service.service], service.since)
        yield away
        failing = self._queue.troubles.failing_of(self._served)
        keys = GaugeMetricFamily("promotion_failing_keys", "Keys whose looks fail.", labels=["state"])
        for standing in Standing:
            keys.add_metric([standing], sum(each.standing is standing for each in failing))
        yield keys

    def _board(self) -> Iterator[Metric]:
        labels = ["repository", "environment"]
        drifting = GaugeMetricFamily("promotion_drifting", "Models that differ from what was merged.", labels=labels)
        held = GaugeMetricFamily("promotion_held", "Models that are on hold.", labels=labels)
        proposed = GaugeMetricFamily("promotion_proposals", "Open proposals.", labels=labels)
        oldest = GaugeMetricFamily(
            "promotion_proposals_oldest_since_seconds", "Since when the oldest is open, in Unix time.", labels=labels
        )
        counts: dict[tuple[str, str], _Counts] = {}
        for row in self._queue.boards.rows():
            for cell in row.cells if row.repository in self._served else ():
                counts.setdefault((row.repository, cell.environment), _Counts()).add(cell)
        for (repository, environment), count in sorted(counts.items()):
            drifting.add_metric([repository, environment], count.drifting)
            held.add_metric([repository, environment], count.held)
            proposed.add_metric([repository, environment], count.proposed)
            if count.oldest is not None:
                oldest.add_metric([repository, environment], count.oldest.timestamp())
        yield from (drifting, held, proposed, oldest)

    def _measured(self) -> Iterator[Metric]:
        for metric, samples in self._queue.measured().items():
            yield _family(metric, [sample for sample in samples if self._is_served(metric, sample)])

    def _is_served(self, metric: Measured, sample: Sample) -> bool:
        said = dict(zip(metric.labels, sample.labels, strict=True))
        return said.get("repository") in {None, *self._served} and said.get("account") in {None, *self._accounts}


@dataclass(slots=True)
class _Counts:
    """What the cells of one repository and environment add up to; `oldest` is when their first proposal was opened."""

    drifting: int = 0
    held: int = 0
    proposed: int = 0
    oldest: datetime | None = None

    def add(self, cell: Cell) -> None:
        """Take one model's cell."""
        self.drifting += cell.has(MatterKind.DRIFTING)
        self.held += cell.hold is not None
        self.proposed += len(cell.proposed)
        opened = [proposed.since for proposed in cell.proposed]
        self.oldest = min(opened if self.oldest is None else [*opened, self.oldest], default=None)


def _family(metric: Measured, samples: Iterable[Sample]) -> Metric:
    """A metric as Prometheus' client draws it."""
    if metric.buckets:
        histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        for sample in samples:
            histogram.add_metric(sample.labels, list(sample.buckets.items()), sample.value)
        return histogram
    kind = GaugeMetricFamily if metric in KEPT else CounterMetricFamily
    family = kind(metric.name, metric.help, labels=metric.labels)
    for sample in samples:
        family.add_metric(sample.labels, sample.value)
    return family
