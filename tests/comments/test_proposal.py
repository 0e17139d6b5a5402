"""The text of a proposal: the verdict first, and the evidence that stays when it is settled."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bot.comments.proposal import body
from bot.domain.gates import Fate, ProposedChange, Standing
from bot.domain.manifest import Entry
from bot.domain.pipeline import parse_pipeline
from bot.domain.world import ChangeKind, Evaluation
from policies.evidence import Evidence, Metric, VersionEvidence
from policies.verdict import Outcome, Status, Verdict

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
(STAGING,) = parse_pipeline("""\
apiVersion: promotion-bot/v1
kind: Pipeline
models: [m]
environments:
  - {name: staging, policy: p.yaml, propose: on_registration, registry: {alias: staging}}
""").environments


def standing(status: Status) -> Standing:
    entry = Entry(3, f"sha256:{3:064x}", "1.0.1")
    outcome = Outcome("floor", "metric", status, "0.95", "at least 0.9")
    subject = VersionEvidence("fraud", 3, NOW, metrics=(Metric("accuracy", 0.95),))
    evidence = Evidence("staging", subject, None, NOW)
    evaluation = Evaluation(entry, Verdict("strict", (outcome,)), evidence, "policy", "pipeline", None)
    change = ProposedChange("m", "staging", None, entry, ChangeKind.PROMOTION, STAGING, evaluation=evaluation)
    return Standing(Fate.OPEN, "m", change)


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (Status.PASS, "### ✅ `fraud` v3 for **staging** passed every required check"),
        (Status.FAIL, "### ❌ `fraud` v3 for **staging** does not pass"),
        (Status.PENDING, "### ⏳ `fraud` v3 for **staging** waits for evidence"),
        (Status.ERROR, "### ⚠️ `fraud` v3 for **staging** cannot be judged yet"),
    ],
)
def test_the_verdict_comes_first(status: Status, says: str) -> None:
    lines = body(standing(status)).splitlines()
    assert lines[1] == says


def test_what_it_was_judged_on_stays_when_it_is_live() -> None:
    proposed = body(standing(Status.PASS))
    settled = body(Standing(Fate.LIVE, "m", None, since=NOW), proposed)
    assert settled.splitlines()[1] == "### 🟢 Merged and live since 2026-11-23 12:00 UTC"
    assert "Policy `strict`: 1 of 1 required checks passed." in settled
    assert "| `floor` | `0.95` | `at least 0.9` | ✅ pass |" in settled
    assert "waits" not in settled
