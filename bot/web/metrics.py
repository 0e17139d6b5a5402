"""What Prometheus reads. Each web process counts for itself in a shared directory, and any of them adds all up."""

from __future__ import annotations

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client import multiprocess as shared

from bot.domain.errors import PromotionError
from bot.gateways.queue import WorkQueue

WEBHOOKS = Counter(
    "promotion_webhooks", "Webhooks by their source and the status that they were answered with.", ("source", "status")
)
ACKNOWLEDGED = Histogram(
    "promotion_webhook_seconds",
    "Time to answer a webhook.",
    ("source",),
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5),
)


def page(queue: WorkQueue, directory: str | None) -> tuple[bytes, str]:
    """Everything measured, as Prometheus' text; `directory` is where the processes share their counts."""
    counted: CollectorRegistry = REGISTRY
    if directory:
        counted = CollectorRegistry()
        shared.MultiProcessCollector(counted, path=directory)  # type: ignore[no-untyped-call]
    now = CollectorRegistry()
    depth = Gauge("promotion_queue_keys", "Keys of the queue by state.", ("state",), registry=now)
    try:
        waiting, running = queue.depth()
    except PromotionError:
        pass  # without Redis the gauge is absent, which an alert can see
    else:
        depth.labels("waiting").set(waiting)
        depth.labels("active").set(running)
    return generate_latest(counted) + generate_latest(now), CONTENT_TYPE_LATEST
