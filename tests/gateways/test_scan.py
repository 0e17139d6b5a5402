"""Code in models' files is found however it is packed, and is never run."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import random
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from bot.gateways.scan import scan_directory
from policies.evidence import UnsafeCode, Unusable


class Evil:
    """Creates a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self._path}",)


@pytest.fixture
def proof(tmp_path: Path) -> Path:
    """The file that is there once something was loaded."""
    return tmp_path / "loaded"


@pytest.fixture(scope="module")
def model() -> object:
    """A real pipeline: arrays of numbers, of objects, and of structures."""
    values = np.array([["a", "b"], ["c", "d"], ["a", "d"]], dtype=object)
    return make_pipeline(OneHotEncoder(), RandomForestClassifier(3, random_state=0)).fit(values, [0, 1, 0])


def look(folder: Path, name: str, content: bytes) -> tuple[UnsafeCode, ...] | Unusable:
    path = folder / "model" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return scan_directory(folder / "model", [name])


def dangers(found: tuple[UnsafeCode, ...] | Unusable) -> list[str]:
    assert isinstance(found, tuple), found
    return [code.what for code in found if code.dangerous]


def by_joblib(value: object, compress: object = 0) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(value, buffer, compress=compress)
    return buffer.getvalue()


def in_zip(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def in_tar(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def object_array(evil: Evil) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([evil], dtype=object), allow_pickle=True)
    return buffer.getvalue()


HIDING: dict[str, Callable[[Evil], bytes]] = {
    **{f"pickle{n}.pkl": lambda evil, n=n: pickle.dumps(evil, protocol=n) for n in range(6)},  # type: ignore[misc]
    "without-a-name": pickle.dumps,
    "after-much.pkl": lambda evil: pickle.dumps([list(range(10_000)), evil]),
    "second.pkl": lambda evil: pickle.dumps(1) + pickle.dumps(evil),
    "model.joblib": lambda evil: by_joblib([np.arange(1000.0), evil]),
    "objects.joblib": lambda evil: by_joblib([np.array([evil], dtype=object), 1]),
    **{
        f"{form}.joblib": lambda evil, form=form: by_joblib([np.arange(1000.0), evil], (form, 3))  # type: ignore[misc]
        for form in ("zlib", "gzip", "bz2", "lzma", "xz")
    },
    "array.npy": object_array,
    "arrays.npz": lambda evil: in_zip("a.npy", object_array(evil)),
    "model.pt": lambda evil: in_zip("archive/data.pkl", pickle.dumps(evil, protocol=2)),
    "old.pt": lambda evil: (
        b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19." + pickle.dumps(evil, protocol=2) + b"\xff" * 99
    ),
    "packed.gz": lambda evil: gzip.compress(pickle.dumps(evil)),
    "packed.bz2": lambda evil: bz2.compress(pickle.dumps(evil)),
    "packed.xz": lambda evil: lzma.compress(pickle.dumps(evil)),
    "packed.z": lambda evil: zlib.compress(pickle.dumps(evil)),
    "packed.tar": lambda evil: in_tar("m.pkl", pickle.dumps(evil)),
    "zip-in-zip.zip": lambda evil: in_zip("inner.zip", in_zip("m.pkl", pickle.dumps(evil))),
    "pickle-and-zip.pkl": lambda evil: pickle.dumps(evil) + in_zip("readme.txt", b"hello"),
}


@pytest.mark.parametrize("name", HIDING)
def test_a_command_is_found_wherever_it_hides_and_not_run(tmp_path: Path, proof: Path, name: str) -> None:
    found = look(tmp_path, name, HIDING[name](Evil(proof)))
    if isinstance(found, Unusable):  # refused as well
        assert name == "pickle-and-zip.pkl"
    else:
        assert f"{os.system.__module__}.system" in dangers(found)
    assert not proof.exists()


def test_opcodes_where_an_array_should_be_are_found(tmp_path: Path, proof: Path) -> None:
    """To joblib these bytes are an array's; to pickle, which may load the file too, they are what comes next."""
    whole = by_joblib(np.zeros(4096, dtype=np.uint8))
    wrapper = whole[: whole.index(b"\x00" * 4096)].rstrip(b"\xff")[:-1]  # without the padding and its length
    evil = pickle.dumps(Evil(proof), protocol=2)
    assert f"{os.system.__module__}.system" in dangers(look(tmp_path, "model.joblib", _array_of(wrapper, evil)))
    assert not proof.exists()


def _array_of(wrapper: bytes, content: bytes) -> bytes:
    """A stream in which joblib sees an array, and pickle opcodes: the padding's length is the first opcode."""
    padding = content[:1] + content[1:].ljust(content[0], b"N")
    return wrapper + padding + b"." * 4096 + b"."


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("lzma", 3), ("xz", 3)])
def test_a_real_model_has_nothing_dangerous(tmp_path: Path, model: object, compress: object) -> None:
    found = look(tmp_path, "model.joblib", by_joblib(model, compress))
    assert dangers(found) == []
    assert isinstance(found, tuple)
    assert "sklearn.ensemble._forest.RandomForestClassifier" in {code.what for code in found}


