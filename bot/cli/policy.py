"""`promotion-bot policy`: what authors of policies do before anybody is judged by one."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bot.cli import EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_USAGE, options, output
from bot.domain.backtest import Difference, counted
from bot.domain.errors import Refused
from bot.domain.plain import moment_text
from bot.settings import Needs, Settings
from policies.verdict import Outcome, Severity, Status

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

    from bot.domain.backtest import Backtested
    from policies.cases import CaseResult
    from policies.documents import Problem
    from policies.policy import Policy
    from workers.explain import Explained

_TEST_SUFFIX = ".test.yaml"
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for editors and CI.")
_root = click.option(
    "--root",
    default=".",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The deploy repository, from which `extends` is read.  [default: here]",
)


@click.group("policy", help="Check, test, explain and backtest policies.")
def command() -> None:
    """Commands about policies."""


# --- check ------------------------------------------------------------------------------------------------------------


@command.command("check")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_root
@_as_json
def check(files: tuple[Path, ...], root: Path, as_json: bool) -> None:
    """Say what is wrong in policies, policy tests, a pipeline or a manifest, with file, line and column."""
    problems = [problem for file in files for problem in _problems_of(file, root)]
    if as_json:
        output.print_json([asdict(problem) for problem in problems])
    else:
        for problem in problems:
            output.say(str(problem))
        if not problems:
            output.say(f"{len(files)} file{'s' if len(files) > 1 else ''}: nothing is wrong")
    sys.exit(EXIT_REFUSED if problems else 0)


def _problems_of(file: Path, root: Path) -> Iterable[Problem]:
    from bot.domain.manifest import parse_manifest
    from bot.domain.pipeline import parse_pipeline
    from policies.cases import parse_cases
    from policies.documents import InvalidDocument, kind_of

    content, source = file.read_bytes(), str(file)
    try:
        match kind_of(content, source):
            case "Pipeline":
                parse_pipeline(content, source)
            case "ModelVersions":
                parse_manifest(content, source)
            case "PolicyTest":
                parse_cases(content, source, _read_policy(_tested_by(file), root))
            case _:
                _read_policy(file, root)
    except InvalidDocument as invalid:
        return invalid.problems
    return ()


def _read_policy(file: Path, root: Path) -> Policy:
    """A policy and those that it extends. Raises InvalidDocument, and Refused where there is no such file."""
    from policies.policy import parse_policy

    def read_file(path: str) -> bytes | None:
        found = (root / path).resolve()
        inside = found.is_relative_to(root.resolve())
        return found.read_bytes() if inside and found.is_file() else None

    if not file.is_file():
        raise Refused(f"there is no {file}")
    return parse_policy(file.read_bytes(), str(file), read_file)


def _tested_by(cases: Path) -> Path:
    return cases.with_name(cases.name.removesuffix(_TEST_SUFFIX) + ".yaml")


# --- test -------------------------------------------------------------------------------------------------------------


@command.command("test")
@click.argument("files", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--coverage", is_flag=True, help="Name the checks that no case makes fail.")
@_root
@_as_json
def test(files: tuple[Path, ...], coverage: bool, root: Path, as_json: bool) -> None:
    """Run the cases beside policies (NAME.test.yaml beside NAME.yaml).  [default: all below here]"""
    from policies.cases import never_failing, parse_cases, run_case
    from policies.documents import InvalidDocument

    found = list(_test_files(files or (root,)))
    if not found:
        raise Refused(f"there is no *{_TEST_SUFFIX} in {' or '.join(map(str, files or (root,)))}")
    reports: list[dict[str, Any]] = []
    for file in found:
        try:
            policy = _read_policy(_tested_by(file), root)
            results = tuple(run_case(policy, case) for case in parse_cases(file.read_bytes(), str(file), policy))
        except InvalidDocument as invalid:
            output.say(*map(str, invalid.problems), err=True)
            sys.exit(EXIT_USAGE)
        uncovered = never_failing(policy, results) if coverage else ()
        reports.append(_report(file, results, uncovered))
        if not as_json:
            _print_results(file, results, uncovered)
    if as_json:
        output.print_json(reports)
    sys.exit(EXIT_REFUSED if any(report["wrong"] or report["never_failing"] for report in reports) else 0)


def _test_files(places: Iterable[Path]) -> Iterable[Path]:
    for place in places:
        if place.is_dir():
            yield from sorted(place.rglob(f"*{_TEST_SUFFIX}"))
        else:
            yield place if place.name.endswith(_TEST_SUFFIX) else place.with_suffix(_TEST_SUFFIX)


def _report(file: Path, results: tuple[CaseResult, ...], uncovered: tuple[str, ...]) -> dict[str, Any]:
    return {
        "file": str(file),
        "cases": [{"name": r.case.name, "passed": not r.wrong, "verdict": r.verdict.to_dict()} for r in results],
        "wrong": [
            {"case": r.case.name, "check": name, "expected": expected.value, "found": got.value}
            for r in results
            for name, expected, got in r.wrong
        ],
        "never_failing": list(uncovered),
    }


def _print_results(file: Path, results: tuple[CaseResult, ...], uncovered: tuple[str, ...]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("Case", "Result", title=output.words(file), title_justify="left")
    for result in results:
        lines = [output.words(_wrong(result, *each), "red") for each in result.wrong]
        text = Text("\n").join(lines) if lines else Text("as expected", style="green")
        table.add_row(output.words(result.case.name), text)
    console = Console()
    console.print(table)
    if uncovered:
        console.print(output.words(f"No case makes these checks fail: {', '.join(uncovered)}", "yellow"))


def _wrong(result: CaseResult, name: str, expected: Status, found: Status) -> str:
    outcome = result.outcome(name)
    measured = f" (measured {outcome.measured}, required {outcome.required})" if outcome else ""
    return f"{name}: expected {expected}, found {found}{measured}"


# --- explain ----------------------------------------------------------------------------------------------------------


@command.command("explain")
@click.argument("model")
@click.argument("version", type=options.version)
@click.option("--environment", help="The environment to judge for.  [default: each]")
@click.option("--repository", help="The deploy repository.  [default: the one that owns the model]")
@_as_json
def explain(model: str, version: int, environment: str | None, repository: str | None, as_json: bool) -> None:
    """Show every outcome of a version's policies, with what was measured and where the check stands."""
    settings = options.prepared(Needs.GITHUB | Needs.REGISTRY)
    from bot.wiring import without_queue
    from workers.explain import explained

    found = explained(without_queue(settings), model, version, repository, environment)
    if as_json:
        output.print_json([each.to_dict() for each in found])
    else:
        _print_explained(model, version, found)
    statuses = {each.verdict.status for each in found}
    if statuses <= {Status.PASS, Status.ERROR}:
        sys.exit(EXIT_UNREACHABLE if Status.ERROR in statuses else 0)
    sys.exit(EXIT_REFUSED)


