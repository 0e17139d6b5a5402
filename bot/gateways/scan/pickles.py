"""What a pickle would import when it is loaded, found by following its opcodes with values that do nothing.

A pickle is a program for a small stack machine (`Lib/pickletools.py` describes every opcode). This walks through it as
the machine would, but keeps only names, numbers and tuples, and calls nothing. joblib writes arrays as raw bytes
between the opcodes, after the wrapper that describes them (`joblib/numpy_pickle.py`); they are passed over.
"""

from __future__ import annotations

import math
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any, Final, NamedTuple

from bot.gateways.scan.reader import Budget, CannotScan, NoPickle, Reader


class Import(NamedTuple):
    """What is imported from where."""

    module: str
    name: str


UNKNOWN: Final[Any] = object()
_MARK: Final[Any] = object()
_MOST_KEPT: Final = 64  # members of a tuple or a dictionary; more say nothing about imports
_WRAPPER: Final = Import("joblib.numpy_pickle", "NumpyArrayWrapper")
_TEXT_CLASSES: Final = frozenset({"str", "unicode", "text_type", "Text", "basestring"})
_DTYPE: Final = re.compile(r"[|<>=]?([biufcmMSaUVO])(\d{0,9})")
_DEEPEST: Final = 50  # pickles within pickles


@dataclass(slots=True)
class _Made:
    """What calling `of` with `arguments` would give, and the state that it is given then."""

    of: Any
    arguments: Any
    state: Any = None
    may_be_text: bool = True


@dataclass(slots=True)
class Walk:
    """What was found on the way through one pickle stream."""

    imports: set[Import] = field(default_factory=set)
    arrays: int = 0


def walk(file: IO[bytes], budget: Budget, found: Walk, *, arrays: bool) -> None:
    """Follow one pickle from where `file` stands to its end; raises NoPickle where it is none or breaks off.

    With `arrays`, raw arrays are where joblib writes them; else what follows a wrapper is opcodes, as for `pickle`.
    """
    _Machine(Reader(file, budget), found, arrays=arrays).run()