def test_a_real_models_pickle_has_nothing_dangerous(tmp_path: Path, model: object) -> None:
    assert dangers(look(tmp_path, "model.pkl", pickle.dumps(model))) == []


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("cut.pkl", pickle.dumps(list(range(1000)))[:-5], "cannot be followed as a pickle"),
        ("more.pkl", pickle.dumps(1) + b"xyz", "goes on after its pickle"),
        ("model.pkl", b"\x04\x22\x4d\x18rest", "packed in a form that cannot be looked into: lz4"),
        ("model.7z", b"7z\xbc\xaf\x27\x1crest", "cannot be looked into: 7z"),
        ("cut.npz", in_zip("a.npy", b"\x93NUMPY\x01\x00"), "an array that cannot be looked into"),
        ("deep.zip", in_zip("a", in_zip("a", in_zip("a", in_zip("a", in_zip("a", b"x"))))), "archives within archives"),
    ],
)
def test_what_cannot_be_looked_into_is_refused(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    found = look(tmp_path, name, content)
    assert isinstance(found, Unusable)
    assert found.reason.startswith(name)
    assert said in found.reason


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("MLmodel", b"flavors:\n  sklearn: {}\n"),
        ("requirements.txt", b"certifi==2024\nnumpy==2\n"),
        ("conda.yaml", b"channels:\n- conda-forge\ndependencies:\n- python=3.11.7\n"),
        ("python_env.yaml", b"python: 3.11.7\nbuild_dependencies:\n- pip==24.0\n"),
        ("notes.txt", "cоs\nэто не pickle\n".encode()),
        ("weights.safetensors", b"\x10\x00\x00\x00\x00\x00\x00\x00{}" + bytes(random.Random(1).randbytes(10_000))),
        ("empty", b""),
        ("empty.pkl", b""),
        ("data.json", json.dumps({"columns": ["a"], "data": [[1]]}).encode()),
        ("values.npy", (lambda b: (np.save(b, np.arange(9.0)), b.getvalue())[1])(io.BytesIO())),
        ("conda.yaml", b"channels:\n- conda-forge\ndependencies:\n- python=3.11.7\n- pip<=24\n"),
    ],
)
def test_what_holds_no_code_passes(tmp_path: Path, name: str, content: bytes) -> None:
    assert look(tmp_path, name, content) == ()


@pytest.mark.parametrize(
    "config",
    [b'{"class_name": "Lambda"}', rb'{"class_name": "\u004cambda"}', rb'{"class_name":"L\u0061mbd\u0061"}'],
)
def test_a_keras_layer_that_brings_code_is_found(tmp_path: Path, config: bytes) -> None:
    assert dangers(look(tmp_path, "model.keras", in_zip("config.json", config))) == ["a Keras Lambda layer"]
    assert dangers(look(tmp_path, "model.h5", b"\x89HDF\r\n\x1a\n" + b"\x00" * 2_000_000 + config)) == [
        "a Keras Lambda layer"
    ]


def test_a_bomb_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("bot.gateways.scan.files._MOST_BYTES", 1_000_000)
    found = look(tmp_path, "bomb.gz", gzip.compress(bytes(5_000_000)))
    assert isinstance(found, Unusable)
    assert "holds more than can be looked at" in found.reason
    monkeypatch.setattr("bot.gateways.scan.files._MOST_OPCODES", 1000)
    found = look(tmp_path, "long.pkl", pickle.dumps(list(range(5000))))
    assert isinstance(found, Unusable)
    assert "more pickled objects" in found.reason


def test_names_that_were_computed_are_dangerous(tmp_path: Path) -> None:
    computed = b"\x80\x04" + b"cbuiltins\nstr\n(S'os'\ntR" + b"\x8c\x06system" + b"\x93" + b"."
    assert dangers(look(tmp_path, "model.pkl", computed)) == ["unknown.unknown"]


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.binary(max_size=400), name=st.sampled_from(["m.pkl", "m.joblib", "m.npy", "m.bin", "m.zip"]))
def test_no_bytes_break_the_scan(tmp_path: Path, data: bytes, name: str) -> None:
    look(tmp_path, name, data)
    look(tmp_path, name, b"\x80\x04" + data)
    look(tmp_path, name, b"PK\x03\x04" + data)


def test_no_damage_to_a_real_model_breaks_the_scan(tmp_path: Path, model: object) -> None:
    whole, chance = by_joblib(model), random.Random(7)
    for _ in range(100):
        damaged = bytearray(whole)
        for _ in range(4):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        look(tmp_path, "model.joblib", bytes(damaged))
