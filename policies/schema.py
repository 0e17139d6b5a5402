"""The JSON Schema of a policy, made from the kinds' own parts; `python -m policies.schema` writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from policies.durations import DURATION
from policies.kinds import KINDS
from policies.kinds.expression import TEXT

SCHEMA_PATH: Final = Path(__file__).parent / "schemas" / "policy.schema.json"
_ID: Final = {
    "type": "string",
    "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$",
    "description": "letters, digits, ., - and _, at most 63",
}


def policy_schema() -> dict[str, Any]:
    """The schema of a policy file."""
    kinds = {name: {**kind.schema, "description": kind.summary} for name, kind in KINDS.items()}
    part = {"type": "object", "additionalProperties": False, "properties": {"id": _ID, **kinds}}
    check = {
        "type": "object",
        "additionalProperties": False,
        "required": ["id"],
        "properties": {
            "id": _ID,
            "severity": {
                "enum": ["required", "advisory"],
                "default": "required",
                "description": "Whether a failure refuses the version or only says so.",
            },
            "remedy": {
                "type": "string",
                "maxLength": 1000,
                "description": "What to do about a failure, in your words.",
            },
            "when": {**TEXT, "description": "a condition in CEL; the check is skipped where it is false"},
            "evidence_timeout": DURATION,
            **kinds,
        },
    }
    return {
        "$defs": {"part": part},
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "promotion-bot policy",
        "description": "What a model version must show before it goes live in an environment.",
        "type": "object",
        "additionalProperties": False,
        "required": ["apiVersion", "kind", "name", "checks"],
        "properties": {
            "apiVersion": {"const": "promotion-bot/v1", "description": "The version of this format."},
            "kind": {"const": "Policy"},
            "name": {"type": "string", "minLength": 1, "description": "The policy's name, shown with its verdicts."},
            "extends": {
                "type": "array",
                "uniqueItems": True,
                "maxItems": 10,
                "items": {"type": "string", "pattern": "^[^/].*\\.ya?ml$", "maxLength": 300},
                "description": "paths of policies in this repository whose checks apply too; an id of this file's own"
                " replaces theirs",
            },
            "evidence_timeout": DURATION,
            "checks": {"type": "array", "items": check, "description": "What is checked; the order is for people."},
        },
    }


def text() -> str:
    """The schema as the file has it."""
    return json.dumps(policy_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SCHEMA_PATH.write_text(text(), encoding="utf-8")
