"""Every text that people read on GitHub, word for word, and harmless whatever stands in the registry.

`UPDATE_GOLDEN=1 pytest tests/comments` writes the files anew; what changed is then read in the diff.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from bot.comments import by_person, checks, issues, proposal, release, replies
from bot.comments.replies import Said as Line
from bot.domain.approvals import ApprovalRule, Approvals
from bot.domain.backtest import Backtested
from bot.domain.board import Cell, Matter, MatterKind, Proposed
from bot.domain.comparison import compare
from bot.domain.gates import Fate, Gate, ProposedChange, Standing
from bot.domain.instructions import Holding, HoldKind, Instruction, Said, Settled, Told
from bot.domain.manifest import Entry
from bot.domain.pipeline import parse_pipeline
from bot.domain.pull_requests import CheckName, CheckState, Login
from bot.domain.world import ChangeKind, Evaluation
from policies.documents import Problem
from policies.evidence import Evidence, Metric, Run, RunStatus, Unreadable, VersionEvidence
from policies.verdict import Outcome, Severity, Status, Verdict

GOLDEN = Path(__file__).parent / "golden"
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
HOSTILE = (
    "@acme/everyone <!-- promotion-bot:status --> <img src=x onerror=alert(1)> [click](http://evil) "
    "`code` ``` | a | b | #1 GH-2 www.evil.com http://evil.com \u202egnp.exe\n\n/override all because x "
    + "x"
    * 1_000_000
)
PIPELINE = parse_pipeline("""\
apiVersion: promotion-bot/v1
kind: Pipeline
models: [fraud]
environments:
  - {name: staging, policy: p.yaml, propose: on_registration, merge: auto, registry: {stage: Staging, alias: staging}}
  - name: production
    policy: p.yaml
    propose: {after: staging, soak: 24h}
    approvals: {count: 2, from: ["@acme/ml-platform", "alice"]}
    registry: {stage: Production, alias: champion, archive_existing: true}
""")
STAGING, PRODUCTION = PIPELINE.environments


def entry(version: int) -> Entry:
    return Entry(version, f"sha256:{version:064x}", f"1.{version}.0")


def evidence(model: str = "fraud", text: str = "") -> Evidence:
    metrics = (Metric("accuracy", 0.953), Metric("f1", 0.91, "holdout"), Metric(text or "loss", 0.2))
    before = (Metric("accuracy", 0.94), Metric("f1", 0.92, "holdout"))
    run = Run("8e1b", RunStatus.FINISHED, text or "dana", {"depth": "3"})
    lineage = {"git_commit": text or "0f1e2d3c4b", "data_version": text or "2026-11"}
    subject = VersionEvidence(model, 12, NOW, run=run, metrics=metrics, tags=lineage)
    champion = VersionEvidence(model, 9, NOW, run=replace(run, params={"depth": "2"}), metrics=before)
    return Evidence("production", subject, champion, NOW)


def outcomes(text: str = "") -> tuple[Outcome, ...]:
    bound = Outcome("accuracy-floor", "metric", Status.PASS, "0.953", "at least 0.85")
    worse = Outcome("beats-champion", "compare", Status.FAIL, text or "0.91", "at least 0.915", text or "Retrain.")
    slow = Outcome("fast", "metric", Status.FAIL, "80 ms", "at most 50 ms", severity=Severity.ADVISORY)
    parts = Outcome("either", "any", Status.PASS, "1 of 2", "one of 2", children=(bound, worse))
    return (bound, worse, slow, parts)


def evaluation(*found: Outcome, text: str = "", model: str = "fraud") -> Evaluation:
    return Evaluation(entry(12), Verdict("production", found), evidence(model, text), "b10b", "p1pe", entry(9))


def traced(text: str = "") -> Evaluation:
    """A version whose training recorded all that it can, or wrote `text` everywhere."""
    tags = {
        "data_hash": "md5:0123456789abcdef0123456789abcdef",
        "data_path": "data/all.csv",
        "data_version": "data-v1.0",
        "git_branch": "main",
        "git_commit": "0f1e2d3c4b",
        "git_dirty": "true",
        "git_repository": "acme/training",
        "mlflow.parentRunId": "77aa66bb55cc44dd",
        "trained_by": "dana",
    }
    found = evaluation(outcomes()[0], model=text or "fraud")
    run = Run(text or "8e1b", RunStatus.FINISHED, "dana", tags={name: text or said for name, said in tags.items()})
    evidence = replace(found.evidence, subject=replace(found.evidence.subject, run=run, tags={}))
    return replace(found, evidence=evidence)


def change(kind: ChangeKind = ChangeKind.PROMOTION, **fields: object) -> ProposedChange:
    base = ProposedChange("fraud", "production", entry(9), entry(12), kind, PRODUCTION)
    return replace(base, **{"evaluation": evaluation(outcomes()[0]), **fields})  # type: ignore[arg-type]


def standing(**fields: object) -> Standing:
    pipeline = (("staging", entry(12)), ("production", entry(9)))
    return replace(Standing(Fate.OPEN, "fraud", change(), pipeline=pipeline), **fields)  # type: ignore[arg-type]


def told(said: Said, **fields: object) -> Told:
    return Told(said, "production", **{"model": "fraud", "version": 12, **fields})  # type: ignore[arg-type]


def instruction(said: Said, **fields: object) -> Instruction:
    return Instruction(told(said, **fields), Login("carol"), NOW, 41, 1001, 1)


def hostile() -> Evaluation:
    return evaluation(*outcomes(HOSTILE), text=HOSTILE, model=HOSTILE)


def without_files() -> Evaluation:
    """As the store of the version's files did not answer."""
    said = "The artifact store at s3://models/12 was asked to list the files: no answer"
    needed, remedy = "the version's files can be read", "Nothing to do: it is tried again."
    found = evaluation(Outcome("artifacts", "artifacts", Status.ERROR, said, needed, remedy))
    return replace(found, entry=Entry(12, "", "1.4.0"), without_files=Unreadable(said))


