"""compose.yaml as Docker Compose reads it: variables put in, commands and health checks as lists of arguments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FILE = ROOT / "compose.yaml"
_VARIABLE = re.compile(r"\$(?:(?P<escaped>\$)|\{(?P<name>\w+)(?:(?P<kind>:[-?])(?P<text>[^}]*))?\})")


@dataclass(frozen=True)
class Service:
    """One service, as far as it matters outside of a container."""

    name: str
    image: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    health: tuple[str, ...]
    after: Mapping[str, str]
    networks: frozenset[str]
    ports: tuple[str, ...]
    raw: Mapping[str, Any]


def read(environment: Mapping[str, str]) -> dict[str, Service]:
    """The services by name; fails where a variable that must be set is not."""
    document = yaml.safe_load(FILE.read_text())
    return {name: _service(name, _filled(raw, environment)) for name, raw in document["services"].items()}


def read_env(path: Path) -> dict[str, str]:
    """The variables of a `.env` file."""
    lines = [line for line in path.read_text().splitlines() if "=" in line and not line.startswith("#")]
    return {name: value.strip('"') for name, _, value in (line.partition("=") for line in lines)}


def _service(name: str, raw: Mapping[str, Any]) -> Service:
    test = raw.get("healthcheck", {}).get("test", [])
    match test:
        case ["CMD-SHELL", script]:
            health = ("sh", "-c", script)
        case ["CMD", *arguments]:
            health = tuple(arguments)
        case _:
            health = ()
    return Service(
        name,
        raw["image"],
        tuple(raw.get("command", [])),
        dict(raw.get("environment", {})),
        health,
        {other: how["condition"] for other, how in raw.get("depends_on", {}).items()},
        frozenset(raw["networks"]),
        tuple(raw.get("ports", [])),
        raw,
    )


def _filled(value: Any, environment: Mapping[str, str]) -> Any:
    """https://docs.docker.com/reference/compose-file/interpolation/, as far as the file uses it."""
    if isinstance(value, dict):
        return {key: _filled(each, environment) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, environment) for each in value]
    return _VARIABLE.sub(lambda found: _value(found, environment), value) if isinstance(value, str) else value


def _value(found: re.Match[str], environment: Mapping[str, str]) -> str:
    if found["escaped"]:
        return "$"
    value = environment.get(found["name"], "")
    if not value and found["kind"] == ":?":
        raise KeyError(f"{found['name']}: {found['text']}")
    return value or (found["text"] if found["kind"] == ":-" else "")
