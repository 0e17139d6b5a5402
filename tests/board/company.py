"""A company's board: a dozen models, of which some wait, are refused, held, frozen, or drift."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from bot.domain.board import Cell, Matter, MatterKind, Proposed
from bot.domain.errors import Service
from bot.domain.keys import ModelKey, RegisteredModelKey
from bot.domain.manifest import Entry
from bot.domain.model_detail import Checked, Judged, ModelDetail, VersionSeen
from bot.domain.pull_requests import CheckState
from bot.domain.repository_seen import (
    CheckSeen,
    EnvironmentSeen,
    MetricSeen,
    PolicySeen,
    RefusedVersion,
    RepositorySeen,
)
from bot.domain.timeline import Event, EventKind
from bot.gateways.board_details import GateSeen
from bot.gateways.queue import WorkQueue
from policies.verdict import Outcome, Severity, Status, Verdict

REPOSITORY = "acme/models"
ENVIRONMENTS = ("staging", "canary", "production")
HOSTILE = '<img src=x onerror="alert(1)">\n</script><script>alert(2)</script> `{{7*7}}` \u202etxt'
FEATURED = "fraud-detector"
_TEAM = "2 approvals of @acme/ml-platform"
_METRICS = (0.912, 0.918, 0.904, 0.921, 0.917, 0.926, 0.931, 0.928, 0.893, 0.934, 0.937, 0.941)


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def ago(**time: float) -> datetime:
    return now() - timedelta(**time)


def entry(version: int, release: str) -> Entry:
    return Entry(version, f"sha256:{version:064x}", release)


def waiting(version: int, pull: int, **since: float) -> tuple[Proposed, Matter]:
    at = ago(**since)
    proposed = Proposed(version, pull, at, _TEAM)
    what = f"v{version} waits for {_TEAM}"
    return proposed, Matter(MatterKind.WAITING, what, "Review it.", pull, version, since=at)


def settled(model: str, version: int, release: str, days: float = 9) -> tuple[Cell, ...]:
    live = entry(version, release)
    return tuple(
        Cell(model, name, live, ago(days=days - i), ("promotion-bot[bot]", "carol", "bob")[i])
        for i, name in enumerate(ENVIRONMENTS)
    )


def _featured() -> tuple[Cell, ...]:
    proposed, waits = waiting(12, 148, hours=5)
    return (
        Cell(FEATURED, "staging", entry(12, "2.4.0"), ago(days=1.3), "promotion-bot[bot]"),
        Cell(FEATURED, "canary", entry(12, "2.4.0"), ago(hours=9), "carol"),
        Cell(FEATURED, "production", entry(11, "2.3.1"), ago(days=23), "bob", (proposed,), None, (waits,)),
    )


def rows() -> dict[str, tuple[Cell, ...]]:
    """The overview, by model."""
    churn_waits = waiting(31, 151, minutes=44)
    frozen_waits = waiting(7, 139, days=2.1)
    opens = now() + timedelta(days=2)
    frozen = Matter(
        MatterKind.FROZEN,
        "the window is closed: weekend",
        "It opens Mon 2026-11-30 08:00 UTC; @acme/ml-leads may `/override window because …`.",
        139,
        7,
        until=opens,
    )
    held = Matter(
        MatterKind.HELD,
        "rolled back to v17 (3f9c2ab), by alice",
        "Comment `/resume recommender in production` when automation may go on.",
        since=ago(hours=20),
    )
    drifting = Matter(
        MatterKind.DRIFTING,
        "the alias champion points at v5, and v4 is live",
        "Put it back in MLflow, or merge a promotion that says the same.",
    )
    refused = Matter(
        MatterKind.REFUSED,
        "v9 was refused: accuracy-floor: measured 0.871, required at least 0.9",
        "Register a version that passes, or have it overridden.",
        version=9,
        since=ago(hours=3),
    )
    evidence = Matter(
        MatterKind.EVIDENCE,
        "v3, asked for by dana-ds, waits for evidence",
        "Let its run end with everything that the policy asks for.",
        version=3,
        since=ago(minutes=12),
    )
    taken = Matter(
        MatterKind.TAKEN,
        "mallory uses the branch of v4's proposal",
        "Merge or close it; the bot proposes nothing from a branch that somebody else uses.",
        163,
        4,
        since=ago(minutes=90),
    )
    churn, price, reco, ocr, spam, demand, credit = (
        settled("churn", 30, "3.1.2", 40),
        settled("dynamic-pricing", 6, "1.5.0", 12),
        settled("recommender", 17, "4.0.3", 2.8),
        settled("ocr-invoices", 4, "1.1.0", 60),
        settled("spam-filter", 8, "2.0.1", 33),
        settled("demand-forecast", 2, "1.0.1", 5),
        settled("credit-scoring", 3, "1.2.0", 90),
    )
    found = {
        FEATURED: _featured(),
        "churn": (*churn[:2], _with(churn[2], (churn_waits[0],), churn_waits[1])),
        "dynamic-pricing": (*price[:2], _with(price[2], (frozen_waits[0],), frozen_waits[1], frozen)),
        "recommender": (*reco[:2], _held(reco[2], held)),
        "ocr-invoices": (*ocr[:2], _with(ocr[2], (), drifting)),
        "spam-filter": (_with(spam[0], (), refused), *spam[1:]),
        "demand-forecast": (_with(demand[0], (), evidence), *demand[1:]),
        "search-ranking": settled("search-ranking", 22, "5.2.0", 15),
        "credit-scoring": (_with(credit[0], (), taken), *credit[1:]),
        "image-tagger": settled("image-tagger", 14, "2.7.4", 3.5),
        "lead-scoring": (
            Cell("lead-scoring", "staging", entry(1, "1.0.0"), ago(hours=1), "promotion-bot[bot]"),
            Cell("lead-scoring", "canary"),
            Cell("lead-scoring", "production"),
        ),
    }
    return dict(sorted(found.items()))


def _with(cell: Cell, proposed: tuple[Proposed, ...], *matters: Matter) -> Cell:
    return Cell(cell.model, cell.environment, cell.live, cell.since, cell.by, proposed, None, matters)


def _held(cell: Cell, matter: Matter) -> Cell:
    return Cell(cell.model, cell.environment, cell.live, cell.since, cell.by, (), matter.what, (matter,))


def verdict(policy: str) -> Verdict:
    """A verdict with every kind of outcome, and one that is composed."""
    parts = (
        Outcome("latency", "metric", Status.PASS, "38 ms", "at most 50 ms"),
        Outcome("size", "artifact", Status.FAIL, "612 MB", "at most 500 MB", "Prune or quantise the model."),
    )
    return Verdict(
        policy,
        (
            Outcome("accuracy-floor", "metric", Status.PASS, "0.941", "at least 0.9"),
            Outcome("beats-champion", "compare", Status.PASS, "0.941", "at least 0.932 (v11 has 0.937)"),
            Outcome("lineage", "lineage", Status.PASS, "git_commit, data_version", "git_commit, data_version"),
            Outcome("no-code-in-pickle", "scan", Status.PASS, "3 files, nothing unsafe", "no unsafe code"),
            Outcome("fast-or-small", "any", Status.PASS, "1 of 2 passes", "any of them", children=parts),
            Outcome(
                "integration",
                "github_check",
                Status.PENDING,
                "integration-tests is running",
                "success",
                "Nothing to do: it is looked at again.",
            ),
            Outcome(
                "answers-fast",
                "metric",
                Status.FAIL,
                "61",
                "at most 50",
                "Bring “latency_p95_ms” to at most 50.",
                severity=Severity.ADVISORY,
            ),
        ),
    )


def judged() -> tuple[Judged, ...]:
    run = "9c1f0f6f6f5e4d0fb1a2"
    return tuple(
        Judged(
            name, 12, ago(hours=6 + 20 * (2 - i)), verdict(policy), f"sha256:{12:064x}", 11, run, "dana", "4be19c02d7"
        )
        for i, (name, policy) in enumerate((("staging", "staging"), ("production", "production")))
    )


def versions() -> tuple[VersionSeen, ...]:
    found = []
    for number, accuracy in enumerate(_METRICS, start=1):
        checks = {"accuracy-floor": Status.PASS, "lineage": Status.PASS}
        status = {12: "proposed", 11: "live", 9: "refused"}.get(number, "superseded")
        if number == 9:
            checks["accuracy-floor"] = Status.FAIL
        found.append(
            VersionSeen(
                version=number,
                registered_at=ago(days=(12 - number) * 11 + 1.4),
                release=f"2.{number // 4}.{number % 4}",
                user="dana",
                stage={11: "Production", 12: "Staging"}.get(number, "Archived"),
                aliases=("champion",) if number == 11 else (),
                run=f"{number:02d}1f0f6f6f5e4d0fb1a2",
                commit=f"{number:02d}be19c02d7f",
                data=f"2026-{min(11, number):02d}-01",
                metrics={"accuracy": accuracy, "f1_score": accuracy - 0.012, "latency_p95_ms": 70 - number * 2.5},
                checked=(
                    Checked("staging", "live" if number == 12 else status, Status.PASS, checks),
                    Checked("production", status, Status.FAIL if number == 9 else Status.PASS, checks),
                ),
            )
        )
    return tuple(reversed(found))


def events() -> tuple[Event, ...]:
    return (
        Event(
            ago(hours=4),
            EventKind.COMMENTED,
            "overrode answers-fast because the batch path is used",
            "production",
            12,
            "carol",
            issue=148,
            comment=9001,
        ),
        Event(ago(hours=5), EventKind.PROPOSED, "", "production", 12, pull_request=148),
        Event(ago(hours=6), EventKind.VALIDATED, "passed every required check", "production", 12),
        Event(ago(hours=9), EventKind.LIVE, "took effect in the registry", "canary", 12, "", 146, commit="a1" * 20),
        Event(ago(hours=9, seconds=20), EventKind.MERGED, "", "canary", 12, "carol", 146, commit="a1" * 20),
        Event(ago(hours=9, seconds=20), EventKind.APPROVED, "at the merged commit", "canary", 12, "alice and bob", 146),
        Event(ago(days=1.3), EventKind.LIVE, "took effect in the registry", "staging", 12, "", 141, commit="b2" * 20),
        Event(ago(days=1.35), EventKind.PROPOSED, "", "staging", 12, pull_request=141),
        Event(ago(days=1.4), EventKind.REGISTERED, "", version=12, by="dana"),
        Event(
            ago(days=23),
            EventKind.ROLLED_BACK,
            "went back to a version that was live before",
            "production",
            11,
            "",
            120,
            commit="c3" * 20,
        ),
        Event(ago(days=34), EventKind.REFUSED, "did not pass the policy", "production", 9),
        Event(ago(days=34.4), EventKind.REGISTERED, "", version=9, by="dana"),
    )


def environments() -> tuple[EnvironmentSeen, ...]:
    return (
        EnvironmentSeen("staging", "policies/staging.yaml", "each new version", "the bot merges"),
        EnvironmentSeen("canary", "policies/staging.yaml", "24 h in staging", "people merge"),
        EnvironmentSeen(
            "production",
            "policies/production.yaml",
            "8 h in canary",
            "2 approvals of @acme/ml-platform",
            "weekend",
            now() + timedelta(days=2),
        ),
    )


def policies() -> tuple[PolicySeen, ...]:
    floor = CheckSeen(
        "accuracy-floor",
        "metric",
        "“accuracy” is at least 0.9",
        Severity.REQUIRED,
        "Retrain on the last 90 days.",
        (MetricSeen("accuracy", low=0.9),),
        refused=7,
        versions=(
            RefusedVersion("spam-filter", 9, "staging", ago(hours=3)),
            RefusedVersion(FEATURED, 9, "staging", ago(days=34)),
            *(RefusedVersion("churn", number, "staging", ago(days=60 - number)) for number in range(24, 29)),
        ),
    )
    lineage = CheckSeen("lineage", "lineage", "The lineage names code and data.", Severity.REQUIRED, refused=2)
    champion = CheckSeen(
        "beats-champion",
        "compare",
        "“f1_score” holds its own against what is live",
        Severity.REQUIRED,
        metrics=(MetricSeen("f1_score"),),
    )
    fast = CheckSeen(
        "answers-fast",
        "metric",
        "“latency_p95_ms” is at most 50",
        Severity.ADVISORY,
        metrics=(MetricSeen("latency_p95_ms", high=50.0),),
    )
    return (
        PolicySeen("policies/staging.yaml", "staging", ("staging", "canary"), (floor, lineage), 58, 9),
        PolicySeen("policies/production.yaml", "production", ("production",), (floor, champion, lineage, fast), 31, 2),
    )


def fill(queue: WorkQueue) -> None:
    """Put the company onto an empty board."""
    board = rows()
    queue.boards.show_all(REPOSITORY, board)
    details = [ModelDetail(REPOSITORY, model) for model in board if model != FEATURED]
    queue.details.show([*details, ModelDetail(REPOSITORY, FEATURED, versions(), events())])
    queue.details.remember(REPOSITORY, FEATURED, judged())
    queue.details.show_repository(
        RepositorySeen(REPOSITORY, ago(seconds=41), 1.9, len(board), environments(), policies())
    )
    approvals = GateSeen(
        "promotion/approvals",
        CheckState.IN_PROGRESS,
        ("1 more of 2 approvals needed from @acme/ml-platform",),
    )
    green = GateSeen("promotion/policy", CheckState.SUCCESS)
    queue.details.show_gates(REPOSITORY, 148, (green, approvals))
    queue.details.show_gates(REPOSITORY, 151, (green, GateSeen("promotion/window", CheckState.SUCCESS)))


def disturb(queue: WorkQueue) -> None:
    """Have the service be in trouble."""
    for _ in range(3):
        queue.troubles.is_away(Service.MLFLOW, "MLflow at https://mlflow.acme.example could not be reached")
    queue.troubles.failed(ModelKey(REPOSITORY, "ocr-invoices"), "KeyError in observe.state, line 7")
    queue.request(RegisteredModelKey("churn"), ModelKey(REPOSITORY, "churn"))


def at_work(queue: WorkQueue) -> None:
    """Have two workers, and a budget."""
    stamp = f"{now():%Y-%m-%dT%H:%M:%S}.000000Z"
    for name, state in (("6f0c2d7e9a", "busy"), ("b81e44a203", "idle")):
        queue.connection.sadd("rq:workers", f"rq:worker:{name}")
        queue.connection.hset(
            f"rq:worker:{name}",
            mapping={"hostname": "worker-0", "state": state, "birth": stamp, "last_heartbeat": stamp},
        )
    queue.connection.hset("promotion:budgets", "one", f'["acme", 5000, 4321, {time.time() + 1800}]')