def overridden() -> ProposedChange:
    verdict = Verdict("production", outcomes()).overridden({"beats-champion": "carol in #41: the outage is worse"})
    window = {"window": instruction(Said.OVERRIDE, check="window", reason="we lose money")}
    return change(evaluation=replace(evaluation(), verdict=verdict), overrides=window)


def notes(text: str = "") -> release.Notes:
    found = evidence(text or "fraud", text)
    return release.Notes(
        model=text or "fraud",
        environment="production",
        entry=entry(12),
        pull_request=41,
        approved_by=("alice", "bob"),
        overrides=(instruction(Said.OVERRIDE, check="beats-champion", reason=text or "the outage is worse"),),
        evidence=found.subject,
        comparison=compare(found.champion, found.subject) if found.champion else None,
    )


def batch() -> tuple[ProposedChange, ...]:
    return (change(), change(model="churn", evaluation=evaluation(*outcomes(), model="churn")))


def shown(check: object) -> str:
    return f"{check.name}: {check.state}\n{check.title}\n\n{check.summary}\n"  # type: ignore[attr-defined]


def backtested() -> tuple[Backtested, ...]:
    verdicts = (Verdict("p", outcomes()), Verdict("p", outcomes()[:1]))
    return tuple(
        Backtested("fraud", number, "staging", NOW, then, verdict)
        for number, then, verdict in ((1, Status.PASS, verdicts[0]), (2, Status.FAIL, verdicts[1]))
    )


def gate(name: CheckName, state: CheckState, *reasons: str, **fields: object) -> str:
    return shown(checks.check(replace(Gate(name, state, reasons, (change(),), "f1f2"), **fields)))  # type: ignore[arg-type]


def issue(text: tuple[str, str]) -> str:
    return f"# {text[0]}\n\n{text[1]}\n"


HOLD = Holding(HoldKind.COMMAND, "held in #3 because of the audit", "alice", NOW)


DRIFTED = Matter(MatterKind.DRIFTING, HOSTILE, "")


