"""Load a downloaded model, predict on its own input example, and fail where it answers too slowly.

    python try_model.py DIRECTORY [--limit MILLISECONDS] [--calls N]

It loads the model, and with it whatever code stands in it: run it where no secret is.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import mlflow


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--limit", type=float, default=50.0, help="the 95th percentile, in milliseconds")
    parser.add_argument("--calls", type=int, default=100)
    arguments = parser.parse_args()
    if arguments.calls < 2:
        parser.error("--calls: a percentile needs two or more")
    model = mlflow.pyfunc.load_model(str(arguments.directory))
    example = model.input_example
    if example is None:
        print("The model has no input example: log it with `input_example=`.", file=sys.stderr)
        return 1
    model.predict(example)  # the first call warms up
    taken = []
    for _ in range(arguments.calls):
        started = time.perf_counter()
        model.predict(example)
        taken.append((time.perf_counter() - started) * 1000)
    p95 = statistics.quantiles(taken, n=20)[-1]
    print(f"{arguments.calls} predictions, p95 {p95:.2f} ms, limit {arguments.limit:g} ms")
    return 0 if p95 <= arguments.limit else 1


if __name__ == "__main__":
    sys.exit(main())
