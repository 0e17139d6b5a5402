"""Data as DVC leaves it in a repository, without DVC, and the tags that a run has of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import mlflow

CSV = b"a,b\n1,2\n"
MD5 = hashlib.md5(CSV).hexdigest()
OTHER = "0" * 32


def track(place: Path, content: bytes = CSV, md5: str = "") -> None:
    """What `dvc add data/dataset.csv` leaves behind."""
    (place / "data").mkdir(exist_ok=True)
    (place / "data/dataset.csv").write_bytes(content)
    md5 = md5 or hashlib.md5(content).hexdigest()
    pointer = f"outs:\n- md5: {md5}\n  size: {len(content)}\n  hash: md5\n  path: dataset.csv\n"
    (place / "data/dataset.csv.dvc").write_text(pointer)


def lock(place: Path, path: str, md5: str) -> None:
    """What `dvc repro` leaves behind."""
    stage = f"    cmd: python prepare.py\n    outs:\n    - path: {path}\n      hash: md5\n      md5: {md5}\n"
    (place / "dvc.lock").write_text(f"schema: '2.0'\nstages:\n  prepare:\n{stage}")


def tags() -> dict[str, str]:
    """The tags of the active run, as MLflow has them."""
    run = mlflow.active_run()
    assert run is not None
    return dict(mlflow.get_run(run.info.run_id).data.tags)