class _Machine:
    def __init__(self, reader: Reader, found: Walk, *, arrays: bool, depth: int = 0) -> None:
        self._reader = reader
        self._found = found
        self._arrays = arrays
        self._depth = depth
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> None:
        if self._depth > _DEEPEST:
            raise CannotScan("has pickles within pickles without end")
        while True:
            self._reader.budget.spend_opcode()
            code = self._reader.read(1)
            opcode = _OPCODES.get(code) if code else None
            if opcode is None:
                raise NoPickle("it is no pickle" if not code else f"the byte {code.hex()} is no opcode")
            if opcode.name == "STOP":
                self._pop()
                return
            self._step(opcode, self._argument(opcode))

    # --- reading ----------------------------------------------------------------------------------------------------

    def _argument(self, opcode: pickletools.OpcodeInfo) -> Any:
        """The opcode's argument; long texts and bytes are passed over, since no import has such a name."""
        width = _LONG_VALUES.get(opcode.name)
        if width is not None:
            length = self._reader.number(width)
            if length > 1000:
                self._reader.skip(length)
                return UNKNOWN
        if opcode.arg is None:
            return UNKNOWN
        try:
            if width is not None:
                data = self._reader.exactly(length)
                return data.decode("utf-8", "surrogatepass") if "UNICODE" in opcode.name else data.decode("latin-1")
            return opcode.arg.reader(self._reader)  # type: ignore[arg-type]  # reads and reads lines
        except (ValueError, UnicodeDecodeError) as error:
            raise NoPickle(str(error)) from error

    # --- the stack --------------------------------------------------------------------------------------------------

    def _pop(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise NoPickle("it takes more than it has")
        return self._stack.pop()

    def _pop_to_mark(self) -> list[Any]:
        members: list[Any] = []
        while self._stack:
            if (member := self._stack.pop()) is _MARK:
                return members[::-1]
            members.append(member)
        raise NoPickle("it takes more than it has")

    def _step(self, opcode: pickletools.OpcodeInfo, argument: Any) -> None:
        special = _STEPS.get(opcode.name)
        if special is not None:
            special(self, argument)
            return
        kinds = [each.name for each in opcode.stack_before]
        if "mark" in kinds:
            self._pop_to_mark()
            kinds = kinds[: kinds.index("mark")]
        for _ in kinds:
            self._pop()
        value = argument if opcode.arg is not None and not opcode.stack_before else UNKNOWN
        self._stack += [value] * len(opcode.stack_after)

    # --- opcodes that matter ----------------------------------------------------------------------------------------

    def mark(self, _: Any) -> None:
        self._stack.append(_MARK)

    def pop(self, _: Any) -> None:
        if not self._stack:
            raise NoPickle("it takes more than it has")
        self._stack.pop()

    def nothing(self, _: Any) -> None:
        self._stack.append(None)

    def from_outside(self, argument: Any) -> None:
        """PERSID, BINPERSID: whatever the loading program makes of an id."""
        self._stack.append(_Made(UNKNOWN, argument))

    def from_outside_by_value(self, _: Any) -> None:
        self.from_outside(self._pop())

    def duplicate(self, _: Any) -> None:
        value = self._pop()
        self._stack += [value, value]

    def import_line(self, argument: str) -> None:
        """GLOBAL: `module name`, each on a line of its own."""
        module, _, name = argument.partition(" ")
        self._import(module, name)

    def instance(self, argument: str) -> None:
        """INST: imports and calls at once."""
        self._pop_to_mark()
        self.import_line(argument)
        self._stack[-1] = _Made(self._stack[-1], UNKNOWN)

    def import_from_stack(self, _: Any) -> None:
        """STACK_GLOBAL; names that were computed are known to nobody, and what is no text stops every loader."""
        name, module = self._pop(), self._pop()
        if isinstance(module, str) and isinstance(name, str):
            self._import(module, name)
        elif _may_be_text(module) and _may_be_text(name):
            self._import("unknown", "unknown")
        else:
            raise NoPickle("it imports what has no name")

    def extension(self, _: Any) -> None:
        """EXT1, EXT2, EXT4: an import by a number that the loading process gives a meaning."""
        self._import("unknown", "extension")

    def _import(self, module: str, name: str) -> None:
        imported = Import(module, name)
        self._found.imports.add(imported)
        self._stack.append(imported)

    def call(self, _: Any) -> None:
        """REDUCE."""
        arguments, of = self._pop(), self._pop()
        self._stack.append(_Made(of, arguments))

    def new(self, _: Any) -> None:
        """NEWOBJ: an instance of a class, which is a text for the text class alone."""
        arguments, of = self._pop(), self._pop()
        is_class = isinstance(of, Import) and of.name not in _TEXT_CLASSES
        self._stack.append(_Made(of, arguments, may_be_text=not is_class))

    def new_with_names(self, _: Any) -> None:
        """NEWOBJ_EX."""
        self._pop()
        self.new(_)

    def call_from_mark(self, _: Any) -> None:
        """OBJ: the class, then its arguments."""
        members = self._pop_to_mark()
        if not members:
            raise NoPickle("it takes more than it has")
        self._stack.append(_Made(members[0], UNKNOWN))

    def build(self, _: Any) -> None:
        """BUILD; where it finishes a wrapper of joblib's, the array itself comes next."""
        state, made = self._pop(), self._pop()
        if isinstance(made, _Made):
            made.state = state
        self._stack.append(made)
        if isinstance(made, _Made) and made.of == _WRAPPER:
            self._found.arrays += 1
            if self._arrays:
                self._pass_array(made.state if isinstance(made.state, dict) else {})

    def _pass_array(self, state: dict[str, Any]) -> None:
        size, shape = _item_size(state.get("dtype")), state.get("shape")
        if size is None:  # joblib pickles an array of objects
            _Machine(self._reader, self._found, arrays=True, depth=self._depth + 1).run()
            return
        if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
            raise _strange_array()
        if state.get("numpy_array_alignment_bytes") is not None:
            self._reader.skip(self._reader.number(1))
        self._reader.skip(size * math.prod(shape))

    def put(self, argument: Any) -> None:
        if not self._stack:
            raise NoPickle("it takes more than it has")
        self._memo[int(argument)] = self._stack[-1]

    def memoize(self, _: Any) -> None:
        self.put(len(self._memo))

    def get(self, argument: Any) -> None:
        if int(argument) not in self._memo:
            raise NoPickle("it takes what was never kept")
        self._stack.append(self._memo[int(argument)])

    def tuple_of(self, count: int) -> None:
        self._stack.append(_kept_tuple([self._pop() for _ in range(count)][::-1]))

    def tuple_from_mark(self, _: Any) -> None:
        self._stack.append(_kept_tuple(self._pop_to_mark()))

    def new_dictionary(self, _: Any) -> None:
        self._stack.append({})

    def dictionary_from_mark(self, _: Any) -> None:
        members = self._pop_to_mark()
        self._stack.append({})
        self._set(members)

    def set_item(self, _: Any) -> None:
        value, key = self._pop(), self._pop()
        self._set([key, value])

    def set_items(self, _: Any) -> None:
        self._set(self._pop_to_mark())

    def _set(self, members: list[Any]) -> None:
        target = self._pop()
        if isinstance(target, dict):
            for key, value in zip(members[::2], members[1::2], strict=False):
                if isinstance(key, str) and (len(target) < _MOST_KEPT or key in target):
                    target[key] = value
        self._stack.append(target)


def _may_be_text(value: Any) -> bool:
    return value.may_be_text if isinstance(value, _Made) else isinstance(value, str | Import)


def _item_size(dtype: Any) -> int | None:
    """The bytes of one item of a pickled NumPy dtype; None where it holds objects, whatever else it holds.

    Its state is (version, byte order, (base, shape) of a subarray, names, fields, size, alignment, flags), of which
    the first flag says that there are objects (`arraydescr_reduce` in NumPy's descriptor.c).
    """
    if not isinstance(dtype, _Made) or dtype.of != Import("numpy", "dtype") or not isinstance(dtype.arguments, tuple):
        raise _strange_array()
    said = dtype.arguments[0] if dtype.arguments else None
    kind = _DTYPE.fullmatch(said) if isinstance(said, str) else None
    state = (
        dtype.state
        if isinstance(dtype.state, tuple) and len(dtype.state) >= 8
        else (3, "|", None, None, None, -1, -1, 0)
    )
    base, fields, size, flags = state[2], state[4], state[5], state[7]
    if kind is None or type(size) is not int or type(flags) is not int:
        raise _strange_array()
    inner = [member[0] for member in fields.values()] if _are_fields(fields) else []
    if (fields is not None and not inner) or (base is not None and not isinstance(base, tuple)):
        raise _strange_array()
    inner += base[:1] if base else ()
    has_objects = kind[1] == "O" or any(_item_size(each) is None for each in inner)
    if has_objects:
        return None
    if flags & 1:
        raise _strange_array()
    if kind[1] in "USVa" and size > 0:
        return size
    return int(kind[2] or 0) * (4 if kind[1] == "U" else 1)


def _are_fields(fields: Any) -> bool:
    members = fields.values() if isinstance(fields, dict) and len(fields) < _MOST_KEPT else ()
    return bool(members) and all(isinstance(member, tuple) and member for member in members)


def _strange_array() -> CannotScan:
    return CannotScan("has an array of a kind that cannot be passed over")


def _kept_tuple(members: list[Any]) -> Any:
    return tuple(members) if len(members) <= _MOST_KEPT else UNKNOWN


_OPCODES: Final = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}
_LONG_VALUES: Final = {
    "BINSTRING": 4,
    "SHORT_BINSTRING": 1,
    "BINBYTES": 4,
    "SHORT_BINBYTES": 1,
    "BINBYTES8": 8,
    "BYTEARRAY8": 8,
    "SHORT_BINUNICODE": 1,
    "BINUNICODE": 4,
    "BINUNICODE8": 8,
}

_STEPS: Final[dict[str, Callable[[_Machine, Any], None]]] = {
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    "NONE": _Machine.nothing,
    "PERSID": _Machine.from_outside,
    "BINPERSID": _Machine.from_outside_by_value,
    "DUP": _Machine.duplicate,
    "GLOBAL": _Machine.import_line,
    "INST": _Machine.instance,
    "STACK_GLOBAL": _Machine.import_from_stack,
    "EXT1": _Machine.extension,
    "EXT2": _Machine.extension,
    "EXT4": _Machine.extension,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.new,
    "NEWOBJ_EX": _Machine.new_with_names,
    "OBJ": _Machine.call_from_mark,
    "BUILD": _Machine.build,
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.memoize,
    "GET": _Machine.get,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "EMPTY_TUPLE": lambda machine, _: machine.tuple_of(0),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "TUPLE": _Machine.tuple_from_mark,
    "EMPTY_DICT": _Machine.new_dictionary,
    "DICT": _Machine.dictionary_from_mark,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
}