def _print_explained(model: str, version: int, found: Sequence[Explained]) -> None:
    from rich.console import Console
    from rich.tree import Tree

    console = Console()
    for each in found:
        title = output.words(f"{model} v{version} in {each.environment}: ") + _status_text(each.verdict.status)
        tree = Tree(title + output.words(f"  ({each.verdict.policy})", "dim"))
        for outcome in each.verdict.outcomes:
            _add_outcome(tree, outcome, each.sources.get(outcome.check, ""))
        evidence = tree.add(output.words("evidence", "dim"))
        for name, value in each.evidence.items():
            evidence.add(output.words(f"{name}: {value}", "dim"))
        console.print(tree)


def _add_outcome(tree: Tree, outcome: Outcome, source: str) -> None:
    label = _status_text(outcome.status) + output.words(f" {outcome.check} ({outcome.kind})", "bold")
    advisory = " advisory" if outcome.severity is Severity.ADVISORY else ""
    branch = tree.add(label + output.words(f"{advisory}  {source}", "dim"))
    branch.add(output.words(f"measured {outcome.measured}"))
    branch.add(output.words(f"required {outcome.required}"))
    if outcome.remedy:
        branch.add(output.words(outcome.remedy, "italic"))
    if outcome.until:
        branch.add(output.words(f"until {outcome.until:%Y-%m-%d %H:%M} UTC", "dim"))
    for child in outcome.children:
        _add_outcome(branch, child, "")


