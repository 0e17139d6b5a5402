"""Models for the demo and the tests: scikit-learn on the breast-cancer data that it ships, the same every time."""

from __future__ import annotations

import hashlib
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from enum import Enum
from io import StringIO
from typing import TYPE_CHECKING, Any, Final

from bot.gateways.mlflow_api import preload

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-untyped]

_SEED: Final = 7
_TIMED_CALLS: Final = 60


class Recipe(Enum):
    """How good a model becomes; all are tested on the same rows and take the same 30 columns as input."""

    GOOD = "good"
    WORSE = "worse"
    BETTER = "better"


@dataclass(frozen=True, slots=True)
class Trained:
    """A fitted pipeline, how it did on the test rows, and rows like those that it will be asked about."""

    model: Any
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    example: DataFrame


def train(recipe: Recipe) -> Trained:
    """Fit a classifier on as many of the columns as the recipe looks at.

    Accuracy: 0.76 for `WORSE`, 0.95 for `GOOD`, 0.98 for `BETTER`.
    """
    from sklearn.compose import make_column_transformer
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score, f1_score
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features, labels = load_breast_cancer(return_X_y=True, as_frame=True)
    seen, unseen, seen_labels, unseen_labels = train_test_split(
        features, labels, test_size=0.3, random_state=_SEED, stratify=labels
    )
    columns = {
        Recipe.WORSE: ["mean texture", "mean smoothness"],
        Recipe.GOOD: [column for column in features.columns if column.startswith("mean ")],
        Recipe.BETTER: list(features.columns),
    }[recipe]
    model = make_pipeline(
        make_column_transformer((StandardScaler(), columns)), LogisticRegression(C=0.1, max_iter=500)
    ).fit(seen, seen_labels)
    said = model.predict(unseen)
    return Trained(
        model=model,
        params={"columns": str(len(columns)), "C": "0.1", "seed": str(_SEED)},
        metrics={
            "accuracy": float(accuracy_score(unseen_labels, said)),
            "f1_score": float(f1_score(unseen_labels, said)),
            "latency_p95_ms": _latency_p95_ms(model, unseen.head(1)),
        },
        example=unseen.head(2),
    )


def train_and_register(tracking_uri: str, name: str, recipe: Recipe, *, user: str = "dana") -> int:
    """Train, log a finished run with everything a policy asks for, register; the number of the new version.

    Two versions of one recipe have the same metrics and parameters, and files that differ in ids and dates only.
    """
    trained = train(recipe)
    with _quiet_mlflow(tracking_uri) as mlflow:
        from sklearn import __version__ as sklearn_version

        with mlflow.start_run(run_name=f"{name}-{recipe.value}", tags=_lineage(recipe, user)):
            mlflow.log_params(dict(trained.params))
            mlflow.log_metrics(dict(trained.metrics))
            logged = mlflow.sklearn.log_model(
                trained.model,
                name="model",
                signature=mlflow.models.infer_signature(trained.example, trained.model.predict(trained.example)),
                input_example=trained.example,
                # Named, because MLflow would else load the model in another process to find out.
                pip_requirements=[f"scikit-learn=={sklearn_version}"],
            )
        return int(mlflow.register_model(f"models:/{logged.model_id}", name).version)


def _lineage(recipe: Recipe, user: str) -> dict[str, str]:
    """Where the run says that it came from: made up, as there is no training repository, and the same each time."""
    git_commit = hashlib.sha256(f"promotion-bot demo {recipe.value}".encode()).hexdigest()[:40]
    months = {Recipe.GOOD: "09", Recipe.WORSE: "10", Recipe.BETTER: "11"}
    return {
        "mlflow.user": user,
        "mlflow.source.name": "train.py",
        "git_commit": git_commit,
        "data_version": f"2026-{months[recipe]}",
    }


def _latency_p95_ms(model: Any, row: DataFrame) -> float:  # noqa: ANN401 -- scikit-learn has no types
    took = []
    for _ in range(_TIMED_CALLS):
        start = time.perf_counter()
        model.predict(row)
        took.append((time.perf_counter() - start) * 1000)
    return sorted(took)[int(0.95 * len(took))]


@contextmanager
def _quiet_mlflow(tracking_uri: str) -> Iterator[Any]:
    """MLflow's fluent interface, pointed at the server, without its progress messages and warnings.

    It keeps the address in globals and in the environment: both are left as they were found.
    """
    preload()
    import mlflow
    import mlflow.models
    import mlflow.sklearn

    environment = dict(os.environ)
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            mlflow.set_tracking_uri(tracking_uri)
            mlflow.set_registry_uri(tracking_uri)
            yield mlflow
        finally:
            mlflow.set_tracking_uri("")
            mlflow.set_registry_uri("")
            for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
                os.environ.pop(name, None)
                if name in environment:
                    os.environ[name] = environment[name]
