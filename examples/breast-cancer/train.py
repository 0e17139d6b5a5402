"""Train a model and track everything about it in MLflow.

    python train.py [--experiment-name NAME] [--data-path DIRECTORY] [--model-type TYPE]

The run's id is in models/run_id.txt afterwards, the model in models/model, its metrics in metrics/train.json.
"""

import argparse
import json
import os
import shutil
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import yaml
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score, roc_auc_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline

import reports
from dataset import TARGET
from models import MODEL_TYPES, TRUSTED_TYPES, build
from prepare import PREPARED, SOURCE, is_current
from promotion_bot_lineage import record_lineage, record_model, training_time

MODELS = Path("models")
METRICS = Path("metrics/train.json")
GENERATED = ("dvc.lock", "metrics")  # what the pipeline writes is no change of the code
LOADED_WITH = ("mlflow", "numpy", "pandas", "scikit-learn", "skops")

# The labels are whole numbers and never missing.
warnings.filterwarnings("ignore", message="Hint: Inferred schema contains integer column")


def main() -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    arguments = parse_arguments(params["train"])
    settings = params["models"][arguments.model_type]
    model = new_model(arguments.model_type, settings, params["seed"])
    train, test = (read(arguments.data_path / name) for name in ("train.csv", "test.csv"))
    data = source_of(arguments.data_path)
    if "MLFLOW_RUN_ID" not in os.environ:  # `mlflow run` has chosen the experiment already
        choose_experiment(arguments.experiment_name)
    with mlflow.start_run() as run:
        record_lineage(
            data=data,
            model_type=arguments.model_type,
            framework="scikit-learn",
            random_seed=params["seed"],
            generated=GENERATED,
        )
        log_what_goes_in(train, test, {"model_type": arguments.model_type, "seed": params["seed"], **settings})
        with training_time():
            model.fit(features_of(train), train[TARGET])
        metrics = measure(model, train, test)
        mlflow.log_metrics(metrics)
        log_reports(model, test, params["seed"])
        log_model(model, test)
    write(MODELS / "run_id.txt", run.info.run_id)
    write(METRICS, json.dumps(metrics, indent=2))
    print(f"{arguments.model_type}: accuracy {metrics['accuracy']:.3f}, f1 {metrics['f1_score']:.3f}")
    print(f"run {run.info.run_id}")


def parse_arguments(defaults: Mapping[str, str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--experiment-name", default=defaults["experiment_name"])
    parser.add_argument(
        "--data-path", type=Path, default=PREPARED, help="where prepare.py wrote train.csv and test.csv"
    )
    parser.add_argument("--model-type", choices=MODEL_TYPES, default=defaults["model_type"])
    arguments = parser.parse_args()
    if arguments.model_type not in MODEL_TYPES:  # argparse takes any default
        parser.error(f"params.yaml: train.model_type “{arguments.model_type}” is none of {', '.join(MODEL_TYPES)}")
    return arguments


def new_model(model_type: str, settings: Mapping[str, Any], seed: int) -> Pipeline:
    try:
        return build(model_type, settings, seed)
    except TypeError as error:
        raise SystemExit(f"params.yaml: models.{model_type}: {error}") from error


def read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise SystemExit(f"there is no {path}: run `python prepare.py` first, or say --data-path")
    try:
        rows = pd.read_csv(path)
    except ValueError as error:  # an empty file, another format, another encoding
        raise SystemExit(f"{path} is no table of comma-separated values: {error}") from error
    if TARGET not in rows:
        raise SystemExit(f"{path} has no column “{TARGET}”")
    return rows


def source_of(data_path: Path) -> Path:
    """The data that a version is known by: what `prepare.py` split, or else the directory itself."""
    if data_path.resolve() != PREPARED.resolve():
        return data_path
    if not SOURCE.is_file():
        raise SystemExit(f"there is no {SOURCE}, which {PREPARED} is made of: run `dvc pull {SOURCE}`")
    if not is_current():
        raise SystemExit(f"{PREPARED} is not made of {SOURCE} as it is now: run `python prepare.py`")
    return SOURCE


def choose_experiment(name: str) -> None:
    """Ask MLflow before any time is spent: it may be away, or the experiment deleted."""
    try:
        mlflow.set_experiment(name)
    except MlflowException as error:
        raise SystemExit(f"MLflow cannot log to the experiment “{name}”: {error.message}") from error


def features_of(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.drop(columns=TARGET)


def log_what_goes_in(train: pd.DataFrame, test: pd.DataFrame, params: Mapping[str, Any]) -> None:
    mlflow.log_params(dict(params))
    for context, rows in (("training", train), ("testing", test)):
        mlflow.log_input(mlflow.data.from_pandas(rows, targets=TARGET, name=f"breast-cancer-{context}"), context)
    mlflow.log_dict(reports.data_statistics(train, test), "data_statistics.json")
    mlflow.log_dict(reports.system_information(), "system.json")


def measure(model: Pipeline, train: pd.DataFrame, test: pd.DataFrame) -> dict[str, float]:
    """What the policies ask for is measured on rows that the model has not seen."""
    truth, said = test[TARGET], model.predict(features_of(test))
    folds = cross_val_score(model, features_of(train), train[TARGET], cv=3)
    return {
        "accuracy": float(accuracy_score(truth, said)),
        "precision": float(precision_score(truth, said)),
        "recall": float(recall_score(truth, said)),
        "f1_score": float(f1_score(truth, said)),
        "roc_auc": float(roc_auc_score(truth, model.predict_proba(features_of(test))[:, 1])),
        "cross_validated_accuracy": float(folds.mean()),
    }


def log_reports(model: Pipeline, test: pd.DataFrame, seed: int) -> None:
    features, truth = features_of(test), test[TARGET]
    importance = reports.importances(model, features, truth, seed)
    probability = model.predict_proba(features)[:, 1]
    mlflow.log_figure(reports.confusion_matrix(truth, model.predict(features)), "plots/confusion_matrix.png")
    mlflow.log_figure(reports.roc_curve(truth, probability), "plots/roc_curve.png")
    mlflow.log_figure(reports.feature_importance(importance), "plots/feature_importance.png")
    mlflow.log_dict(importance.to_dict(), "feature_importance.json")


def log_model(model: Pipeline, test: pd.DataFrame) -> None:
    """Log the model for the registry, and keep the same files for DVC."""
    example = features_of(test).head(3)
    logged = mlflow.sklearn.log_model(
        model,
        name="model",
        signature=infer_signature(example, model.predict(example)),
        input_example=example,
        skops_trusted_types=TRUSTED_TYPES,
        pip_requirements=[f"{name}=={version(name)}" for name in LOADED_WITH],
    )
    shutil.rmtree(MODELS / "model", ignore_errors=True)
    (MODELS / "model").mkdir(parents=True)
    mlflow.artifacts.download_artifacts(logged.model_uri, dst_path=str(MODELS / "model"))
    (MODELS / "model" / "registered_model_meta").unlink(missing_ok=True)  # MLflow's note of the download
    record_model(MODELS / "model")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


if __name__ == "__main__":
    main()
