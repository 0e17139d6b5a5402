"""Split the data set into rows to train with and rows to test on, the same way every time.

python prepare.py
"""

import hashlib
from pathlib import Path

import pandas as pd
import yaml
from sklearn.model_selection import train_test_split

from dataset import TARGET

SOURCE = Path("data/dataset.csv")
PREPARED = Path("data/prepared")
OF = PREPARED / "source.md5"  # which data was split


def main() -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    if not SOURCE.is_file():
        raise SystemExit(f"there is no {SOURCE}: run `dvc pull {SOURCE}`, or ./setup-dvc.sh in a new repository")
    try:
        rows = pd.read_csv(SOURCE).drop_duplicates()
    except ValueError as error:  # an empty file, another format, another encoding
        raise SystemExit(f"{SOURCE} is no table of comma-separated values: {error}") from error
    expect_usable(rows)
    try:
        train, test = train_test_split(
            rows, test_size=params["prepare"]["test_share"], random_state=params["seed"], stratify=rows[TARGET]
        )
    except ValueError as error:  # a share that is none, or too few rows
        raise SystemExit(f"{SOURCE} cannot be split as params.yaml says: {error}") from error
    PREPARED.mkdir(parents=True, exist_ok=True)
    train.to_csv(PREPARED / "train.csv", index=False)
    test.to_csv(PREPARED / "test.csv", index=False)
    OF.write_text(f"{md5_of(SOURCE)}\n")
    print(f"{len(train)} rows to train with, {len(test)} to test on, in {PREPARED}")


def expect_usable(rows: pd.DataFrame) -> None:
    """End with a message where the data is not what the training expects."""
    if TARGET not in rows:
        raise SystemExit(f"{SOURCE} has no column “{TARGET}”")
    incomplete = rows.columns[rows.isna().any()].tolist()
    if incomplete:
        raise SystemExit(f"{SOURCE} has missing values in: {', '.join(incomplete)}")
    words = rows.select_dtypes(exclude="number").columns.tolist()
    if words:
        raise SystemExit(f"{SOURCE} has values that are no numbers in: {', '.join(words)}")
    if set(rows[TARGET]) != {0, 1}:
        raise SystemExit(f"“{TARGET}” must be 0 or 1, and both must be there")


def is_current() -> bool:
    """Whether what was prepared is the split of the data that is there now."""
    return OF.is_file() and OF.read_text().strip() == md5_of(SOURCE)


def md5_of(path: Path) -> str:
    """As DVC and the lineage take it; not asked of the lineage's module, which takes seconds to bring MLflow."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


if __name__ == "__main__":
    main()
