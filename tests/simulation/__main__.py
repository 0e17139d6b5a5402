"""`python -m tests.simulation`: run schedules by their numbers, and tell the shortest story of one that fails."""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from pathlib import Path


def main() -> int:
    """Run the schedules of some seeds; exit code 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=200, help="how many schedules")
    parser.add_argument("--seed", type=int, help="one schedule, told in full")
    parser.add_argument("--mutation", default="", help="with this mistake in the code; only the number is told")
    parser.add_argument("--shortest", action="store_true", help="tell the shortest story of a mistake too")
    asked = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":
        # Sets of names are walked in an order that depends on it; a number must mean the same schedule everywhere.
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.simulation", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    if Path("/dev/shm").is_dir():
        os.environ["TMPDIR"] = "/dev/shm"
    from tests.simulation import mutations

    if asked.mutation:
        mutations.make(asked.mutation)
    from tests.simulation.schedule import run, shortest
    from tests.simulation.world import take_over_this_process

    take_over_this_process()
    if asked.seed is not None:
        outcome = run(asked.seed)
        print(
            "\n".join([*outcome.story, f"broken: {outcome.violation}" if outcome.violation else "every promise kept"])
        )
        return 1 if outcome.violation else 0
    started, looks, effects = time.monotonic(), 0, 0
    for seed in range(asked.first, asked.first + asked.count):
        outcome = run(seed)
        looks, effects = looks + outcome.looks, effects + outcome.effects
        if outcome.violation and asked.mutation and not asked.shortest:
            print(f"seed {seed}: {outcome.violation}")
            return 1
        if outcome.violation:
            steps, short = shortest(seed)
            print(f"seed {seed} breaks a promise; its shortest story has {len(steps)} of its steps:\n")
            print("\n".join(f"  {line}" for line in short.story))
            print(f"\n  broken: {short.violation}\n\nagain: python -m tests.simulation --seed {seed}")
            return 1
    seconds, used = time.monotonic() - started, resource.getrusage(resource.RUSAGE_SELF)
    print(
        f"{asked.count} schedules, {looks} looks to the end, {effects} effects, every promise kept; {seconds:.0f} s,"
        f" {used.ru_utime + used.ru_stime:.1f} s of processor time"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
