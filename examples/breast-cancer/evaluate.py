"""Evaluate a trained model on the test rows with MLflow's evaluator, in the model's own run.

    python evaluate.py [--run-id ID] [--data-path DIRECTORY]

MLflow logs its metrics (their names start with `evaluation_`) and plots; the answer to each row is the artifact
evaluation/predictions.csv, and here evaluation/predictions.csv and metrics/evaluation.json.
"""

import argparse
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import EvaluationResult

from dataset import TARGET
from prepare import PREPARED
from train import MODELS, features_of, read, write

METRICS = Path("metrics/evaluation.json")
PREDICTIONS = Path("evaluation/predictions.csv")
SHOWN = ("accuracy_score", "f1_score", "precision_score", "recall_score", "roc_auc", "log_loss")
PREFIX = "evaluation_"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run-id", help="the run whose model it is  [default: the one in models/run_id.txt]")
    parser.add_argument("--data-path", type=Path, default=PREPARED)
    arguments = parser.parse_args()
    rows = read(arguments.data_path / "test.csv")
    run_id = arguments.run_id or last_run()
    with finished_run(run_id):
        model_uri = f"runs:/{run_id}/model"
        result = evaluated(model_uri, rows)
        answers = answers_of(model_uri, rows)
        PREDICTIONS.parent.mkdir(parents=True, exist_ok=True)
        answers.to_csv(PREDICTIONS, index_label="row")
        mlflow.log_artifact(str(PREDICTIONS), "evaluation")
    metrics = {name: result.metrics[PREFIX + name] for name in SHOWN}
    write(METRICS, json.dumps(metrics, indent=2))
    print(
        f"accuracy {metrics['accuracy_score']:.3f}, {answers['wrong'].sum()} of {len(rows)} rows wrong: {PREDICTIONS}"
    )


def last_run() -> str:
    file = MODELS / "run_id.txt"
    if not file.is_file():
        raise SystemExit(f"there is no {file}: run `python train.py` first, or say --run-id")
    return file.read_text().strip()


@contextmanager
def finished_run(run_id: str) -> Iterator[None]:
    """Log to a run whose training has finished; whatever becomes of the evaluation, its status says so afterwards."""
    try:
        status = mlflow.get_run(run_id).info.status
        if status != "FINISHED":
            raise SystemExit(f"run {run_id} is {status}: only a finished run is evaluated; train again")
        mlflow.start_run(run_id=run_id)
        try:
            yield
        finally:
            mlflow.end_run("FINISHED")
    except (MlflowException, ValueError) as error:  # scikit-learn's are ValueErrors: rows that the model does not take
        raise SystemExit(f"run {run_id} cannot be evaluated: {error}") from error


def evaluated(model_uri: str, rows: pd.DataFrame) -> EvaluationResult:
    """What MLflow's evaluator finds; it logs to the active run."""
    # It warns of a package for explanations that are not asked for.
    logging.getLogger("mlflow.models.evaluation").setLevel(logging.ERROR)
    return mlflow.models.evaluate(
        model_uri,
        rows,
        targets=TARGET,
        model_type="classifier",
        evaluators="default",
        evaluator_config={"metric_prefix": PREFIX, "log_model_explainability": False, "pos_label": 1},
    )


def answers_of(model_uri: str, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with what the model says of each."""
    model = mlflow.sklearn.load_model(model_uri)
    said, probability = model.predict(features_of(rows)), model.predict_proba(features_of(rows))[:, 1]
    return rows.assign(prediction=said, probability=probability, wrong=said != rows[TARGET])


if __name__ == "__main__":
    main()
