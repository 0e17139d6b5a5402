"""Every metric that workers keep, measured once."""

from __future__ import annotations

from bot.gateways.measurements import COUNTED, KEPT, Measurements

_SERVED = {"repository": "acme/models", "account": "acme"}


def measure_everything(measured: Measurements) -> None:
    """One value of each metric, of the repository `acme/models`; other labels are named `some …`."""
    for metric in (*COUNTED, *KEPT):
        labels = tuple(_SERVED.get(label, f"some {label}") for label in metric.labels)
        if metric in KEPT:
            measured.keep(metric, 1.0, *labels)
        elif metric.buckets:
            measured.observe(metric, 1.0, *labels)
        else:
            measured.count(metric, *labels)
    measured.flush()
