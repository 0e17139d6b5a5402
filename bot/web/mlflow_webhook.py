"""MLflow's registry events: which registered model something happened to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bot.domain.keys import Key, RegisteredModelKey
from bot.web.bodies import Malformed

LIMIT: Final = 1024 * 1024  # bytes
ENTITIES: Final = frozenset({"registered_model", "model_version", "model_version_tag", "model_version_alias"})
_OWN_TAGS: Final = ("validation_status", "promoted_from")
_LONGEST_NAME: Final = 1000  # characters; MLflow's own limit is lower


def keys(payload: Mapping[str, Any]) -> tuple[Key, ...]:
    """The keys that an event names; none where there is nothing to do. Raises Malformed for another shape.

    Events of the tags that the bot writes start nothing, whoever wrote them: each would start the next.
    https://mlflow.org/docs/latest/ml/webhooks/
    """
    if "entity" not in payload and isinstance(payload.get("event"), str):
        return _databricks(payload)
    entity, data = payload.get("entity"), payload.get("data")
    if not isinstance(entity, str) or not isinstance(payload.get("action"), str):
        raise Malformed("it has no `entity` and `action`, so it is not an event of MLflow's model registry")
    if entity not in ENTITIES:
        return ()
    if not isinstance(data, dict):
        raise Malformed("it has no `data`")
    if entity == "model_version_tag" and _is_own(data.get("key")):
        return ()
    return (_model(data.get("name"), "data.name"),)


def event_name(payload: Mapping[str, Any]) -> str:
    """What a metric calls the event; one of a few names, whatever the payload holds."""
    entity = payload.get("entity")
    return entity if isinstance(entity, str) and entity in ENTITIES else "other"


def _databricks(payload: Mapping[str, Any]) -> tuple[Key, ...]:
    """The older dialect of managed registries, whose events are such as MODEL_VERSION_TRANSITIONED_STAGE.

    https://docs.databricks.com/aws/en/mlflow/model-registry-webhooks
    """
    if not payload["event"].startswith(("MODEL_VERSION_", "REGISTERED_MODEL_")):
        return ()
    return (_model(payload.get("model_name"), "model_name"),)


def _model(name: object, where: str) -> RegisteredModelKey:
    # A lone surrogate is half a character: JSON can write it, but nothing can be asked for under such a name.
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME or not _is_text(name):
        raise Malformed(f"its `{where}` is not the name of a registered model")
    return RegisteredModelKey(name)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_own(tag: object) -> bool:
    return isinstance(tag, str) and (tag in _OWN_TAGS or tag.startswith("promotion."))
