"""OpenSSF model signatures (https://github.com/sigstore/model-transparency) over a version's downloaded files."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from policies.evidence import Unusable, Verified

_LARGEST: Final = 50_000_000  # bytes; a signature names every file of the model


def verify(directory: Path, signature: str, public_key: bytes) -> Verified | Unusable | None:
    """Whether the file `signature` below `directory` is valid for all other files; None where it is not there.

    `public_key` is the PEM text of an elliptic curve key.
    """
    signed = directory / signature
    if not signed.is_file():
        return None
    if signed.stat().st_size > _LARGEST:
        return Unusable(f"{signature} is too large for a signature")
    from model_signing import verifying

    with tempfile.TemporaryDirectory(prefix="promotion-bot-") as private:
        key, aside = Path(private) / "key.pub", Path(private) / "signature"
        key.write_bytes(public_key)
        signed.rename(aside)  # a signature cannot cover itself
        try:
            config = verifying.Config()  # type: ignore[no-untyped-call]
            config.use_elliptic_key_verifier(public_key=key).verify(directory, aside)
        except Exception as error:
            return Unusable(f"{signature} is not valid: {_first_line(error)}")
        finally:
            aside.rename(signed)
    return Verified(sum(path.is_file() for path in directory.rglob("*")) - 1)


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]
