"""The board as the workers saw it last, in Redis: what the web service shows without asking MLflow or GitHub.

Who may write to Redis may write here, and the web service has no credentials from which a seal could follow. So what is
read here is for showing alone: it is read back strictly, by the types that it was written from, and what does not read
back is passed over. Links are not kept at all; pages make them of names and numbers.

`promotion:board` holds a row for each model, `…:changes` when each was changed, by a number that grows with each
change, and `…:mark` that number with the name of this filling: a reader asks for what has changed since its own mark.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import redis

from bot.domain.board import Cell
from bot.domain.plain import from_plain, to_plain
from bot.gateways.redis_connection import PREFIX, asked_of_redis

_ROWS: Final = f"{PREFIX}board"  # hash: repository and model -> when it was seen so first, and its cells
_CHANGES: Final = f"{PREFIX}board:changes"  # sorted set: repository and model -> the number of its last change
_MARK: Final = f"{PREFIX}board:mark"  # hash: the number of the last change, and the name of this filling
_AT_ONCE: Final = 1_000  # rows in one command
_SECOND: Final = "%Y-%m-%dT%H:%M:%SZ"
_WRITE: Final = """
local number, gone = nil, tonumber(ARGV[2])
redis.call('HSETNX', KEYS[3], 'filling', ARGV[1])
local function changed(name)
  number = number or redis.call('HINCRBY', KEYS[3], 'number', 1)
  redis.call('ZADD', KEYS[2], number, name)
end
for i = 3, 2 + gone do
  if redis.call('HDEL', KEYS[1], ARGV[i]) == 1 then changed(ARGV[i]) end
end
for i = 3 + gone, #ARGV, 2 do
  local there = redis.call('HGET', KEYS[1], ARGV[i])
  if not there or string.sub(there, 21) ~= string.sub(ARGV[i + 1], 21) then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
    changed(ARGV[i])
  end
end
return number or 0
"""
Place = tuple[str, str]  # repository and model


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a reader has read: which filling of the board, and the number of the last change."""

    filling: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One model on the board: the moment since which it stands so, as far as anybody looked."""

    repository: str
    model: str
    seen: datetime
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """What has changed: rows as they stand, None for those that are gone; all there are where `is_all`."""

    mark: Mark
    rows: Mapping[Place, bytes | None]
    is_all: bool


class Boards:
    """The rows of every repository's board; an emptied Redis is filled again by the next sweep."""

    def __init__(self, connection: redis.Redis) -> None:
        self._redis = connection
        self._write = connection.register_script(_WRITE)

    # --- the workers ----------------------------------------------------------------------------------------------

    def show(self, repository: str, model: str, cells: Sequence[Cell]) -> None:
        """Show how one model stands."""
        self._put({name_of(repository, model): _row(cells)})

    def show_all(self, repository: str, rows: Mapping[str, Sequence[Cell]]) -> None:
        """Show how every model of a repository stands, and no other."""
        fields = {name_of(repository, model): _row(cells) for model, cells in rows.items()}
        with asked_of_redis():
            there: Any = self._redis.hkeys(_ROWS)
        names = {key.decode(errors="replace") for key in there}
        gone = [name for name in names - fields.keys() if (place := place_of(name)) and place[0] == repository]
        self._put(fields, gone)

    def _put(self, fields: Mapping[str, str], gone: Sequence[str] = ()) -> None:
        names = list(fields)
        for start in range(0, max(len(names), len(gone), 1), _AT_ONCE):
            leaving = gone[start : start + _AT_ONCE]
            rows = [part for name in names[start : start + _AT_ONCE] for part in (name, fields[name])]
            with asked_of_redis():
                self._write(keys=[_ROWS, _CHANGES, _MARK], args=[secrets.token_hex(6), len(leaving), *leaving, *rows])

    # --- the pages ------------------------------------------------------------------------------------------------

    def mark(self) -> Mark:
        """The mark of the last change."""
        with asked_of_redis():
            said: Any = self._redis.hgetall(_MARK)
        number = said.get(b"number", b"0")
        return Mark(said.get(b"filling", b"").decode(errors="replace"), int(number) if number.isdigit() else 0)

    def changes(self, since: Mark) -> Changes:
        """What has changed since a mark; everything, where the board was filled anew."""
        mark = self.mark()
        if mark == since:
            return Changes(mark, {}, is_all=False)
        if mark.filling != since.filling or mark.number < since.number:
            with asked_of_redis():
                everything: Any = self._redis.hgetall(_ROWS)
            return Changes(mark, _by_place(everything.items()), is_all=True)
        with asked_of_redis():
            names: Any = self._redis.zrangebyscore(_CHANGES, since.number + 1, "+inf")
            values: Any = self._redis.hmget(_ROWS, names) if names else []
        return Changes(mark, _by_place(zip(names, values, strict=True)), is_all=False)

    def rows(self) -> list[Row]:
        """Every row, by repository and model."""
        found = self.changes(Mark()).rows
        read = (read_row(place, found[place]) for place in sorted(found))
        return [row for row in read if row is not None]


def name_of(*parts: str) -> str:
    """The name of a field for what these texts name together."""
    return json.dumps(parts, separators=(",", ":"))


def place_of(name: str) -> Place | None:
    """The repository and model that a field's name stands for; None for another name."""
    with contextlib.suppress(ValueError):
        match json.loads(name):
            case [str(repository), str(model)]:
                return repository, model
    return None


def read_row(place: Place, raw: bytes | None) -> Row | None:
    """A row as it was written; None for what is none."""
    if raw is None:
        return None
    with contextlib.suppress(ValueError, RecursionError):
        seen = datetime.strptime(raw[:20].decode(), _SECOND).replace(tzinfo=UTC)
        return Row(*place, seen, from_plain(tuple[Cell, ...], json.loads(raw[20:])))
    return None


def _row(cells: Sequence[Cell]) -> str:
    return f"{datetime.now(UTC):{_SECOND}}{json.dumps(to_plain(tuple(cells)), separators=(',', ':'))}"


def _by_place(found: Iterable[tuple[bytes, bytes | None]]) -> dict[Place, bytes | None]:
    places = ((place_of(name.decode(errors="replace")), value) for name, value in found)
    return {place: value for place, value in places if place is not None}
