"""How the service itself is doing: what waits, which outside system does not answer since when, which looks fail."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from bot.gateways.queue import WorkQueue
from bot.gateways.troubles import Cause

_DO: Final = {
    Cause.MISTAKE: (
        "The worker's log has the whole error. When its cause is mended, `promotion-bot sweep` has it looked at again; "
        "so has any event about it."
    ),
    Cause.OUTSIDE: "It is tried on. Mend what it says; `promotion-bot doctor` checks credentials and rights.",
}


def state(queue: WorkQueue) -> dict[str, Any]:
    """The service's state as JSON values; raises Unreachable while Redis does not answer."""
    depth = queue.depth()
    return {
        "queue": {
            "due": depth.due,
            "asked": {urgency.name.lower(): count for urgency, count in depth.asked.items()},
            "later": depth.later,
            "active": depth.active,
            "oldest_seconds": round(depth.oldest, 1),
        },
        "away": [
            {"service": away.service, "since": _time(away.since), "failures": away.failures, "said": away.said}
            for away in queue.troubles.away()
        ],
        "failing": [
            {
                "key": failing.key,
                "failures": failing.failures,
                "last": _time(failing.at),
                "what": failing.what,
                "standing": failing.standing.value,
                "do": _DO[failing.cause],
            }
            for failing in queue.troubles.failing()
        ],
    }


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
