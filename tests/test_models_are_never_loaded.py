"""No code path of the product can load a model: what would run a model's code is not even named there."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# The demo trains models of its own, in processes of its own.
FILES = [
    path
    for room in ("bot", "policies", "workers")
    for path in sorted((ROOT / room).rglob("*.py"))
    if "bot/sandbox" not in path.as_posix()
]
# What unpickles, or runs what stands in a file, in whatever framework.
LOADERS = frozenset(
    (
        *("pickle", "_pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib", "skops", "runpy", "code"),
        *("torch", "torchvision", "keras", "tensorflow", "jax", "flax", "onnx", "onnxruntime", "xgboost", "lightgbm"),
        *("catboost", "sklearn", "spacy", "transformers", "fastai", "statsmodels", "prophet", "pmdarima", "h5py"),
        *("mlflow.pyfunc", "mlflow.sklearn", "mlflow.pytorch", "mlflow.keras", "mlflow.tensorflow", "mlflow.models"),
    )
)
CALLS = frozenset(("eval", "exec", "compile", "__import__", "load_model", "import_module", "Unpickler", "full_load"))
# Named here with what is harmless about it.
ALLOWED = {
    "bot/cli/__init__.py": ["importlib.import_module"],  # the command that was asked for, one of this package's own
    "workers/process.py": ["importlib.import_module"],  # a module of this package's own, by its name as it stands there
}


def loads(tree: ast.AST) -> Iterator[str]:
    """What in a module could run what it reads."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names):
                yield from (name.name for name in names if _is_loader(name.name))
            case ast.ImportFrom(module=str(module)) if _is_loader(module):
                yield module
            case ast.ImportFrom(module=str(module), names=names):
                yield from (f"{module}.{name.name}" for name in names if _is_loader(f"{module}.{name.name}"))
            case ast.Call(func=ast.Name("import_module")):
                yield "importlib.import_module"
            case ast.Call(func=ast.Name(name)) if name in CALLS:
                yield name
            case ast.Call(func=ast.Attribute(value, name), keywords=keywords):
                owner = ast.unparse(value)
                if name in CALLS and owner not in ("re", "cel"):  # patterns, and conditions that cannot call anything
                    yield f"{owner}.{name}"
                if any(k.arg == "allow_pickle" and ast.unparse(k.value) != "False" for k in keywords):
                    yield f"{owner}.{name}(allow_pickle)"
                if owner == "yaml" and name in ("load", "unsafe_load"):
                    yield f"yaml.{name}"
            case _:
                pass


def _is_loader(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in LOADERS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_loads_no_model(path: Path) -> None:
    found = list(loads(ast.parse(path.read_text(encoding="utf-8"))))
    assert found == ALLOWED.get(path.relative_to(ROOT).as_posix(), [])


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import joblib as j",
        "from torch import load",
        "import mlflow.pyfunc",
        "from mlflow import pyfunc",
        "from mlflow.models import Model",
        "exec(text)",
        "builtins.eval(text)",
        "mlflow.whatever.load_model(uri)",
        "importlib.import_module(name)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text, Loader)",
    ],
)
def test_what_would_load_one_is_seen(source: str) -> None:
    assert list(loads(ast.parse(source)))
