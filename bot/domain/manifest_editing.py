"""Edits of the versions manifest's text: one entry set or removed, and no other byte touched."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from bot.domain.manifest import Entry, parse_manifest
from policies.documents import InvalidDocument, Problem, compose

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_.-]+)*")
_AMBIGUOUS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"})


def new_manifest() -> str:
    """The text of a manifest without entries."""
    return "# What should be live.\napiVersion: promotion-bot/v1\nkind: ModelVersions\nmodels: {}\n"


def manifest_of(entries: Mapping[tuple[str, str], Entry], order: Sequence[str] = ()) -> str:
    """The text of a manifest with these entries: models sorted, environments in `order`."""
    ranks = {name: rank for rank, name in enumerate(order)}
    lines: list[str] = []
    for model in sorted({model for model, _ in entries}):
        lines.append(f"  {_key(model)}:")
        rows = [(environment, entry) for (name, environment), entry in entries.items() if name == model]
        for environment, entry in sorted(rows, key=lambda row: (ranks.get(row[0], len(ranks)), row[0])):
            lines += [f"    {_key(environment)}:", *_fields(entry, "      ")]
    if not lines:
        return new_manifest()
    return _checked(new_manifest().replace(" {}\n", "\n") + "\n".join(lines) + "\n", entries)


def set_entry(text: str, model: str, environment: str, entry: Entry, order: Sequence[str] = ()) -> str:
    """`text` with one entry set; every byte that does not belong to the entry stays.

    A model that is not there yet goes in at its sorted place where the models are sorted, else at the end; an
    environment at its place in `order`. Raises InvalidDocument where `text` is no manifest.
    """
    blocks = _Blocks.of(text)
    if blocks is not None:
        return blocks.set(model, environment, entry, order)
    return _set_in_document(text, model, environment, entry, order)


def _set_in_document(text: str, model: str, environment: str, entry: Entry, order: Sequence[str]) -> str:
    """`text` with one entry set, by reading all of it: right for every layout, slow for a large one."""
    before = parse_manifest(text, "the manifest")
    if before.entry(model, environment) == entry:
        return text
    edited = _Editor(text).set(model, environment, entry, order)
    return _checked(edited, {**before.entries, (model, environment): entry})


def remove_entry(text: str, model: str, environment: str) -> str:
    """`text` without one entry, and without the model where that was its last; unchanged where it is not there."""
    before = parse_manifest(text, "the manifest")
    if before.entry(model, environment) is None:
        return text
    edited = _Editor(text).remove(model, environment)
    return _checked(edited, {key: e for key, e in before.entries.items() if key != (model, environment)})


def _checked(edited: str, expected: Mapping[tuple[str, str], Entry]) -> str:
    """The edited text, if it says exactly what it should: a broken manifest is never handed on."""
    if dict(parse_manifest(edited, "the manifest").entries) != dict(expected):
        problem = Problem("the manifest", 1, 1, "is laid out in a way that cannot be edited in place; reformat it")
        raise InvalidDocument([problem])
    return edited


# A line of the usual layout: blank, a comment, or one key with at most one plain value. Such lines cannot span others,
# so that the lines of one model can be read on their own.
_PLAIN_KEY_LINE: Final = r'(?:"(?:[^"\\\r\n]|\\.)*"|[A-Za-z0-9_./-]+)'
_USUAL_LINE: Final = rf" *(?:{_PLAIN_KEY_LINE}:(?: +[A-Za-z0-9_.:/-]+)? *)?(?: *#[^\r\n]*)?"
_USUAL = re.compile(rf"(?:{_USUAL_LINE}\r?\n)*(?:{_USUAL_LINE})?")
_HEADER: Final = "apiVersion: promotion-bot/v1\nkind: ModelVersions\nmodels:\n"


@dataclass(frozen=True, slots=True)
class _Blocks:
    """A manifest in the usual layout, cut into the lines of each model, so that only one of them has to be read."""

    text: str
    names: tuple[str, ...]
    starts: tuple[int, ...]

    @classmethod
    def of(cls, text: str) -> _Blocks | None:
        """The blocks of `text`; None for any other layout, and for one that repeats a model."""
        found = re.search(r"(?m)^models: *(?:#.*)?\r?\n(?=(?: *(?:#.*)?\r?\n)*( +)[^ #\r\n])", text)
        if found is None or not _USUAL.fullmatch(text) or re.search(r"(?m)^[^ #\r\n]", text[found.end() :]):
            return None
        keys = re.compile(rf"(?m)^ {{{len(found[1])}}}({_PLAIN_KEY_LINE}):")
        rows = [(_plain(match[1]), match.start()) for match in keys.finditer(text, found.end())]
        names = tuple(name for name, _ in rows)
        if len(set(names)) != len(names) or "" in names:
            return None
        return cls(text, names, tuple(start for _, start in rows))

    def set(self, model: str, environment: str, entry: Entry, order: Sequence[str]) -> str:
        """The text with the entry set in its model's block, or in a new block."""
        if model not in self.names:
            return (
                _set_in_document(self.text, model, environment, entry, order)
                if self._is_small
                else self._add(model, environment, entry)
            )
        i = self.names.index(model)
        start = self.starts[i]
        end = self.starts[i + 1] if i + 1 < len(self.starts) else len(self.text)
        edited = _set_in_document(_HEADER + self.text[start:end], model, environment, entry, order)
        return self.text[:start] + edited.removeprefix(_HEADER) + self.text[end:]

    @property
    def _is_small(self) -> bool:
        return len(self.names) < 200

    def _add(self, model: str, environment: str, entry: Entry) -> str:
        """A new block beside a neighbour, laid out as the neighbour is: the two are read together."""
        place = len(self.names)
        if list(self.names) == sorted(self.names):
            place = next((i for i, name in enumerate(self.names) if name > model), place)
        neighbour = max(0, place - 1)
        start = self.starts[neighbour]
        end = self.starts[neighbour + 1] if neighbour + 1 < len(self.starts) else len(self.text)
        edited = _set_in_document(_HEADER + self.text[start:end], model, environment, entry, ())
        return self.text[:start] + edited.removeprefix(_HEADER) + self.text[end:]


