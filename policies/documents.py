"""Untrusted YAML as data that knows its place: every complaint names file, line and column.

The dialect is what people mean: YAML 1.2's core types (`no` and `12:30` are strings), no aliases, no merge keys, no
tags, no duplicate keys, one document.
"""

from __future__ import annotations

import difflib
import functools
import itertools
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Final, cast

import jsonschema
import yaml
from jsonschema.protocols import Validator

MAX_DEPTH: Final = 40
_MOST_PROBLEMS: Final = 100  # nobody mends more at once, and each costs time to describe

_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_QUOTED: Final = ('"', "'", "|", ">")
_LONGEST_NUMBER: Final = 100  # characters; Python takes quadratic time for longer ones
MOST_COMPARED: Final = 1_000  # names among which a slip is looked for; some 10 µs each


@dataclass(frozen=True, slots=True)
class Limit:
    """The largest document that is read: its size in bytes, and its keys and values, which take some 10 µs each."""

    size: int
    parts: int


# A manifest grows with the models; what people write by hand does not.
_GROWS: Final = Limit(16 * 1024 * 1024, 500_000)  # some 30,000 entries
_BY_HAND: Final = Limit(256 * 1024, 50_000)
_LIMITS: Final = {"manifest": _GROWS}

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong in a document; `line` and `column` count from 1."""

    source: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}: {self.message}"


class InvalidDocument(ValueError):
    """A document that cannot be used; `problems` are all that is wrong with it, in the order of the text."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass(frozen=True, slots=True)
class Document:
    """A document's plain data, and where each part of it stands in the text."""

    data: Any
    source: str
    _places: dict[_Path, tuple[int, int]] = field(repr=False)

    def problem_at(self, path: Sequence[str | int], message: str) -> Problem:
        """The complaint `message` at the place of `path`, or of the nearest part around it that is in the text."""
        place = tuple(path)
        while place not in self._places:
            place = place[:-1]
        line, column = self._places[place]
        return Problem(self.source, line, column, message)


def load(text: str | bytes, source: str, schema: str) -> Document:
    """Read `text` and hold it against `policies/schemas/<schema>.schema.json`; raises InvalidDocument."""
    root = compose(text, source, _LIMITS.get(schema, _BY_HAND))
    reader = _Reader(source)
    data = reader.read(root, (), 0)
    if reader.problems:
        raise InvalidDocument(reader.problems[:_MOST_PROBLEMS])
    document = Document(data, source, reader.places)
    errors = itertools.islice(_validator(schema).iter_errors(data), _MOST_PROBLEMS)
    problems = [_schema_problem(document, error) for error in errors]
    if problems:
        raise InvalidDocument(list(dict.fromkeys(problems)))
    return document


def kind_of(text: str | bytes, source: str) -> str:
    """What a document calls itself under `kind`, empty where it does not; raises InvalidDocument for no YAML."""
    root = compose(text, source)
    for key, value in root.value if isinstance(root, yaml.MappingNode) else ():
        if key.value == "kind" and isinstance(value, yaml.ScalarNode):
            return str(value.value)
    return ""


def compose(text: str | bytes, source: str, limit: Limit = _GROWS) -> yaml.Node:
    """The one node tree of `text`; raises InvalidDocument where the text is no single YAML document."""
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InvalidDocument([Problem(source, 1, 1, f"is not UTF-8: {error.reason}")]) from error
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidDocument([Problem(source, 1, 1, f"is not Unicode: {error.reason}")]) from error
    if size > limit.size:
        raise InvalidDocument([Problem(source, 1, 1, f"is larger than {limit.size // 1024} KB")])
    _check_events(text, source, limit.parts)
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise InvalidDocument([Problem(source, line, column, f"is not YAML: {error.problem}")]) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise InvalidDocument([Problem(source, 1, 1, f"is not YAML: {str(error).splitlines()[0]}")]) from error
    if node is None:
        raise InvalidDocument([Problem(source, 1, 1, "is empty: a mapping was expected")])
    return node


def _check_events(text: str, source: str, most: int) -> None:
    """Look at the parts before anything is built, so that nothing is ever multiplied or nested without end."""
    depth = 0
    try:
        for count, event in enumerate(yaml.parse(text, Loader=_Loader)):
            mark: Any = event.start_mark
            where = (mark.line + 1, mark.column + 1)
            if count > most:
                raise InvalidDocument([Problem(source, *where, f"holds more than {most} keys and values")])
            if isinstance(event, yaml.AliasEvent):
                raise InvalidDocument(
                    [Problem(source, *where, "YAML aliases and merge keys are not accepted: write the value out")]
                )
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > MAX_DEPTH:
                    raise InvalidDocument([Problem(source, *where, f"is nested deeper than {MAX_DEPTH} levels")])
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if getattr(event, "anchor", None) is not None:
                raise InvalidDocument([Problem(source, *where, "YAML anchors are not accepted: write the value out")])
    except yaml.YAMLError:
        return  # compose says what and where


