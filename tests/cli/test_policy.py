"""`promotion-bot policy check` and `test`, as an author runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bot.cli.policy import command
from bot.domain.errors import Refused

POLICY = """apiVersion: promotion-bot/v1
kind: Policy
name: p
extends: [policies/base.yaml]
checks:
  - {id: floor, metric: {name: accuracy, at_least: 0.9}}
"""
BASE = """apiVersion: promotion-bot/v1
kind: Policy
name: base
checks:
  - {id: run, run: {}}
"""
CASES = """apiVersion: promotion-bot/v1
kind: PolicyTest
cases:
  - {name: good, given: {metrics: {accuracy: 0.95}}, expect: {verdict: pass}}
"""
FAILING = "  - {name: bad, given: {metrics: {accuracy: 0.5}}, expect: {floor: fail, run: pass}}\n"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "p.yaml").write_text(POLICY)
    (tmp_path / "policies" / "base.yaml").write_text(BASE)
    (tmp_path / "policies" / "p.test.yaml").write_text(CASES)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def test_what_is_right_is_said_and_ends_with_0(repository: Path) -> None:
    (repository / "versions.yaml").write_text("apiVersion: promotion-bot/v1\nkind: ModelVersions\nmodels: {}\n")
    result = run("check", "policies/p.yaml", "policies/base.yaml", "policies/p.test.yaml", "versions.yaml")
    assert (result.exit_code, result.output) == (0, "4 files: nothing is wrong\n")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("p.yaml", POLICY.replace("at_least", "atleast"), "6:42: unknown key “atleast”; did you mean “at_least”?"),
        ("p.yaml", POLICY.replace("base.yaml", "none.yaml"), "there is no file “policies/none.yaml”"),
        ("p.yaml", POLICY.replace("policies/base.yaml", "../outside.yaml"), "there is no file “../outside.yaml”"),
        ("p.yaml", "kind: [Policy", "is not YAML"),
        ("p.yaml", "kind: Pipeline\n", "lacks the key"),
        ("p.yaml", "kind: ModelVersions\n", "lacks the key"),
        ("p.test.yaml", CASES.replace("verdict:", "nothing:"), "the policy has no check “nothing”"),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_ends_with_1(
    repository: Path, name: str, text: str, said: str
) -> None:
    (repository.parent / "outside.yaml").write_text(BASE)
    path = repository / "policies" / name
    path.write_text(text)
    result = run("check", f"policies/{name}")
    assert result.exit_code == 1
    assert result.output.startswith(f"policies/{name}:")
    assert said in result.output
    problems = json.loads(run("check", "--json", f"policies/{name}").output)
    assert {"source", "line", "column", "message"} == set(problems[0])


def test_cases_are_run_and_shown_in_a_table(repository: Path) -> None:
    result = run("test")
    assert result.exit_code == 0
    assert "good" in result.output
    assert "as expected" in result.output
    (repository / "policies" / "p.test.yaml").write_text(CASES + FAILING.replace("run: pass", "run: fail"))
    result = run("test", "policies/p.yaml")
    assert result.exit_code == 1
    assert "run: expected fail, found pass" in " ".join(result.output.split())


def test_coverage_names_the_checks_that_nothing_makes_fail(repository: Path) -> None:
    assert run("test").exit_code == 0
    result = run("test", "--coverage")
    assert result.exit_code == 1
    assert "No case makes these checks fail: floor" in result.output
    (repository / "policies" / "p.test.yaml").write_text(CASES + FAILING)
    assert run("test", "--coverage").exit_code == 0
    report = json.loads(run("test", "--coverage", "--json").output)
    assert [case["passed"] for case in report[0]["cases"]] == [True, True]
    assert report[0]["never_failing"] == []


def test_wrong_cases_end_with_2_and_none_are_said(repository: Path) -> None:
    (repository / "policies" / "p.test.yaml").write_text(CASES.replace("verdict: pass", "verdict: fine"))
    result = run("test")
    assert result.exit_code == 2
    assert "policies/p.test.yaml:4:" in result.stderr
    (repository / "policies" / "p.test.yaml").unlink()
    assert isinstance(run("test").exception, Refused)