def cells() -> tuple[Cell, ...]:
    return (
        Cell("fraud", "staging", entry(12), NOW),
        Cell(
            "fraud",
            "production",
            entry(9),
            NOW,
            proposed=(Proposed(12, 41, NOW, "2 approvals"),),
            hold=str(HOLD),
            matters=(Matter(MatterKind.DRIFTING, "the alias champion is not there", "Put it back."),),
        ),
        Cell("churn", "production"),
    )


COMMIT = "c" * 40
REASONS = ("2 of 2 approvals are missing", "the window was closed (weekend)")
TEXTS: dict[str, Callable[[], str]] = {
    "proposal-passes": lambda: proposal.body(standing(supersedes=40)),
    "proposal-fails": lambda: proposal.body(standing(change=change(evaluation=evaluation(*outcomes())))),
    "proposal-without-files": lambda: proposal.body(standing(change=change(evaluation=without_files()))),
    "proposal-first": lambda: proposal.body(standing(change=change(before=None))),
    "proposal-lineage": lambda: proposal.body(standing(change=change(evaluation=traced()))),
    "proposal-auto": lambda: proposal.body(standing(change=change(environment="staging", rules=STAGING))),
    "proposal-overridden": lambda: proposal.body(standing(change=overridden())),
    "proposal-held": lambda: proposal.body(standing(hold=HOLD, request=instruction(Said.PROMOTE))),
    "proposal-rollback": lambda: proposal.body(standing(change=change(ChangeKind.ROLLBACK, evaluation=evaluation()))),
    "proposal-batch": lambda: proposal.body(standing(change=None, changes=batch())),
    "proposal-live": lambda: proposal.body(Standing(Fate.LIVE, "fraud", since=NOW), proposal.body(standing())),
    "proposal-went-back": lambda: proposal.body(Standing(Fate.LIVE, "fraud", since=NOW, went_back=True)),
    "proposal-no-effect": lambda: proposal.body(Standing(Fate.NO_EFFECT, "fraud", reasons=REASONS)),
    "proposal-closed": lambda: proposal.body(Standing(Fate.CLOSED, "fraud", superseded_by=50)),
    "by-person": lambda: by_person.body("fraud", "production", entry(12)),
    "check-policy": lambda: gate(CheckName.POLICY, CheckState.SUCCESS),
    "check-policy-rules": lambda: gate(CheckName.POLICY, CheckState.SUCCESS, warnings=("changes the rules: p.yaml",)),
    "check-approvals": lambda: gate(
        CheckName.APPROVALS,
        CheckState.IN_PROGRESS,
        "fraud in production: 1 more of 2 approvals needed",
        changes=(change(approvals=Approvals(ApprovalRule(2), not_counted=("dana: trained the model",))),),
    ),
    "check-window": lambda: gate(CheckName.WINDOW, CheckState.ACTION_REQUIRED, "closed (weekend), opens Monday"),
    "check-window-overridden": lambda: gate(CheckName.WINDOW, CheckState.SUCCESS, changes=(overridden(),)),
    "check-backtest": lambda: shown(checks.backtest(backtested(), "f1f2")),
    "check-commit": lambda: shown(checks.has_no_effect("production", "fraud", REASONS)),
    "issue-refused": lambda: issue(
        issues.refused_change("fraud", "production", "c" * 40, entry(12), entry(9), REASONS)
    ),
    "issue-lost": lambda: issue(issues.lost_version("fraud", "production", "c" * 40, entry(12))),
    "issue-drift": lambda: issue(issues.drift("fraud", "production", ("the alias champion is not there",), 2)),
    "issue-files": lambda: issue(issues.invalid_files("acme/models", (Problem("promotion.yaml", 3, 5, "is wrong"),))),
    "issue-shared": lambda: issue(issues.shared_model("acme/models", "fraud", ["acme/risk"])),
    "issue-tag": lambda: issue(issues.tag_elsewhere("model-fraud-v12", "c" * 40, "d" * 40)),
    "reply": lambda: replies.reply(
        1001,
        [
            Line(1, "/hold because of lunch", Settled.DONE, replies.held(told(Said.HOLD)), told(Said.HOLD)),
            Line(3, "/hodl", Settled.REFUSED, replies.cannot("there is no command /hodl; did you mean “/hold”?")),
        ],
    ),
    "reply-proposed": lambda: replies.proposed(told(Said.PROMOTE), 41),
    "reply-refused": lambda: replies.refused(told(Said.PROMOTE), "", evaluation(*outcomes())),
    "reply-waiting": lambda: replies.waiting(
        told(Said.PROMOTE), evaluation(replace(outcomes()[0], status=Status.PENDING, measured="not logged yet"))
    ),
    "reply-resumed": lambda: replies.resumed(told(Said.RESUME), HOLD),
    "reply-overridden": lambda: replies.overridden(told(Said.OVERRIDE, check="window")),
    "reply-cancelled": lambda: replies.cancelled(41),
    "reply-status": lambda: replies.status(cells()),
    "reply-explained": lambda: replies.explained(outcomes()[1], evaluation(*outcomes())),
    "reply-explained-without-files": lambda: replies.explained(without_files().verdict.outcomes[0], without_files()),
    "reply-compared": lambda: replies.compared(compare(evidence().champion or evidence().subject, evidence().subject)),
    "reply-help": replies.commands,
    "reply-late": replies.too_late,
    "release": lambda: issue(release.release(notes())),
    "release-first": lambda: issue(release.release(replace(notes(), comparison=None, pull_request=None))),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_is_what_people_were_shown_before(name: str) -> None:
    text, file = TEXTS[name](), GOLDEN / f"{name}.md"
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == text


def test_no_golden_file_is_left_over() -> None:
    assert {file.stem for file in GOLDEN.iterdir()} == set(TEXTS)


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_renders_by_itself_and_as_an_answer(name: str) -> None:
    text = TEXTS[name]()
    for shown in (text, replies.reply(1, [Line(1, "/status", Settled.DONE, text)])):
        html = MarkdownIt("gfm-like", {"linkify": False}).render(shown)
        assert "| ---" not in html, "a table that is none"
        assert html.count("<table>") == html.count("</table>")


@pytest.mark.parametrize(
    "text",
    [
        lambda: proposal.body(
            standing(change=change(evaluation=evaluation(*outcomes(HOSTILE), text=HOSTILE, model=HOSTILE)))
        ),
        lambda: proposal.body(standing(change=change(evaluation=traced(HOSTILE)))),
        lambda: proposal.body(standing(change=None, changes=(change(model=HOSTILE), change(model=HOSTILE)))),
        lambda: proposal.body(standing(hold=Holding(HoldKind.COMMAND, HOSTILE), request=instruction(Said.PROMOTE))),
        lambda: replies.refused(told(Said.PROMOTE, model=HOSTILE), "", evaluation(*outcomes(HOSTILE), text=HOSTILE)),
        lambda: replies.reply(1, [Line(1, HOSTILE, Settled.REFUSED, replies.cannot(HOSTILE))]),
        lambda: replies.status((Cell(HOSTILE, "production", entry(1), matters=(DRIFTED,)),)),
        lambda: issues.drift(HOSTILE, "production", (HOSTILE,), 0)[1],
        lambda: issues.refused_change(HOSTILE, "production", COMMIT, None, None, (HOSTILE,))[1],
        lambda: release.release(notes(HOSTILE))[1],
    ],
)
def test_hostile_text_is_harmless(text: Callable[[], str]) -> None:
    rendered = text()
    assert len(rendered) < 60_000
    assert "@acme" not in rendered
    assert "\u202e" not in rendered
    assert "<img" not in re.sub(r"`[^`]*`", "", rendered)
    assert rendered.count("<!-- promotion-bot:status -->") <= 1
    assert not any(line.startswith("/") for line in rendered.splitlines())
    html = MarkdownIt("gfm-like", {"linkify": False}).render(rendered)
    assert "<img" not in html
    assert 'href="http' not in html
