"""Write the data set that this team works with: scikit-learn's breast cancer data, which ships with the package.

    python dataset.py [--rows N]

A new version of the data is more rows of it, as when more patients were examined.
"""

import argparse
from pathlib import Path

from sklearn.datasets import load_breast_cancer

TARGET = "malignant"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=number_of_rows, help="only the first N patients")
    parser.add_argument("--to", type=Path, default=Path("data/dataset.csv"))
    arguments = parser.parse_args()
    features, labels = load_breast_cancer(return_X_y=True, as_frame=True)
    # scikit-learn says 0 for malignant; what is looked for should be 1.
    rows = features.assign(**{TARGET: 1 - labels}).head(arguments.rows or len(features))
    arguments.to.parent.mkdir(parents=True, exist_ok=True)
    rows.to_csv(arguments.to, index=False)
    print(f"{len(rows)} rows in {arguments.to}")


def number_of_rows(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"“{text}” is no number of rows")
    return int(text)


if __name__ == "__main__":
    main()
