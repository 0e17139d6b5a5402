"""The files of a model, each read in every way in which a loader could read it; picklescan judges what is found.

Nothing is loaded and nothing is called. What cannot be looked into is refused rather than passed.
"""

from __future__ import annotations

import bz2
import gzip
import io
import logging
import lzma
import re
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO, Final, Protocol

from bot.gateways.scan.pickles import Import, Walk, walk
from bot.gateways.scan.reader import Budget, CannotScan, NoPickle
from policies.evidence import UnsafeCode, Unusable

_MOST_BYTES: Final = 20_000_000_000
_MOST_OPCODES: Final = 20_000_000
_DEEPEST: Final = 4  # archives within archives
_CHUNK: Final = 1 << 20
_IN_MEMORY: Final = 16 << 20

_PICKLE_NAMES: Final = frozenset({".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle", ".pt", ".pth", ".ckpt"})
_NUMPY: Final = b"\x93NUMPY"
_HDF5: Final = b"\x89HDF\r\n\x1a\n"
_KERAS_NAMES: Final = frozenset({"config.json", "keras_metadata.pb"})
_OLD_TORCH: Final = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # torch/serialization.py: MAGIC_NUMBER, pickled
_CLOSED: Final = {
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"\x04\x22\x4d\x18": "lz4",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"ZF0x": "joblib's first form of compression",
}
_GZIP: Final = b"\x1f\x8b"
_ZLIB: Final = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_LZMA: Final = (b"\xfd7zXZ\x00", b"\x5d\x00\x00")
_BZIP: Final = b"BZh"
# A Keras layer that runs code which it brings along (https://keras.io/api/layers/core_layers/lambda). JSON may write
# any of the letters as an escape.
_LAMBDA: Final = re.compile(
    b'"' + b"".join(b"(?:%c|(?i:%s%02x))" % (letter, rb"\\u00", letter) for letter in b"Lambda") + b'"'
)
_LONGEST_LAMBDA: Final = 64

_UNPACKING_ERRORS: Final = (OSError, EOFError, ValueError, RuntimeError, NotImplementedError, lzma.LZMAError,
                            zipfile.BadZipFile, zlib.error, tarfile.TarError)  # fmt: skip


def scan_directory(directory: Path, paths: Iterable[str]) -> tuple[UnsafeCode, ...] | Unusable:
    """The code that loading any of `paths` below `directory` would import; Unusable where nobody can tell."""
    scan = _Scan(Budget(_MOST_BYTES, _MOST_OPCODES))
    found: set[UnsafeCode] = set()
    for path in paths:
        try:
            with (directory / path).open("rb") as file:
                found |= {UnsafeCode(path, what, dangerous) for what, dangerous in _judged(scan.file(file, path))}
                if scan.has_lambda:
                    found.add(UnsafeCode(path, "a Keras Lambda layer", dangerous=True))
                    scan.has_lambda = False
        except CannotScan as reason:
            return Unusable(f"{path} {reason}")
        except RecursionError:
            return Unusable(f"{path} is nested too deep to be looked into")
    return tuple(sorted(found, key=lambda code: (code.path, not code.dangerous, code.what)))


