"""What comes from outside: JSON and texts of any kind, and real ones with something changed."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any, Final

from hypothesis import strategies as st

HOSTILE_NUMBERS: Final = (0, -1, 2**31, 2**63, 10**30, 10**400, -(10**400), 1.5, 1e308, 5e-324, True)
HOSTILE_TEXTS: Final = (
    "",
    " ",
    "\0",
    "\ud800",
    "\x85\u2028\u202e",
    "../../etc/passwd",
    "a" * 5_000,
    "{" * 2_000,
    "9" * 5_000,
    "1e999",
    "<!-- x -->",
    "<script>alert(1)</script>",
    "@everyone",
    "${jndi:ldap://x}",
    "%s%n{0}",
    "'; DROP TABLE models; --",
    "模型🦄",
    "v1\n",
)
texts = st.text(st.characters(), max_size=40) | st.sampled_from(HOSTILE_TEXTS)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
    | st.sampled_from(HOSTILE_NUMBERS)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def changed(draw: st.DrawFn, originals: Sequence[Any], replacements: st.SearchStrategy = values) -> Any:
    """One of the originals with one to three of its parts replaced by anything, removed, or put in once more."""
    value = copy.deepcopy(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(_paths(value)))
        if not path:
            return draw(replacements)
        around = value
        for step in path[:-1]:
            around = around[step]
        match draw(st.sampled_from(("replace", "replace", "remove", "repeat"))):
            case "replace":
                around[path[-1]] = draw(replacements)
            case "remove":
                del around[path[-1]]
            case "repeat" if isinstance(around, list):
                around.extend([copy.deepcopy(around[path[-1]])] * draw(st.sampled_from((1, 60))))
            case "repeat":
                around[draw(texts)] = copy.deepcopy(around[path[-1]])
    return value


def _paths(value: object, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [at]
    if isinstance(value, dict):
        for key, inner in value.items():
            found += _paths(inner, (*at, key))
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            found += _paths(inner, (*at, position))
    return found


JSON_PIECES: Final = tuple(
    piece.encode("utf-8", "surrogatepass")
    for piece in ("NaN", "-Infinity", "1e999", '"\\ud800"', "\ud800", "\ufeff", '"a":1,"a":2,', "//", "\0", ",", "{",
    "]",
                  "9" * 5_000, "[" * 2_000, '{"a":' * 2_000, '"' + "\\u0000" * 50 + '"')
)  # fmt: skip
YAML_PIECES: Final = (
    b"&a ", b"*a", b"<<: *a", b"!!python/object/apply:os.system ", b"!x ", b"!!timestamp x", b"? ", b"- ", b": ", b"\t",
    b"---\n", b"...\n", b"%YAML 1.1\n", b"\0", b"\xff", b"\xef\xbb\xbf", b"\r", b"|9\n", b">-\n", b'"\\ud800"', b"'",
    b'"',
    b"9" * 5_000, b"[" * 2_000, b"{a: " * 2_000, b"- " * 2_000, b"1.0", b"0x1f", b"1_000", b".nan", b".inf", b"1e999",
    b"2026-99-99", b"12:30", b"no", b"~", b"#", b"{environment}", b"${{ x }}", b"\xf0\x9f\xa6\x84", b"\xc2\x85",
    b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, originals: Sequence[bytes], pieces: Sequence[bytes]) -> bytes:
    """One of the originals with one to four cuts, repetitions, or pieces put in."""
    text = draw(st.sampled_from(originals))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 30)))
        match draw(st.sampled_from(("cut", "repeat", "put in", "replace", "end"))):
            case "cut":
                text = text[:start] + text[end:]
            case "repeat":
                text = text[:end] + text[start:end] * draw(st.integers(1, 50)) + text[end:]
            case "put in":
                text = text[:start] + draw(st.sampled_from(pieces) | st.binary(max_size=8)) + text[start:]
            case "replace":
                text = text[:start] + draw(st.sampled_from(pieces)) + text[end:]
            case "end":
                text = text[:start]
    return text


def as_json(value: object) -> bytes:
    """A value as JSON, with what only JSON can say, such as half a surrogate pair."""
    return json.dumps(value).encode()
