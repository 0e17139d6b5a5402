"""The promises hold in thousands of schedules, a number always means the same one, and mistakes are noticed."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.simulation.mutations import MUTATIONS, Mutation

ROOT = Path(__file__).parents[2]
SIDE_BY_SIDE = 2
PARTS = ((0, 1000), (1000, 1000))  # first and how many
MOST_TRIED = 400  # schedules, from the first that is known to notice a mistake


def simulated(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m tests.simulation`, in a process of its own: a mistake is made before the product is imported."""
    command = [sys.executable, "-m", "tests.simulation", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": "0"})


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_promise_is_kept_in_two_thousand_schedules() -> None:
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        parts = [("--first", str(first), "--count", str(count)) for first, count in PARTS]
        for ended in pool.map(lambda part: simulated(*part), parts):
            assert ended.returncode == 0, ended.stdout + ended.stderr
            assert "every promise kept" in ended.stdout


def test_a_number_always_means_the_same_schedule() -> None:
    first, second = simulated("--seed", "7"), simulated("--seed", "7")
    assert first.returncode == 0, first.stdout + first.stderr
    assert first.stdout == second.stdout
    assert first.stdout.count("\n") > 10


def test_a_broken_promise_is_told_as_its_shortest_story_with_its_number() -> None:
    mutation = next(m for m in MUTATIONS if m.name == "the window is not looked at")
    ended = simulated(
        "--mutation", mutation.name, "--shortest", "--first", str(mutation.seed), "--count", str(MOST_TRIED)
    )
    assert ended.returncode == 1
    assert "its shortest story has" in ended.stdout
    assert "again: python -m tests.simulation --seed" in ended.stdout


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
def test_a_mistake_in_the_code_is_noticed(mutation: Mutation) -> None:
    ended = simulated("--mutation", mutation.name, "--first", str(mutation.seed), "--count", str(MOST_TRIED))
    assert ended.returncode == 1, f"nobody notices that {mutation.name}: {ended.stdout}{ended.stderr}"
    assert "Traceback" not in ended.stderr, ended.stderr
