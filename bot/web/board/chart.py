"""A metric over a model's versions, with the bounds that policies set and what is live."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bot.domain.model_detail import VersionSeen
from bot.domain.repository_seen import PolicySeen, thresholds


@dataclass(frozen=True, slots=True)
class Bound:
    """A policy's bound: `at least` or `at most` so much."""

    policy: str
    value: float
    which: str


@dataclass(frozen=True, slots=True)
class Point:
    """The metric of one version; `live` names the environments that it is live in."""

    version: int
    value: float
    live: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """One metric, oldest version first; `others` are the metrics that there are beside it."""

    metric: str
    points: tuple[Point, ...]
    bounds: tuple[Bound, ...]
    champion: Point | None
    metrics: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        """What the page's script draws."""
        return {
            "metric": self.metric,
            "versions": [point.version for point in self.points],
            "values": [point.value for point in self.points],
            "bounds": [{"label": f"{b.policy}: {b.which} {b.value:.6g}", "value": b.value} for b in self.bounds],
            "champion": {"version": self.champion.version, "value": self.champion.value} if self.champion else None,
        }


def chart(
    versions: Sequence[VersionSeen], live: Mapping[str, int], policies: Sequence[PolicySeen], wanted: str
) -> Chart | None:
    """The chart of the wanted metric, or of the first that a policy names; None where no version has any.

    `live` are the live versions by environment, in the pipeline's order: the last one's is the champion.
    """
    there = {name for version in versions for name in version.metrics}
    if not there:
        return None
    named = [m.name for policy in reversed(policies) for c in policy.checks for m in c.metrics if m.name in there]
    metrics = tuple(dict.fromkeys((*named, *sorted(there))))
    metric = wanted if wanted in there else metrics[0]
    points = tuple(
        Point(v.version, v.metrics[metric], tuple(name for name, number in live.items() if number == v.version))
        for v in reversed(versions)
        if metric in v.metrics
    )
    champion_version = list(live.values())[-1] if live else None
    champion = next((point for point in points if point.version == champion_version), None)
    bounds = tuple(Bound(*bound) for bound in dict.fromkeys(thresholds(policies).get(metric, ())))
    return Chart(metric, points, bounds, champion, metrics)