class _Reader:
    """Builds plain data from nodes, remembering places and collecting what is not accepted."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.places: dict[_Path, tuple[int, int]] = {}
        self.problems: list[Problem] = []

    def read(self, node: yaml.Node, path: _Path, depth: int) -> Any:  # noqa: ANN401 - plain data of any shape
        self.places.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            self._refuse_tag(node, "tag:yaml.org,2002:seq")
            return [self.read(child, (*path, i), depth + 1) for i, child in enumerate(node.value)]
        return self._scalar(cast("yaml.ScalarNode", node))

    def _mapping(self, node: yaml.MappingNode, path: _Path, depth: int) -> dict[str, Any]:
        self._refuse_tag(node, "tag:yaml.org,2002:map")
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            if not isinstance(key, str):
                self._complain(key_node, "a key must be a plain word")
                continue
            if key == "<<" and key_node.style not in _QUOTED:
                self._complain(key_node, "YAML aliases and merge keys are not accepted: write the value out")
                continue
            if key in data:
                self._complain(key_node, f"duplicate key “{key}”: it stands on line {self.places[(*path, key)][0]} too")
                continue
            self.places[(*path, key)] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            data[key] = self.read(value_node, (*path, key), depth + 1)
        return data

    def _scalar(self, node: yaml.ScalarNode) -> str | int | float | bool | None:
        text: str = node.value
        if node.style in _QUOTED:
            self._refuse_tag(node, "tag:yaml.org,2002:str")
            return text
        if node.tag.startswith("!"):
            self._complain(node, "YAML tags are not accepted")
        return _plain_value(text)

    def _refuse_tag(self, node: yaml.Node, usual: str) -> None:
        if node.tag != usual:
            self._complain(node, "YAML tags are not accepted")

    def _complain(self, node: yaml.Node, message: str) -> None:
        self.problems.append(Problem(self.source, node.start_mark.line + 1, node.start_mark.column + 1, message))


def _plain_value(text: str) -> str | int | float | bool | None:
    """An unquoted scalar by YAML 1.2's core schema (https://yaml.org/spec/1.2.2/#103-core-schema)."""
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE"):
        return True
    if text in ("false", "False", "FALSE"):
        return False
    if len(text) <= _LONGEST_NUMBER:
        if _INT.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text) and math.isfinite(float(text)):
            return float(text)
    return text


@functools.cache
def _validator(schema: str) -> Validator:
    text = resources.files("policies").joinpath("schemas", f"{schema}.schema.json").read_text(encoding="utf-8")
    validator: Validator = _STRICT(json.loads(text))
    return validator


def _matches(_validator: Validator, pattern: str, instance: object, _schema: object) -> Iterator[Any]:
    """`pattern` as JSON Schema and the editors mean it: `$` is the end, not a line break before it as in Python."""
    if isinstance(instance, str) and not _pattern(pattern).search(instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


@functools.cache
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.replace("$", r"\Z"))


def _is_integer(_checker: object, instance: object) -> bool:
    return type(instance) is int


# JSON Schema takes 1.0 for an integer, but what reads it afterwards would write “v1.0”.
_STRICT: Final = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft202012Validator,
    {"pattern": _matches},
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer),
)


def _schema_problem(document: Document, error: jsonschema.ValidationError) -> Problem:
    error = _most_telling(error)
    path = tuple(error.absolute_path)
    schema: Any = error.schema
    rule: Any = error.validator_value
    instance: Any = error.instance
    match error.validator:
        case "additionalProperties":
            unknown = sorted(set(instance) - set(schema.get("properties", {})), key=str)
            known = sorted(schema.get("properties", {}))
            return document.problem_at((*path, unknown[0]), f"unknown key “{unknown[0]}”{nearest(unknown[0], known)}")
        case "required":
            missing = [name for name in rule if name not in instance]
            return document.problem_at(path, f"{_named(path)} lacks the key “{missing[0]}”")
        case "enum" | "const":
            allowed = rule if error.validator == "enum" else [rule]
            names = [str(value) for value in allowed]
            expected = f"expected {' or '.join(names)}"
            return document.problem_at(path, f"{_shown(instance)}: {expected}{did_you_mean(instance, names)}")
        case "type":
            expected = rule if isinstance(rule, str) else " or ".join(rule)
            return document.problem_at(path, f"{_shown(instance)} is not the {expected} that {_named(path)} must be")
    hint = schema.get("description", "") if isinstance(schema, dict) else ""
    expected = f"; expected: {hint}" if hint else f": {error.message[:200]}"
    return document.problem_at(path, f"{_shown(instance)} does not fit {_named(path)}{expected}")


def _most_telling(error: jsonschema.ValidationError) -> jsonschema.ValidationError:
    """Of an alternative's branches the error that came furthest: that is the one the author meant."""
    while error.context:
        branches: dict[Any, list[jsonschema.ValidationError]] = {}
        for inner in error.context:
            branches.setdefault(inner.schema_path[0], []).append(inner)
        wrong_type = {k for k, v in branches.items() if any(e.validator == "type" and not e.path for e in v)}
        fitting = [v for k, v in branches.items() if k not in wrong_type]
        if not fitting:
            return error
        error = min(fitting, key=len)[0]
    return error


def nearest(name: object, known: Sequence[str]) -> str:
    """What the author may have meant, or else what is known, as the end of a message."""
    return did_you_mean(name, known) or (f"; known are {', '.join(known)}" if known and len(known) <= 20 else "")


def did_you_mean(name: object, known: Sequence[str]) -> str:
    """The one known name that is near enough to be meant, as the end of a message."""
    matches = difflib.get_close_matches(str(name), known[:MOST_COMPARED], n=1, cutoff=0.6)
    return f"; did you mean “{matches[0]}”?" if matches else ""


def _named(path: Sequence[str | int]) -> str:
    keys = [str(part) for part in path if isinstance(part, str)]
    return f"“{keys[-1]}”" if keys else "the document"


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "…"
