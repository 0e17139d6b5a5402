"""The record of a verdict that an auditor finds in a year: the verdict, what was judged, and what it stood on."""

from __future__ import annotations

import json
from datetime import datetime

from bot.domain.plain import moment_text
from bot.domain.world import Evaluation


def record(model: str, environment: str, evaluation: Evaluation, at: datetime) -> str:
    """The record as JSON; its `verdict` reads back without loss with `Verdict.from_dict`."""
    entry, champion = evaluation.entry, evaluation.champion
    said = {
        "apiVersion": "promotion-bot/v1",
        "kind": "Verdict",
        "model": model,
        "version": entry.version,
        "digest": entry.digest,
        "environment": environment,
        "at": moment_text(at),
        "policy_blob": evaluation.policy,
        "pipeline_blob": evaluation.pipeline,
        "champion": {"version": champion.version, "digest": champion.digest} if champion else None,
        "evidence_digest": evaluation.evidence.digest(),
        "verdict": evaluation.verdict.to_dict(),
    }
    return json.dumps(said, indent=2, ensure_ascii=False) + "\n"
