"""The example's shell scripts: what they call, what they say, how they end."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.examples.training import BIN, EXAMPLE, environment

SCRIPTS = sorted(EXAMPLE.glob("scripts/*.sh"))
NAMES = ("compare-models", "download-model", "promote-model", "train-and-log")


def run(*command: str, cwd: Path = EXAMPLE, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script with a `promotion-bot` and a `python` that say what they are called with."""
    everything = {**environment("http://mlflow.example.com"), **variables}
    return subprocess.run(command, cwd=cwd, env=everything, capture_output=True, text=True, timeout=120)


@pytest.fixture
def tools(tmp_path: Path) -> str:
    """A PATH whose programs print their arguments; `python train.py` leaves a run's id."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("promotion-bot", "python"):
        (folder / name).write_text(f'#!/bin/sh\necho "{name}" "$@"\nexit "${{EXIT:-0}}"\n')
        (folder / name).chmod(0o755)
    return f"{folder}:{environment()['PATH']}"


def test_they_are_all_here() -> None:
    assert tuple(path.stem for path in SCRIPTS) == NAMES


@pytest.mark.parametrize("script", [*SCRIPTS, EXAMPLE / "setup-dvc.sh"], ids=lambda path: path.name)
def test_a_script_is_clean_and_explains_itself(script: Path) -> None:
    checked = subprocess.run([BIN / "shellcheck", script], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    for option in ("-h", "--help"):
        helped = run(str(script), option)
        assert helped.returncode == 0, helped.stderr
        assert helped.stdout.startswith("Usage: ")
        assert script.name in helped.stdout


@pytest.mark.parametrize(
    ("command", "called"),
    [
        ("promote-model breast-cancer 3 production", "promote breast-cancer@3 --to production --wait"),
        ("promote-model breast-cancer latest staging --json", "promote breast-cancer --to staging --wait --json"),
        ("download-model m 3 there", "download m --version 3 --to there"),
        ("download-model m @champion there", "download m --alias champion --to there"),
        ("download-model m production there --json", "download m --environment production --to there --json"),
        ("promote-model breast-cancer v3 production", "promote breast-cancer@v3 --to production --wait"),
        ("compare-models m 1 2 --json", "compare m 1 2 --json"),
    ],
)
def test_a_script_calls_promotion_bot_and_ends_as_it_does(tools: str, command: str, called: str) -> None:
    name, *arguments = command.split()
    for code in (0, 1, 3):
        done = run(f"scripts/{name}.sh", *arguments, PATH=tools, EXIT=str(code))
        assert (done.stdout.strip(), done.returncode) == (f"promotion-bot {called}", code)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("promote-model", "Usage:"),
        ("promote-model breast-cancer 3", "Usage:"),
        ("download-model m @ there", "'@' is no version, alias or environment"),
        ("download-model m", "Usage:"),
        ("compare-models m 1", "Usage:"),
        ("train-and-log --model-typ x", "'--model-typ' is no option; --help lists them"),
        ("train-and-log --model-type", "--model-type wants a value"),
        ("train-and-log --name other", "--name goes with --register"),
    ],
)
def test_wrong_usage_is_said_and_nothing_is_called(tools: str, command: str, says: str) -> None:
    name, *arguments = command.split()
    done = run(f"scripts/{name}.sh", *arguments, PATH=tools)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stdout == ""


def test_a_word_stays_one_word(tools: str, tmp_path: Path) -> None:
    done = run(str(EXAMPLE / "scripts/download-model.sh"), "a model; x", "1", "to $here", PATH=tools, cwd=tmp_path)
    assert done.stdout == "promotion-bot download a model; x --version 1 --to to $here\n"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "train-and-log"])
def test_without_promotion_bot_it_says_how_to_get_it(name: str) -> None:
    done = run("bash", f"scripts/{name}.sh", "m", "1", "2", PATH="/usr/bin:/bin")
    assert done.returncode == 2
    assert "pip install promotion-bot" in done.stderr


def test_training_needs_to_know_where_to_log(tools: str) -> None:
    done = run("scripts/train-and-log.sh", PATH=tools, MLFLOW_TRACKING_URI="")
    assert done.returncode == 2
    assert "MLFLOW_TRACKING_URI is not set" in done.stderr


@pytest.mark.parametrize(
    ("options", "called", "last"),
    [
        ((), ["prepare.py", "train.py", "evaluate.py"], "0123abcd"),
        (
            ("--register", "--description", "more trees", "--model-type", "random_forest", "--data-path", "d"),
            ["train.py --model-type random_forest --data-path d", "evaluate.py --data-path d"],
            "python register.py 0123abcd --description more trees",
        ),
    ],
)
def test_a_model_is_trained_evaluated_and_where_asked_registered(
    tools: str, tmp_path: Path, options: tuple[str, ...], called: list[str], last: str
) -> None:
    (tmp_path / "scripts").mkdir()
    script = tmp_path / "scripts/train-and-log.sh"
    script.write_bytes((EXAMPLE / "scripts/train-and-log.sh").read_bytes())
    (tmp_path / "models").mkdir()
    (tmp_path / "models/run_id.txt").write_text("0123abcd\n")
    done = run("bash", str(script), *options, PATH=tools, cwd=Path("/"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [*(f"python {each}" for each in called), last]
    assert run("bash", str(script), *options, PATH=tools, EXIT="1").returncode == 1
