"""The clock of this machine against those of GitHub and MLflow: signatures and sign-ins carry the time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bot.domain.errors import Unreachable
from bot.gateways.clocks import seconds_behind
from bot.wiring import Gateways
from workers.diagnosis.finding import Diagnosis, State

MOST: Final = 30.0  # seconds; GitHub refuses an App's sign-in from a minute on, webhooks are refused from five on


def look_at_clocks(gateways: Gateways) -> Iterator[Diagnosis]:
    """The difference to each server that answers; whether one answers at all is said elsewhere."""
    settings = gateways.settings
    servers = {"GitHub": settings.github_api_url, "MLflow": settings.mlflow_tracking_uri}
    for name, url in servers.items():
        what = f"clock: {name}"
        if not url.startswith(("http://", "https://")):
            continue
        try:
            behind = seconds_behind(url, gateways.clock)
        except Unreachable as error:
            yield Diagnosis.of_error(what, error, "docs/operations.md#settings")
            continue
        if behind is None:
            yield Diagnosis(what, State.UNKNOWN, "its answers have no date", "compare the clocks by hand: date -u")
        elif abs(behind) > MOST:
            says = f"this machine is {abs(behind):.0f} s {'behind' if behind > 0 else 'ahead'}"
            yield Diagnosis(what, State.BAD, says, "sudo timedatectl set-ntp true, there or here")
        else:
            yield Diagnosis(what, State.GOOD, f"agrees within {max(1.0, abs(behind)):.0f} s")
