"""What a run shows beside its metrics: pictures, statistics of the data, the system."""

import os
import platform
from importlib.metadata import version
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.inspection import permutation_importance
from sklearn.metrics import ConfusionMatrixDisplay, RocCurveDisplay
from sklearn.pipeline import Pipeline

from dataset import TARGET

mpl.use("Agg")  # no screen is needed

SHOWN_FEATURES = 15
PACKAGES = ("mlflow", "numpy", "pandas", "scikit-learn")
CLASSES = ("benign", "malignant")


def confusion_matrix(truth: pd.Series, said: np.ndarray) -> Figure:
    """How often the model said what, for each class."""
    figure = Figure(figsize=(5, 4.5), layout="constrained")
    ConfusionMatrixDisplay.from_predictions(truth, said, display_labels=CLASSES, ax=figure.subplots(), colorbar=False)
    return figure


def roc_curve(truth: pd.Series, probability: np.ndarray) -> Figure:
    """How many malignant cases are found at each rate of false alarms."""
    figure = Figure(figsize=(5, 4.5), layout="constrained")
    RocCurveDisplay.from_predictions(truth, probability, ax=figure.subplots())
    return figure


def importances(model: Pipeline, features: pd.DataFrame, truth: pd.Series, seed: int) -> pd.Series:
    """How much accuracy each feature is worth, most first: what is lost when its values are shuffled."""
    found = permutation_importance(model, features, truth, n_repeats=5, random_state=seed)
    return pd.Series(found.importances_mean, index=features.columns).sort_values(ascending=False)


def feature_importance(importance: pd.Series) -> Figure:
    """The features that matter most."""
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    shown = importance.head(SHOWN_FEATURES)[::-1]
    axes.barh(shown.index, shown.to_numpy())
    axes.set_xlabel("accuracy lost when shuffled")
    return figure


def data_statistics(train: pd.DataFrame, test: pd.DataFrame) -> dict[str, Any]:
    """Rows, balance of the classes, and the spread of each column of the training data."""
    spread = train.describe().round(6)
    return {
        "rows": {"train": len(train), "test": len(test)},
        "share_malignant": {"train": float(train[TARGET].mean()), "test": float(test[TARGET].mean())},
        "columns": {str(name): {str(k): float(v) for k, v in column.items()} for name, column in spread.items()},
    }


def system_information() -> dict[str, Any]:
    """Where it was trained, and with which packages."""
    return {
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }
