"""MLflow's registry events: which registered model something happened to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bot.domain.keys import Key, RegisteredModelKey
from bot.web.bodies import Malformed

LIMIT: Final = 1024 * 1024  # bytes
_ENTITIES: Final = frozenset({"registered_model", "model_version", "model_version_tag", "model_version_alias"})
_OWN_TAGS: Final = ("validation_status", "promoted_from")
_LONGEST_NAME: Final = 1000  # characters; MLflow's own limit is lower


def keys(payload: Mapping[str, Any]) -> tuple[Key, ...]:
    """The keys that an event names; none where there is nothing to do. Raises Malformed for another shape.

    Events of the tags that the bot writes start nothing, whoever wrote them: each would start the next.
    """
    entity, data = payload.get("entity"), payload.get("data")
    if not isinstance(entity, str) or not isinstance(payload.get("action"), str):
        raise Malformed("it has no `entity` and `action`, so it is not an event of MLflow's model registry")
    if entity not in _ENTITIES:
        return ()
    name = data.get("name") if isinstance(data, dict) else None
    if not isinstance(name, str) or not name or len(name) > _LONGEST_NAME:
        raise Malformed("its `data.name` is not the name of a registered model")
    if entity == "model_version_tag" and _is_own(data.get("key") if isinstance(data, dict) else None):
        return ()
    return (RegisteredModelKey(name),)


def _is_own(tag: object) -> bool:
    return isinstance(tag, str) and (tag in _OWN_TAGS or tag.startswith("promotion."))