class _Scan:
    """One look at the files of a version."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.has_lambda = False

    def file(self, file: IO[bytes], name: str, depth: int = 0) -> set[Import]:
        """What loading `file` would import, whatever loads it; raises CannotScan."""
        if depth > _DEEPEST:
            raise CannotScan("has archives within archives without end")
        head = file.read(512)
        for magic, form in _CLOSED.items():
            if head.startswith(magic):
                raise CannotScan(f"is packed in a form that cannot be looked into: {form}")
        imports = self._packed(file, head, name, depth)
        if head.startswith(_NUMPY):
            imports |= self._array(file)
        else:
            imports |= self._pickles(file, head, name)
        if head.startswith(_HDF5) or PurePosixPath(name).name in _KERAS_NAMES:
            self._look_for_lambda(file)
        return imports

    # --- archives and compression -----------------------------------------------------------------------------------

    def _packed(self, file: IO[bytes], head: bytes, name: str, depth: int) -> set[Import]:
        imports: set[Import] = set()
        if zipfile.is_zipfile(file):
            imports |= self._zip(file, depth)
        elif head[257:262] == b"ustar":
            imports |= self._tar(file, depth)
        file.seek(0)
        if (stream := _decompressed(file, head)) is not None:
            with suppress(_NotPacked):
                imports |= self._member(stream, name, depth)
        return imports

    def _zip(self, file: IO[bytes], depth: int) -> set[Import]:
        imports: set[Import] = set()
        try:
            with zipfile.ZipFile(file) as archive:
                for each in archive.infolist():
                    if not each.is_dir():
                        with archive.open(each) as stream:
                            imports |= self._member(stream, each.filename, depth)
        except (_NotPacked, *_UNPACKING_ERRORS) as error:
            raise CannotScan(f"is a zip archive that cannot be looked into: {error}") from error
        return imports

    def _tar(self, file: IO[bytes], depth: int) -> set[Import]:
        imports: set[Import] = set()
        file.seek(0)
        try:
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for each in archive:
                    stream = archive.extractfile(each) if each.isfile() else None
                    if stream is not None:
                        imports |= self._member(stream, each.name, depth)
        except (_NotPacked, *_UNPACKING_ERRORS) as error:
            raise CannotScan(f"is a tar archive that cannot be looked into: {error}") from error
        return imports

    def _member(self, stream: _Readable, name: str, depth: int) -> set[Import]:
        """What is packed, unpacked where only this process can read it, and looked at like a file."""
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as unpacked:
            try:
                while chunk := stream.read(_CHUNK):
                    self._budget.spend_bytes(len(chunk))
                    unpacked.write(chunk)
            except _UNPACKING_ERRORS as error:
                raise _NotPacked(str(error)) from error
            unpacked.seek(0)
            return self.file(unpacked, name, depth + 1)

    # --- pickles ----------------------------------------------------------------------------------------------------

    def _pickles(self, file: IO[bytes], head: bytes, name: str) -> set[Import]:
        """The imports of the pickles that a file starts with, as joblib reads them and as pickle does."""
        is_zip = head.startswith(b"PK\x03\x04")
        is_packed = head.startswith((_GZIP, _BZIP, *_ZLIB, *_LZMA))
        is_one = head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
        expected = is_one or (PurePosixPath(name).suffix in _PICKLE_NAMES and not is_zip and not is_packed and head)
        found, whole, why = Walk(), 0, ""
        file.seek(0)
        try:
            while not whole or file.read(1):
                file.seek(-1 if whole else 0, io.SEEK_CUR)
                walk(file, self._budget, found, arrays=True)
                whole += 1
        except NoPickle as reason:
            why = str(reason)
        if found.arrays:
            file.seek(0)
            with suppress(NoPickle):
                walk(file, self._budget, found, arrays=False)
        if why and expected and not (whole and head.startswith(_OLD_TORCH)):
            said = "goes on after its pickle with something else" if whole else "cannot be followed as a pickle"
            raise CannotScan(f"{said}: {why}")
        if why and not expected:
            # No loader gets through to the end; what it would import on the way counts where it is known to harm.
            # MLflow's conda.yaml, “channels:”, begins like the import of a name that nothing has.
            return {one for one in found.imports if one.module != "unknown" and _is_plain(one) and _is_dangerous(one)}
        return found.imports

    def _array(self, file: IO[bytes]) -> set[Import]:
        """What stands in an array of objects, which NumPy pickles (`numpy.lib.format`)."""
        from numpy.lib import format as npy

        file.seek(0)
        try:
            version = npy.read_magic(file)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            has_objects = read(file)[2].hasobject
        except ValueError as error:
            raise CannotScan(f"is an array that cannot be looked into: {error}") from error
        found = Walk()
        if has_objects:
            try:
                walk(file, self._budget, found, arrays=False)
            except NoPickle as reason:
                raise CannotScan(f"cannot be followed as a pickled array: {reason}") from reason
        return found.imports

    def _look_for_lambda(self, file: IO[bytes]) -> None:
        file.seek(0)
        before = b""
        while chunk := file.read(_CHUNK):
            if _LAMBDA.search(before + chunk):
                self.has_lambda = True
                return
            before = chunk[-_LONGEST_LAMBDA:]


class _NotPacked(Exception):
    """What looked packed cannot be unpacked."""


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Inflated:
    """A zlib stream as a file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._inflate = zlib.decompressobj()

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; empty at the end."""
        while not self._inflate.eof:
            packed = self._inflate.unconsumed_tail or self._file.read(_CHUNK)
            if not packed:
                raise EOFError("it ends too early")
            if data := self._inflate.decompress(packed, max(size, 1)):
                return data
        return b""


def _decompressed(file: IO[bytes], head: bytes) -> _Readable | None:
    if head.startswith(_GZIP):
        return gzip.GzipFile(fileobj=file)
    if head.startswith(_BZIP):
        return bz2.BZ2File(file)
    if head.startswith(_LZMA):
        return lzma.LZMAFile(file)
    return _Inflated(file) if head.startswith(_ZLIB) else None


def _judged(imports: Iterable[Import]) -> set[tuple[str, bool]]:
    """Each import that is not known to be harmless, and whether it is known to harm."""
    from picklescan.scanner import SafetyLevel, scan_pickle_bytes

    logging.getLogger("picklescan").setLevel(logging.CRITICAL)
    judged = set()
    plain = []
    for module, name in imports:
        if _is_plain(Import(module, name)):
            plain.append(b"c%s\n%s\n0" % (module.encode(), name.encode()))
        else:
            judged.add((repr(f"{module}.{name}"), True))
    # picklescan has no way in for names, so it gets a pickle that imports them and does nothing else.
    result = scan_pickle_bytes(io.BytesIO(b"".join(sorted(plain)) + b"N."), "imports")
    for each in result.globals:
        if each.safety is not SafetyLevel.Innocuous:
            judged.add((f"{each.module}.{each.name}", each.safety is SafetyLevel.Dangerous))
    return judged


def _is_plain(one: Import) -> bool:
    """Whether module and name are such as Python code can have."""
    return all(part.isascii() and part.isprintable() and part and " " not in part for part in one)


def _is_dangerous(one: Import) -> bool:
    return any(dangerous for _, dangerous in _judged((one,)))
