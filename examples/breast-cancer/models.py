"""The kinds of model that this team tries; their parameters are in params.yaml."""

from collections.abc import Mapping
from typing import Any

from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

MODEL_TYPES = ("random_forest", "logistic_regression", "gradient_boosting")

# What skops must be told to load: a tree's nodes are an array that a forged file could point out of bounds. The
# model is our own, and whoever loads it gets it by its digest.
TRUSTED_TYPES = ["sklearn.tree._tree.Tree"]


def build(model_type: str, params: Mapping[str, Any], seed: int) -> Pipeline:
    """A model that was not fitted yet."""
    match model_type:
        case "random_forest":
            steps = [RandomForestClassifier(**params, random_state=seed)]
        case "logistic_regression":
            steps = [StandardScaler(), LogisticRegression(**params, random_state=seed)]
        case "gradient_boosting":
            steps = [GradientBoostingClassifier(**params, random_state=seed)]
        case _:
            raise ValueError(f"“{model_type}” is none of {', '.join(MODEL_TYPES)}")
    return Pipeline([(type(step).__name__, step) for step in steps])
