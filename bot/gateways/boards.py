"""The board as the workers saw it last, in Redis: what the web service shows without asking MLflow or GitHub."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import redis

from bot.domain.board import Cell
from bot.gateways.redis_connection import PREFIX, asked_of_redis

_KEY: Final = f"{PREFIX}board"  # hash: repository and model -> its cells, and when they were seen


class Boards:
    """The rows of every repository's board; an emptied Redis is filled again by the next sweep."""

    def __init__(self, connection: redis.Redis) -> None:
        self._redis = connection

    def show(self, repository: str, model: str, cells: Sequence[Cell]) -> None:
        """Show how one model stands."""
        with asked_of_redis():
            self._redis.hset(_KEY, _name(repository, model), _row(repository, cells))

    def show_all(self, repository: str, rows: Mapping[str, Sequence[Cell]]) -> None:
        """Show how every model of a repository stands, and no other."""
        fields: dict[Any, Any] = {_name(repository, model): _row(repository, cells) for model, cells in rows.items()}
        with asked_of_redis():
            there: Any = self._redis.hkeys(_KEY)
            gone = [key for key in there if json.loads(key)[0] == repository and key.decode() not in fields]
            with self._redis.pipeline() as pipe:
                if gone:
                    pipe.hdel(_KEY, *gone)
                if fields:
                    pipe.hset(_KEY, mapping=fields)
                pipe.execute()

    def rows(self) -> list[dict[str, Any]]:
        """Every row as JSON values, by repository and model."""
        with asked_of_redis():
            there: Any = self._redis.hgetall(_KEY)
        return [json.loads(there[key]) for key in sorted(there, key=json.loads)]


def _name(repository: str, model: str) -> str:
    return json.dumps([repository, model], separators=(",", ":"))


def _row(repository: str, cells: Sequence[Cell]) -> str:
    seen = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    model = cells[0].model if cells else ""
    return json.dumps({"repository": repository, "model": model, "seen": seen, "cells": [c.to_dict() for c in cells]})
