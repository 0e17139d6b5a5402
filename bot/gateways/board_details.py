"""What the board's pages show beside the rows, in Redis: models in full, repositories, and the gates of pull requests.

What is too large is not kept, and what does not read back is not there; see `boards`.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import redis

from bot.domain.gates import Gate
from bot.domain.model_detail import Judged, ModelDetail
from bot.domain.plain import from_plain, to_plain
from bot.domain.pull_requests import CheckState
from bot.domain.repository_seen import RepositorySeen
from bot.gateways.boards import name_of, place_of
from bot.gateways.redis_connection import PREFIX, asked_of_redis

_MODELS: Final = f"{PREFIX}board:models"  # hash: repository and model -> the model in full
_JUDGED: Final = f"{PREFIX}board:judged"  # hash: repository and model -> its newest verdicts in full
_REPOSITORIES: Final = f"{PREFIX}board:repositories"  # hash: repository -> what a sweep saw
_PULLS: Final = f"{PREFIX}board:pulls"  # hash: repository and pull request -> its gates
_LARGEST: Final = 2_000_000  # bytes before they are packed
_AT_ONCE: Final = 500  # values in one command
_MOST_REASONS: Final = 10
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GateSeen:
    """One gate of an open pull request as it was decided last, and what it lacks."""

    name: str
    state: CheckState
    reasons: tuple[str, ...] = ()


class BoardDetails:
    """What the pages show beside the rows; an emptied Redis is filled again by the next sweep and looks."""

    def __init__(self, connection: redis.Redis) -> None:
        self._redis = connection

    # --- models ---------------------------------------------------------------------------------------------------

    def show(self, details: Iterable[ModelDetail]) -> None:
        """Show models in full."""
        rows: dict[str, bytes] = {}
        for detail in details:
            rows |= _packed(name_of(detail.repository, detail.model), detail)
            if len(rows) >= _AT_ONCE:
                self._set(_MODELS, rows)
                rows = {}
        self._set(_MODELS, rows)

    def keep_only(self, repository: str, models: Iterable[str]) -> None:
        """Forget the repository's other models."""
        wanted = set(models)
        for key in (_MODELS, _JUDGED):
            with asked_of_redis():
                names: Any = self._redis.hkeys(key)
                places = {name: place_of(name.decode(errors="replace")) for name in names}
                gone = [n for n, place in places.items() if place and place[0] == repository and place[1] not in wanted]
                if gone:
                    self._redis.hdel(key, *gone)

    def model(self, repository: str, model: str) -> ModelDetail | None:
        """A model in full; None where nobody looked since Redis was emptied."""
        return self._get(_MODELS, name_of(repository, model), ModelDetail)

    def remember(self, repository: str, model: str, judged: tuple[Judged, ...]) -> None:
        """Keep a model's newest verdicts in full."""
        self._set(_JUDGED, _packed(name_of(repository, model), judged))

    def judged(self, repository: str, model: str) -> tuple[Judged, ...]:
        """A model's newest verdicts in full, as far as looks remember them."""
        return self._get(_JUDGED, name_of(repository, model), tuple[Judged, ...]) or ()

    def all_judged(self, repository: str) -> Mapping[str, tuple[Judged, ...]]:
        """The same of every model of a repository that has any, by its name."""
        with asked_of_redis():
            rows: Any = self._redis.hgetall(_JUDGED)
        found = {}
        for name, raw in rows.items():
            place = place_of(name.decode(errors="replace"))
            if place is not None and place[0] == repository:
                found[place[1]] = _read(raw, tuple[Judged, ...]) or ()
        return found

    # --- repositories ---------------------------------------------------------------------------------------------

    def show_repository(self, seen: RepositorySeen) -> None:
        """Show what a sweep saw."""
        self._set(_REPOSITORIES, _packed(seen.name, seen))

    def repositories(self, names: Sequence[str]) -> tuple[RepositorySeen, ...]:
        """What the last sweeps saw of these repositories, as far as there were any."""
        if not names:
            return ()
        with asked_of_redis():
            rows: Any = self._redis.hmget(_REPOSITORIES, list(names))
        found = (_read(raw, RepositorySeen) if raw else None for raw in rows)
        return tuple(seen for name, seen in zip(names, found, strict=True) if seen is not None and seen.name == name)

    # --- pull requests --------------------------------------------------------------------------------------------

    def show_gates(self, repository: str, number: int, gates: tuple[GateSeen, ...]) -> None:
        """Show what an open pull request waits for; none for one that is closed."""
        name = name_of(repository, str(number))
        if gates:
            self._set(_PULLS, _packed(name, gates))
            return
        with asked_of_redis():
            self._redis.hdel(_PULLS, name)

    def gates(self, wanted: Sequence[tuple[str, int]]) -> Mapping[tuple[str, int], tuple[GateSeen, ...]]:
        """What pull requests wait for, by repository and number, as far as it was seen."""
        if not wanted:
            return {}
        with asked_of_redis():
            rows: Any = self._redis.hmget(_PULLS, [name_of(name, str(number)) for name, number in wanted])
        read = (_read(raw, tuple[GateSeen, ...]) if raw else None for raw in rows)
        return {place: gates for place, gates in zip(wanted, read, strict=True) if gates is not None}

    # --- values ---------------------------------------------------------------------------------------------------

    def _set(self, key: str, rows: Mapping[Any, Any]) -> None:
        if rows:
            with asked_of_redis():
                self._redis.hset(key, mapping=rows)

    def _get(self, key: str, name: str, kind: type[T]) -> T | None:
        with asked_of_redis():
            raw: Any = self._redis.hget(key, name)
        return _read(raw, kind) if raw else None


def gates_seen(gates: Iterable[Gate]) -> tuple[GateSeen, ...]:
    """The gates as they are shown."""
    return tuple(GateSeen(gate.name.value, gate.state, _reasons(gate)) for gate in gates)


def _reasons(gate: Gate) -> tuple[str, ...]:
    """What a gate lacks; whom it is about goes without saying where the pull request changes one entry alone."""
    whom = f"{gate.changes[0].model} in {gate.changes[0].environment}: " if len(gate.changes) == 1 else ""
    return tuple(reason.removeprefix(whom) for reason in gate.reasons[:_MOST_REASONS])


def _packed(name: str, value: object) -> dict[str, bytes]:
    text = json.dumps(to_plain(value), separators=(",", ":")).encode()
    return {name: zlib.compress(text, 1)} if len(text) <= _LARGEST else {}


def _read(raw: bytes, kind: type[T]) -> T | None:
    """A value as it was packed; None for what is none, or would unpack to more than anybody packs."""
    try:
        unpacking = zlib.decompressobj()
        text = unpacking.decompress(raw, _LARGEST)
        return None if unpacking.unconsumed_tail else from_plain(kind, json.loads(text))
    except (zlib.error, ValueError, RecursionError):
        return None
