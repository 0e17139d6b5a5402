"""A deploy repository as its pages show it: environments with their rules, and each policy with whom it refused."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from bot.domain.board import named
from bot.domain.model_detail import VersionSeen
from bot.domain.pipeline import After, Environment, Manual, Merge, OnAlias, OnRegistration, OnTag, Propose
from bot.domain.windows import frozen_by, opens_at
from policies.kinds import KINDS
from policies.kinds.base import Check
from policies.kinds.compare import CompareCheck
from policies.kinds.compose import Composition
from policies.kinds.metric import MetricCheck
from policies.policy import Policy, PolicyCheck
from policies.verdict import Severity, Status

COUNTED: Final = timedelta(days=90)
MOST_NAMED: Final = 20  # refused versions that are named for a check


@dataclass(frozen=True, slots=True)
class EnvironmentSeen:
    """One environment and its rules in words. `frozen` is why its window is closed, until `opens`."""

    name: str
    policy: str
    proposes: str
    merges: str
    frozen: str | None = None
    opens: datetime | None = None


@dataclass(frozen=True, slots=True)
class RefusedVersion:
    """A version that a check refused; `at` is when it was registered."""

    model: str
    version: int
    environment: str
    at: datetime


@dataclass(frozen=True, slots=True)
class MetricSeen:
    """A metric that a check names, and the bounds that every version keeps to pass it."""

    name: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class CheckSeen:
    """One check of a policy: what it asks for, of which metrics, and whom it refused."""

    id: str
    kind: str
    asks: str
    severity: Severity
    remedy: str = ""
    metrics: tuple[MetricSeen, ...] = ()
    refused: int = 0
    versions: tuple[RefusedVersion, ...] = ()


@dataclass(frozen=True, slots=True)
class PolicySeen:
    """One policy, the environments that use it, and how many versions it judged of those that are counted."""

    path: str
    name: str
    environments: tuple[str, ...]
    checks: tuple[CheckSeen, ...]
    judged: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class RepositorySeen:
    """What a sweep saw last: when it began and ended, and how many models there are."""

    name: str
    swept_at: datetime
    seconds: float
    models: int
    environments: tuple[EnvironmentSeen, ...] = ()
    policies: tuple[PolicySeen, ...] = ()
    problem: str = ""


def environment_seen(rules: Environment, now: datetime) -> EnvironmentSeen:
    """An environment's rules in words."""
    freeze = frozen_by(rules.freeze, now)
    return EnvironmentSeen(
        rules.name,
        rules.policy,
        _proposes(rules.propose),
        _merges(rules),
        freeze.reason if freeze else None,
        opens_at(rules.freeze, now) if freeze else None,
    )


def _proposes(rule: Propose) -> str:
    match rule:
        case OnRegistration():
            return "each new version"
        case OnTag(key, value):
            return f"tag {key}={value}"
        case OnAlias(alias):
            return f"alias {alias}"
        case After(environment, soak):
            return f"{_spoken(soak)} in {environment}" if soak else f"after {environment}"
        case Manual():
            return "when asked for"


def _merges(rules: Environment) -> str:
    wanted = rules.approvals
    if wanted.count:
        of = named(wanted.allowed)
        return f"{wanted.count} approval{'' if wanted.count == 1 else 's'}" + (f" of {of}" if of else "")
    return "the bot merges" if rules.merge is Merge.AUTO else "people merge"


def _spoken(time: timedelta) -> str:
    seconds = int(time.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


# --- policies ---------------------------------------------------------------------------------------------------------


def policy_seen(path: str, policy: Policy, environments: tuple[str, ...]) -> PolicySeen:
    """A policy in words; nobody is counted yet."""
    return PolicySeen(path, policy.name, environments, tuple(_check(check) for check in policy.checks))


def _check(check: PolicyCheck) -> CheckSeen:
    asks = KINDS[check.kind].summary
    match check.check:
        case MetricCheck(name) as metric:
            asks = f"“{name}” is {metric.required}"
        case CompareCheck(metric=name):
            asks = f"“{name}” holds its own against what is live"
    metrics = tuple(_metrics(check.kind, check.check))
    return CheckSeen(check.id, check.kind, asks, check.severity, check.remedy, metrics)


def _metrics(kind: str, check: Check) -> Iterator[MetricSeen]:
    match check:
        case MetricCheck(name, low, high):
            yield MetricSeen(name, low, high)
        case CompareCheck(metric=name):
            yield MetricSeen(name)
        case Composition(parts):
            for metric in (each for part in parts for each in _metrics(part.kind, part.check)):
                # What one part of `any` asks for, a version may miss and pass.
                yield metric if kind == "all" else MetricSeen(metric.name)


@dataclass
class Refusals:
    """Whom the checks of each environment refused, of the versions that were registered since a moment."""

    since: datetime
    _by_check: dict[tuple[str, str], list[RefusedVersion]] = field(default_factory=lambda: defaultdict(list))
    _judged: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _refused: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def count(self, model: str, versions: Iterable[VersionSeen]) -> None:
        """Count what a model's versions say of themselves."""
        for version in versions:
            if version.registered_at < self.since:
                continue
            for checked in version.checked:
                failed = [check for check, status in checked.checks.items() if status is Status.FAIL]
                self._judged[checked.environment] += bool(checked.checks)
                self._refused[checked.environment] += checked.verdict is Status.FAIL
                for check in failed:
                    refused = RefusedVersion(model, version.version, checked.environment, version.registered_at)
                    self._by_check[checked.environment, check].append(refused)

    def of(self, policy: PolicySeen) -> PolicySeen:
        """The policy with whom it refused."""
        return replace(
            policy,
            checks=tuple(self._of_check(policy.environments, check) for check in policy.checks),
            judged=sum(self._judged[name] for name in policy.environments),
            refused=sum(self._refused[name] for name in policy.environments),
        )

    def _of_check(self, environments: tuple[str, ...], check: CheckSeen) -> CheckSeen:
        found = [refused for name in environments for refused in self._by_check.get((name, check.id), ())]
        newest = sorted(found, key=lambda refused: (refused.at, refused.model, refused.version), reverse=True)
        return replace(check, refused=len(found), versions=tuple(newest[:MOST_NAMED]))


def thresholds(policies: Iterable[PolicySeen]) -> Mapping[str, tuple[tuple[str, float, str], ...]]:
    """For each metric that a policy bounds: the policy's name, the bound, and whether it is the least or the most."""
    found: dict[str, list[tuple[str, float, str]]] = defaultdict(list)
    for policy in policies:
        for check in policy.checks:
            for metric in check.metrics:
                if metric.low is not None:
                    found[metric.name].append((policy.name, metric.low, "at least"))
                if metric.high is not None:
                    found[metric.name].append((policy.name, metric.high, "at most"))
    return {metric: tuple(bounds) for metric, bounds in found.items()}
