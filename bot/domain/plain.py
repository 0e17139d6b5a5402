"""Values as JSON's plain ones and back, by their types: strictly, since what comes back may be anybody's.

Dataclasses, enumerations, moments, tuples, mappings with names as keys, and what may be None; nothing else.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Hashable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from typing import Any, Final, TypeVar, Union, cast, get_args, get_origin, get_type_hints

LONGEST_TEXT: Final = 2_000  # characters that are kept of a text
_DEEPEST: Final = 24  # levels that are read
T = TypeVar("T")
_Read = Callable[[Any, int], Any]
_Write = Callable[[Any], Any]


def to_plain(value: Any) -> Any:  # noqa: ANN401 - a dataclass, or several
    """The value as JSON's types; what is longer of a text than `LONGEST_TEXT` gives way to an ellipsis."""
    if isinstance(value, tuple):
        return [to_plain(item) for item in value]
    return _writer(cast("Hashable", type(value)))(value)


def from_plain(kind: type[T], data: Any) -> T:  # noqa: ANN401 - whatever was read
    """The value of this type that `to_plain` wrote as `data`; raises ValueError for anything else."""
    read: T = _reader(cast("Hashable", kind))(data, 0)
    return read


@cache
def _names(kind: Any) -> tuple[str, ...]:  # noqa: ANN401 - a dataclass
    return tuple(each.name for each in fields(kind))


# --- writing ----------------------------------------------------------------------------------------------------------


@cache
def _writer(kind: Any) -> _Write:  # noqa: ANN401 - a type or a part of an annotation
    """What writes a value of this type: a sweep writes a hundred thousand of them."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        (some,) = (argument for argument in arguments if argument is not types.NoneType)
        write = _writer(some)
        return lambda value: None if value is None else write(value)
    if origin is tuple:
        write = _writer(arguments[0])
        return lambda value: [write(item) for item in value]
    if origin in (dict, Mapping):
        write = _writer(arguments[1])
        return lambda value: {_text(str(name)): write(item) for name, item in value.items()}
    if is_dataclass(kind):
        return _DataclassWriter(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return lambda value: value.value
    if isinstance(kind, type) and issubclass(kind, str):
        return _text
    return moment_text if kind is datetime else lambda value: value


def _text(value: str) -> str:
    if len(value) <= LONGEST_TEXT and value.isascii():
        return str(value)
    cut = value if len(value) <= LONGEST_TEXT else value[: LONGEST_TEXT - 1] + "…"
    return cut.encode("utf-8", "replace").decode()  # half a character cannot be written


def moment_text(value: datetime) -> str:
    """A moment as whatever the product writes for machines has it: in UTC, by the second, `2026-11-25T14:53:11Z`."""
    return f"{value.astimezone(UTC).isoformat()[:19]}Z"


class _DataclassWriter:
    """Writes a dataclass; its fields' types are looked at when the first is written, since it may hold itself."""

    def __init__(self, kind: Any) -> None:  # noqa: ANN401 - a dataclass
        self._kind = kind
        self._fields: tuple[tuple[str, _Write], ...] | None = None

    def __call__(self, value: Any) -> dict[str, Any]:  # noqa: ANN401 - of the dataclass
        if self._fields is None:
            hints = get_type_hints(self._kind)
            self._fields = tuple((name, _writer(hints[name])) for name in _names(self._kind))
        return {name: write(getattr(value, name)) for name, write in self._fields}


# --- reading ----------------------------------------------------------------------------------------------------------


@cache
def _reader(kind: Any) -> _Read:  # noqa: ANN401 - a type or a part of an annotation
    """What reads a value of this type."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        (some,) = (argument for argument in arguments if argument is not types.NoneType)
        return _maybe(_reader(some))
    if origin is tuple and arguments[1:] == (...,):
        return _several(_reader(arguments[0]))
    if origin in (dict, Mapping):
        return _named(_reader(arguments[1]))
    if is_dataclass(kind):
        return _Dataclass(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return lambda data, _depth: kind(data)
    if kind is datetime:
        return _moment
    return _exactly(kind)


def _exactly(kind: type) -> _Read:
    def read(data: Any, _depth: int) -> Any:  # noqa: ANN401 - of `kind`
        if kind is float and type(data) is int:
            return float(data)
        if type(data) is not kind:
            raise ValueError(f"not a {kind.__name__}")
        return data

    return read


def _moment(data: Any, _depth: int) -> datetime:  # noqa: ANN401 - whatever was read
    if not isinstance(data, str):
        raise ValueError("not a moment")
    moment = datetime.fromisoformat(data)
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone")
    return moment


def _maybe(read: _Read) -> _Read:
    return lambda data, depth: None if data is None else read(data, depth)


def _several(read: _Read) -> _Read:
    def read_all(data: Any, depth: int) -> tuple[Any, ...]:  # noqa: ANN401 - whatever was read
        if not isinstance(data, list) or depth > _DEEPEST:
            raise ValueError("not a list")
        return tuple([read(item, depth + 1) for item in data])

    return read_all


def _named(read: _Read) -> _Read:
    def read_all(data: Any, depth: int) -> dict[str, Any]:  # noqa: ANN401 - whatever was read
        if not isinstance(data, dict) or depth > _DEEPEST:
            raise ValueError("not an object")
        return {name: read(item, depth + 1) for name, item in data.items()}

    return read_all


class _Dataclass:
    """Reads a dataclass; its fields' types are looked at when the first is read, since it may hold itself."""

    def __init__(self, kind: Any) -> None:  # noqa: ANN401 - a dataclass
        self._kind = kind
        self._fields: tuple[tuple[str, _Read], ...] | None = None

    def __call__(self, data: Any, depth: int) -> Any:  # noqa: ANN401 - whatever was read
        if self._fields is None:
            hints = get_type_hints(self._kind)
            self._fields = tuple((name, _reader(hints[name])) for name in _names(self._kind))
        if not isinstance(data, dict) or depth > _DEEPEST:
            raise ValueError("not an object")
        try:
            return self._kind(**{name: read(data[name], depth + 1) for name, read in self._fields})
        except KeyError as missing:
            raise ValueError(f"{missing} is missing") from None
