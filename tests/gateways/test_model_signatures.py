"""Model signatures: valid for exactly the files that were signed, with the key that is trusted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from model_signing import signing

from bot.gateways.model_signatures import verify
from policies.evidence import Unusable, Verified


def key_pair(folder: Path) -> tuple[Path, bytes]:
    """The file of a new private key, and its public key."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem, pkcs8, plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = folder / "private.pem"
    path.write_bytes(key.private_bytes(pem, pkcs8, plain))
    return path, key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture
def signed(tmp_path: Path) -> tuple[Path, bytes]:
    """A signed model's directory, and the public key."""
    model = tmp_path / "model"
    (model / "data").mkdir(parents=True)
    (model / "MLmodel").write_text("flavors: {}\n")
    (model / "data" / "weights.bin").write_bytes(bytes(range(256)) * 100)
    private, public = key_pair(tmp_path)
    signing.Config().use_elliptic_key_signer(private_key=private).sign(model, model / "model.sig")
    return model, public


def test_a_signed_model_is_valid_and_left_as_it_was(signed: tuple[Path, bytes]) -> None:
    model, public = signed
    assert verify(model, "model.sig", public) == Verified(2)
    assert (model / "model.sig").is_file()


def change_one_byte(model: Path) -> None:
    path = model / "data" / "weights.bin"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(bytes(content))


CHANGES: dict[str, Callable[[Path], object]] = {
    "one byte": change_one_byte,
    "a file more": lambda model: (model / "extra.py").write_text("import os"),
    "a file less": lambda model: (model / "MLmodel").unlink(),
    "another name": lambda model: (model / "MLmodel").rename(model / "mlmodel"),
    "a damaged signature": lambda model: (model / "model.sig").write_text("{}"),
    "no JSON": lambda model: (model / "model.sig").write_bytes(b"\x00\xff"),
    "an empty signature": lambda model: (model / "model.sig").write_bytes(b""),
}


@pytest.mark.parametrize("name", CHANGES)
def test_whatever_was_changed_since_is_not_valid(signed: tuple[Path, bytes], name: str) -> None:
    model, public = signed
    CHANGES[name](model)
    found = verify(model, "model.sig", public)
    assert isinstance(found, Unusable)
    assert found.reason.startswith("model.sig is not valid: ")


def test_another_key_or_none_is_not_valid(signed: tuple[Path, bytes], tmp_path: Path) -> None:
    model, _ = signed
    (tmp_path / "other").mkdir()
    for key in (key_pair(tmp_path / "other")[1], b"", b"no key at all"):
        assert isinstance(verify(model, "model.sig", key), Unusable)


def test_without_a_signature_there_is_nothing_to_say(signed: tuple[Path, bytes]) -> None:
    model, public = signed
    assert verify(model, "other.sig", public) is None
