"""What a model's author writes into the store: MLmodel files, signatures, tables of results."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.gateways.registry import ModelFile, _model_file
from bot.gateways.tables import column_of
from policies.evidence import Column, Unusable
from policies.signatures import compare_signatures
from tests.fuzz.bounds import drawn, inputs, leaves_nothing_behind, soon
from tests.fuzz.strategies import JSON_PIECES, YAML_PIECES, as_json, changed, damaged, texts, values

MLMODEL: Final = b"""\
artifact_path: model
flavors:
  python_function: {env: {conda: conda.yaml}, loader_module: mlflow.sklearn, python_version: 3.11.7}
  sklearn:
    pickled_model: model.pkl
    sklearn_version: 1.5.0
signature:
  inputs: '[{"type": "double", "name": "amount", "required": true}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}]'
  params: null
utc_time_created: '2026-11-23 12:00:00.000000'
"""
SPECS: Final = [
    {"type": "double", "name": "amount", "required": True},
    {"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 3]}},
    {"type": "object", "name": "o", "properties": {"a": {"type": "string", "required": False}}},
    {"name": "temperature", "type": "double", "default": 0.5, "shape": None},
]
SIGNATURE: Final = {"inputs": json.dumps(SPECS), "outputs": json.dumps(SPECS[:2]), "params": json.dumps(SPECS[3:])}
TABLE: Final = {"columns": ["id", "correct"], "data": [[1, 0.5], [2, True], [3, "0.25"]]}
CSV: Final = b'id,correct\n1,0.5\n"2",1\n'
specs = changed([SPECS]).map(json.dumps) | values.map(json.dumps) | texts
signatures = st.none() | st.fixed_dictionaries(
    {}, optional={"inputs": specs | values, "outputs": specs | values, "params": specs | values}
)
model_files = damaged([MLMODEL], YAML_PIECES) | st.binary(max_size=60) | values.map(as_json)
tables = st.tuples(
    changed([TABLE]).map(as_json)
    | damaged([as_json(TABLE)], JSON_PIECES)
    | damaged([CSV], (b'"', b"\0", b"\r", b",", b"nan")),
    st.sampled_from((Column("t.json", "correct"), Column("t.csv", "correct"), Column("t.csv", "\ud800"))),
)


def use_model_file(content: bytes) -> None:
    """Read an MLmodel file, and compare its signature as a new release's is."""
    with soon():
        found = _model_file(content)
        compare_signatures(SIGNATURE, found.signature)
    assert all(isinstance(name, str) for name in found.flavors)


@inputs(500)
@given(model_files)
@example(b"a: !!timestamp x")
@example(b"a: !!bool x")
@example(b"a: !!int ''")
@example(b"a: 2026-99-99")
@example(b"? {a: b}\n: c\nflavors: {[a]: b}")
@example(b"flavors: &f {a: *f}\nsignature: *f")
def test_a_model_file(content: bytes) -> None:
    use_model_file(content)


def test_a_usual_model_file_is_understood() -> None:
    signature = {
        "inputs": '[{"type": "double", "name": "amount", "required": true}]',
        "outputs": '[{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}]',
        "params": None,
    }
    assert _model_file(MLMODEL) == ModelFile(signature, ("python_function", "sklearn"))


LARGEST: Final = 5_000_000
LARGE: Final = {
    "lists": b"[" * LARGEST,
    "mappings": b"{a: " * (LARGEST // 4),
    "flavors": b"flavors: {" + b"a," * (LARGEST // 2) + b"}",
    "laughs": b"".join(b"a%d: &a%d [%s]\n" % (i, i, b", ".join([b"*a%d" % (i - 1)] * 9)) for i in range(1, 60)),
    "a signature": b"signature: {inputs: '" + b"x" * LARGEST + b"'}",
    "columns": b"signature: {inputs: '[" + b'{"name": "a", "type": "double"},' * 30_000 + b'{"name": "b"}]\'}',
}


@pytest.mark.parametrize("content", LARGE.values(), ids=LARGE.keys())
def test_a_large_model_file(content: bytes) -> None:
    use_model_file(content)


@inputs(500)
@given(signatures, signatures)
@example({"inputs": "[" * 100_000}, {"inputs": "9" * 5_000})
@example({"inputs": [{"name": {}}]}, {"inputs": [{"name": [], "default": "\ud800"}]})
def test_two_signatures(old: Any, new: Any) -> None:
    with soon():
        found = compare_signatures(old, new)
    assert len(found.breaking) <= len(found.differences)


def use_table(content: bytes, wanted: Column) -> None:
    """Read a column."""
    with soon():
        found = column_of(content, wanted)
    assert isinstance(found, Unusable) or all(isinstance(value, float) for value in found)


@inputs(500)
@given(tables)
@example((as_json({"columns": ["correct"], "data": [[1], [10**400]]}), Column("t.json", "correct")))
def test_a_table(table: tuple[bytes, Column]) -> None:
    use_table(*table)


def test_files_leave_nothing_behind() -> None:
    leaves_nothing_behind(use_model_file, drawn(model_files, 1_200))
    leaves_nothing_behind(lambda table: use_table(*table), drawn(tables, 1_200))
