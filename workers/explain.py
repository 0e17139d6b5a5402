"""Why a version stands as it does: every outcome of its policies, for one person who asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.domain.errors import Refused
from bot.domain.world import Ruling
from bot.wiring import Gateways
from policies.evidence import Evidence, Run
from policies.verdict import Verdict
from workers.evaluate import Case, Evaluator, rules_at
from workers.reading import expect_environment, registered, version_of, view_of


@dataclass(frozen=True, slots=True)
class Explained:
    """One environment's verdict on a version. `sources` are the files that the checks stand in."""

    environment: str
    verdict: Verdict
    sources: Mapping[str, str]
    evidence: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "environment": self.environment,
            "verdict": self.verdict.to_dict(),
            "sources": dict(self.sources),
            "evidence": dict(self.evidence),
        }


def explained(
    gateways: Gateways, model: str, version: int, repository: str | None, environment: str | None
) -> tuple[Explained, ...]:
    """The verdicts on a version in one environment, or in each. Raises Refused for what is not there."""
    view = view_of(gateways, repository, model)
    known = registered(gateways, model)
    found = version_of(known, version)
    names = (
        [expect_environment(view, environment)]
        if environment
        else [e.name for e in view.pipeline.pipeline.environments]
    )
    environments = [view.environment(name) for name in names]
    evaluator = Evaluator(view, known)
    explanations = []
    for each in environments:
        rules = rules_at(view.head, each, view.pipeline, view.files.policy)
        if rules is None:
            raise Refused(f"the policy {each.policy} cannot be read: see `promotion-bot policy check`")
        live = next(
            (j.entry for j in reversed(view.judgements_of(model, each.name)) if j.ruling is Ruling.AUTHORISED), None
        )
        evaluation = evaluator.evaluate(found, rules, Case(live, ""), view.now)
        explanations.append(
            Explained(
                each.name,
                evaluation.verdict,
                {check.id: check.source for check in rules.policy.policy.checks},
                _said(evaluation.evidence),
            )
        )
    return tuple(explanations)


def _said(evidence: Evidence) -> dict[str, str]:
    """The evidence that verdicts stand on, in a few lines."""
    subject, champion = evidence.subject, evidence.champion
    run = subject.run
    return {
        "registered": f"{subject.created_at:%Y-%m-%d %H:%M} UTC",
        "digest": str(subject.digest or "its files cannot be read"),
        "run": f"{run.run_id} ({run.status})" if isinstance(run, Run) else "none",
        "champion": f"v{champion.version}" if champion else "nothing is live",
        "metrics": ", ".join(f"{m.name}={m.value:.6g}" for m in subject.metrics) or "none",
    }
