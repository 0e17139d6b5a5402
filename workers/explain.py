"""Why a version stands as it does: every outcome of its policies, for one person who asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bot.domain.errors import Refused
from bot.domain.world import Ruling
from bot.wiring import Gateways
from policies.documents import InvalidDocument
from policies.evidence import Evidence, Run
from policies.verdict import Verdict
from workers.evaluate import Case, Evaluator, rules_at
from workers.repository_view import RepositoryView


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
    now = datetime.now(UTC)
    try:
        view = RepositoryView(gateways, repository or _owner(gateways, model, now), now)
    except InvalidDocument as invalid:
        raise Refused(str(invalid)) from invalid
    registered = gateways.registry.model(model)
    found = registered.version(version) if registered else None
    if registered is None or found is None:
        raise Refused(f"the registry has no version {version} of “{model}”")
    environments = [e for e in view.pipeline.pipeline.environments if environment in (None, e.name)]
    if not environments:
        raise Refused(f"the pipeline of {view.name} has no environment “{environment}”")
    evaluator = Evaluator(view, registered)
    explanations = []
    for each in environments:
        rules = rules_at(view.head, each, view.pipeline, view.files.policy)
        if rules is None:
            raise Refused(f"the policy {each.policy} cannot be read: see `promotion-bot policy check`")
        live = next(
            (j.entry for j in reversed(view.judgements_of(model, each.name)) if j.ruling is Ruling.AUTHORISED), None
        )
        evaluation = evaluator.evaluate(found, rules, Case(live, ""), now)
        explanations.append(
            Explained(
                each.name,
                evaluation.verdict,
                {check.id: check.source for check in rules.policy.policy.checks},
                _said(evaluation.evidence),
            )
        )
    return tuple(explanations)


def _owner(gateways: Gateways, model: str, now: datetime) -> str:
    for name in gateways.settings.repositories:
        if RepositoryView(gateways, name, now).pipeline.pipeline.owns(model):
            return name
    raise Refused(f"no pipeline of {', '.join(gateways.settings.repositories)} names “{model}”")


def _said(evidence: Evidence) -> dict[str, str]:
    """The evidence that verdicts stand on, in a few lines."""
    subject, champion = evidence.subject, evidence.champion
    run = subject.run
    return {
        "registered": f"{subject.created_at:%Y-%m-%d %H:%M} UTC",
        "digest": str(subject.digest),
        "run": f"{run.run_id} ({run.status})" if isinstance(run, Run) else "none",
        "champion": f"v{champion.version}" if champion else "nothing is live",
        "metrics": ", ".join(f"{m.name}={m.value:.6g}" for m in subject.metrics) or "none",
    }