def _plain(key: str) -> str:
    """The name that a key of the usual layout is; empty where it may be read as something else than a text."""
    if not key.startswith('"'):
        return key
    try:
        return str(json.loads(key))
    except ValueError:
        return ""


_FIELDS: Final = ("version", "digest", "release")


class _Editor:
    """Edits of one text by the places of its nodes. Offsets are in characters."""

    def __init__(self, text: str) -> None:
        self._bom = "\ufeff" if text.startswith("\ufeff") else ""
        self._text = text.removeprefix("\ufeff")
        self._newline = "\r\n" if "\r\n" in self._text else "\n"
        root = compose(self._text, "the manifest")
        self._models_key, self._models = next((k, v) for k, v in root.value if k.value == "models")

    def set(self, model: str, environment: str, entry: Entry, order: Sequence[str]) -> str:
        rows = self._pairs(self._models)
        found = next((value for key, value in rows if key.value == model), None)
        if found is None:
            return self._add_model(rows, model, environment, entry)
        environments = self._pairs(found)
        row = next((value for key, value in environments if key.value == environment), None)
        if row is not None and not entry.release and (pair := _release_of(row)):
            return _Editor(self._without(row, pair)).set(model, environment, entry, order)
        if row is None:
            return self._add_environment(found, environments, environment, entry, order)
        return self._replace(row, entry)

    def remove(self, model: str, environment: str) -> str:
        rows = self._pairs(self._models)
        key, value = next((k, v) for k, v in rows if k.value == model)
        environments = self._pairs(value)
        if len(environments) > 1:
            pair = next(p for p in environments if p[0].value == environment)
            return self._without(value, pair)
        if len(rows) > 1:
            return self._without(self._models, (key, value))
        return self._splice(self._models_key.end_mark.index, self._end_of_models(), ": {}")

    # --- replacing scalars ----------------------------------------------------------------------------------------

    def _replace(self, row: yaml.MappingNode, entry: Entry) -> str:
        """Only the characters of the values that change; a release that was not there is added behind the digest."""
        wanted = {"version": str(entry.version), "digest": entry.digest, "release": entry.release}
        nodes = {key.value: (key, value) for key, value in row.value}
        edits: list[tuple[int, int, str]] = []
        for name in _FIELDS:
            if name in nodes:
                _, value = nodes[name]
                if wanted[name] and value.value != wanted[name]:
                    quote = value.style if value.style in ("'", '"') else ""
                    edits.append((value.start_mark.index, value.end_mark.index, f"{quote}{wanted[name]}{quote}"))
            elif wanted[name]:
                _, last = row.value[-1]
                flow = bool(row.flow_style)
                line = f"{self._newline}{' ' * row.value[0][0].start_mark.column}"
                text = f", {name}: {wanted[name]}" if flow else f"{line}{name}: {wanted[name]}"
                at = last.end_mark.index if flow else self._line_end(last.end_mark.index)
                edits.append((at, at, text))
        text = self._text
        for start, end, replacement in sorted(edits, reverse=True):
            text = text[:start] + replacement + text[end:]
        return self._bom + text

    # --- adding ---------------------------------------------------------------------------------------------------

    def _add_model(self, rows: list[Any], model: str, environment: str, entry: Entry) -> str:
        if not isinstance(self._models, yaml.MappingNode) or self._models.flow_style:
            return self._add_to_flow_models(rows, model, environment, entry)
        step = self._step(rows)
        column = rows[0][0].start_mark.column
        inner = " " * (column + step)
        lines = [f"{' ' * column}{_key(model)}:", f"{inner}{_key(environment)}:", *_fields(entry, inner + " " * step)]
        return self._insert_lines(self._place(rows, model), rows, lines)

    def _add_to_flow_models(self, rows: list[Any], model: str, environment: str, entry: Entry) -> str:
        if rows:
            _, last = rows[-1]
            at = last.end_mark.index
            text = f", {_key(model)}: {{{_key(environment)}: {_flow(entry)}}}"
            return self._splice(at, at, text)
        lines = ["", f"  {_key(model)}:", f"    {_key(environment)}:", *_fields(entry, "      ")]
        nothing = self._models  # `{}`, `~` or no value at all; a comment behind it stays on its line
        start = nothing.start_mark.index if nothing.end_mark.index > nothing.start_mark.index else None
        if start is None:
            at = self._line_end(self._models_key.end_mark.index)
            return self._splice(at, at, self._newline.join(lines))
        end = self._line_end(nothing.end_mark.index)
        kept = self._text[nothing.end_mark.index : end]
        before = len(self._text[:start].rstrip(" ")) if not kept else start
        return self._splice(before, end, kept.lstrip(" ") + self._newline.join(lines))

    def _add_environment(
        self, model: yaml.MappingNode, rows: list[Any], environment: str, entry: Entry, order: Sequence[str]
    ) -> str:
        if model.flow_style:
            at = model.end_mark.index - 1
            comma = ", " if rows else ""
            return self._splice(at, at, f"{comma}{_key(environment)}: {_flow(entry)}")
        column = rows[0][0].start_mark.column
        step = self._step(self._pairs(self._models))
        indent = " " * column
        lines = [f"{indent}{_key(environment)}:", *_fields(entry, indent + " " * step)]
        ranks = {name: rank for rank, name in enumerate(order)}
        rank = ranks.get(environment, len(ranks))
        place = next((i for i, (key, _) in enumerate(rows) if ranks.get(key.value, len(ranks)) > rank), len(rows))
        return self._insert_lines(place, rows, lines)

    def _place(self, rows: list[Any], model: str) -> int:
        names = [key.value for key, _ in rows]
        if names != sorted(names):
            return len(rows)
        return next((i for i, name in enumerate(names) if name > model), len(rows))

    def _insert_lines(self, place: int, rows: list[Any], lines: list[str]) -> str:
        """Whole lines before the pair at `place` and the comments right above it, or after the last pair."""
        block = self._newline.join(lines)
        if place < len(rows):
            at = self._above_comments(
                self._line_start(rows[place][0].start_mark.index), rows[place][0].start_mark.column
            )
            return self._splice(at, at, block + self._newline)
        at = self._line_end(self._last_content(rows[-1][1]))
        return self._splice(at, at, self._newline + block)

    # --- removing -------------------------------------------------------------------------------------------------

    def _without(self, parent: yaml.MappingNode, pair: tuple[Any, Any]) -> str:
        key, value = pair
        if parent.flow_style:
            return self._without_in_flow(parent, key, value)
        start = self._line_start(key.start_mark.index)
        end = self._line_end(self._last_content(value))
        if end < len(self._text):
            end += len(self._newline) if self._text.startswith(self._newline, end) else 1
        elif start > 0:
            start -= len(self._newline) if self._text.endswith(self._newline, 0, start) else 1
        return self._splice(start, end, "")

    def _without_in_flow(self, parent: yaml.MappingNode, key: Any, value: Any) -> str:  # noqa: ANN401 - yaml nodes
        index = next(i for i, (k, _) in enumerate(parent.value) if k is key)
        if index + 1 < len(parent.value):
            return self._splice(key.start_mark.index, parent.value[index + 1][0].start_mark.index, "")
        return self._splice(parent.value[index - 1][1].end_mark.index, value.end_mark.index, "")

    # --- places ---------------------------------------------------------------------------------------------------

    @staticmethod
    def _pairs(node: yaml.Node) -> list[Any]:
        return list(node.value) if isinstance(node, yaml.MappingNode) else []

    def _step(self, rows: list[Any]) -> int:
        """How far a level is indented: as the first model's environments are."""
        key, value = rows[0]
        if isinstance(value, yaml.MappingNode) and not value.flow_style and value.value:
            return max(1, int(value.value[0][0].start_mark.column - key.start_mark.column))
        return 2

    def _last_content(self, node: yaml.Node) -> int:
        """Where the last character of a node is; a block's own end mark lies behind the blank lines that follow it."""
        while isinstance(node, (yaml.MappingNode, yaml.SequenceNode)) and not node.flow_style and node.value:
            last = node.value[-1]
            node = last[1] if isinstance(last, tuple) else last
        return int(node.end_mark.index)

    def _end_of_models(self) -> int:
        if getattr(self._models, "flow_style", False):
            return int(self._models.end_mark.index)
        return self._line_end(self._last_content(self._models))

    def _line_start(self, index: int) -> int:
        return self._text.rfind("\n", 0, index) + 1

    def _line_end(self, index: int) -> int:
        """The end of the line's text, before its line break."""
        end = self._text.find("\n", index)
        if end < 0:
            return len(self._text)
        return end - 1 if self._text[end - 1 : end] == "\r" else end

    def _above_comments(self, start: int, column: int) -> int:
        """The start of the comment lines right above a line that are indented like it: they belong to it."""
        while start > 0:
            above = self._line_start(start - 1)
            line = self._text[above:start]
            if not line.startswith(" " * column + "#"):
                break
            start = above
        return start

    def _splice(self, start: int, end: int, text: str) -> str:
        return self._bom + self._text[:start] + text + self._text[end:]


def _release_of(row: yaml.MappingNode) -> tuple[Any, Any] | None:
    return next((pair for pair in row.value if pair[0].value == "release"), None)


def _fields(entry: Entry, indent: str) -> list[str]:
    lines = [f"{indent}version: {entry.version}", f"{indent}digest: {entry.digest}"]
    return [*lines, f"{indent}release: {entry.release}"] if entry.release else lines


def _flow(entry: Entry) -> str:
    return "{" + ", ".join(line.strip() for line in _fields(entry, "")) + "}"


def _key(name: str) -> str:
    """The name as a YAML key: plain where everyone reads it the same way, else quoted as JSON quotes."""
    if _PLAIN_KEY.fullmatch(name) and name.lower() not in _AMBIGUOUS and len(name) <= 120:
        return name
    quoted = json.dumps(name, ensure_ascii=False)
    # YAML allows fewer characters unescaped than JSON does, and limits an implicit key to 1,024 characters.
    return re.sub(r"[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]", lambda m: f"\\u{ord(m[0]):04x}", quoted)