def _status_text(status: Status) -> Text:
    colours = {Status.PASS: "green", Status.FAIL: "red", Status.ERROR: "magenta", Status.PENDING: "yellow"}
    return output.words(status.value, colours.get(status, "dim"))


# --- backtest ---------------------------------------------------------------------------------------------------------


@command.command("backtest")
@click.option("--since", default="90d", show_default=True, help="How far back: a duration such as 90d.")
@click.option("--policy", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A new policy.")
@click.option("--environment", help="The environment.  [default: those that the policy is for]")
@click.option("--repository", help="The deploy repository.  [default: the first that is served]")
@_root
@_as_json
def backtest(
    since: str, file: Path | None, environment: str | None, repository: str | None, root: Path, as_json: bool
) -> None:
    """Say what policies would have decided for every version of the past, against what was decided then."""
    from policies.documents import InvalidDocument
    from policies.durations import parse_duration

    try:
        moment = datetime.now(UTC) - parse_duration(since)
        new = (file, _read_policy(file, root)) if file else None
    except (ValueError, OverflowError) as error:
        raise click.UsageError(f"--since: {error}") from error
    except InvalidDocument as invalid:
        raise Refused(str(invalid)) from invalid
    settings = options.prepared(Needs.GITHUB | Needs.REGISTRY)
    from bot.wiring import without_queue
    from workers.backtest import History, backtest, policies_for
    from workers.repository_view import RepositoryView

    now = datetime.now(UTC)
    name = _served(settings, repository)
    try:
        view = RepositoryView(without_queue(settings), name, now)
        policies = policies_for(view, environment, new)
    except InvalidDocument as invalid:
        raise Refused(str(invalid)) from invalid
    history = History.since(view, moment)
    rows = list(_with_progress(backtest(view, policies, history, now), len(history.versions) * len(policies)))
    if as_json:
        output.print_json([_row(row) for row in rows])
    else:
        _print_backtest(rows, since)
    sys.exit(EXIT_REFUSED if any(row.difference is Difference.NEWLY_REFUSED for row in rows) else 0)


def _served(settings: Settings, repository: str | None) -> str:
    if repository is None:
        return settings.repositories[0]
    if repository not in settings.repositories:
        raise Refused(f"{repository} is not among PROMOTION_REPOSITORIES: {', '.join(settings.repositories)}")
    return repository


def _with_progress(rows: Iterable[Backtested], total: int) -> Iterable[Backtested]:
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(rows, "Backtest", total=total, console=console, disable=not console.is_terminal, transient=True)


def _row(row: Backtested) -> dict[str, Any]:
    return {
        "model": row.model,
        "version": row.version,
        "environment": row.environment,
        "registered_at": moment_text(row.registered_at),
        "then": row.then.value if row.then else None,
        "difference": row.difference.value,
        "verdict": row.verdict.to_dict(),
    }


def _print_backtest(rows: list[Backtested], since: str) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    shown = [row for row in rows if row.difference in (Difference.NEWLY_REFUSED, Difference.NEWLY_ACCEPTED)]
    if shown:
        table = Table("Model", "Version", "Environment", "Difference", "Why")
        for row in shown:
            why = "; ".join(f"{o.check}: {o.measured}" for o in row.verdict.having(Status.FAIL))
            cells = (row.model, f"v{row.version}", row.environment, row.difference.value, why)
            table.add_row(*map(output.words, cells))
        console.print(table)
    counts = ", ".join(f"{count} {difference.value}" for difference, count in counted(rows).items())
    console.print(output.words(f"{len(rows)} decisions of the last {since}: {counts}"))
