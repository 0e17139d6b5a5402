"""The chart as Helm renders it, without a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import helm_python
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "promotion-bot"
NAMESPACE = "ml"
EXAMPLES = {path.name.removesuffix("-values.yaml"): path for path in sorted(CHART.glob("ci/*-values.yaml"))}


def example(name: str) -> dict[str, Any]:
    """One of the sets of values that the chart is checked with."""
    return dict(yaml.safe_load(EXAMPLES[name].read_text()))


def files(values: Mapping[str, Any], release: str = "demo") -> dict[str, str]:
    """What each template becomes."""
    with helm_python.Chart.load(CHART) as chart:
        return chart.render(dict(values), name=release, namespace=NAMESPACE)


def manifests(values: Mapping[str, Any], release: str = "demo") -> list[dict[str, Any]]:
    """Every object that an installation makes, the hooks among them."""
    return [
        document
        for path, text in files(values, release).items()
        if path.endswith(".yaml")
        for document in yaml.safe_load_all(text)
        if document
    ]


def the(found: list[dict[str, Any]], kind: str, ending: str = "") -> dict[str, Any]:
    """The only object of a kind whose name ends so."""
    [one] = [each for each in found if each["kind"] == kind and each["metadata"]["name"].endswith(ending)]
    return one


def pods(found: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The name and the specification of every pod."""
    for each in found:
        if each["kind"] in ("Deployment", "StatefulSet"):
            yield each["metadata"]["name"], each["spec"]["template"]["spec"]
        elif each["kind"] == "Pod":
            yield each["metadata"]["name"], each["spec"]


def container(found: list[dict[str, Any]], role: str) -> dict[str, Any]:
    """The container of the web service or of the workers."""
    [one] = the(found, "Deployment", f"-{role}")["spec"]["template"]["spec"]["containers"]
    return dict(one)


def variables(found: list[dict[str, Any]], role: str) -> dict[str, Any]:
    """A role's variables: what they are, or the Secret and the key that they come from."""
    return {
        each["name"]: each.get("value", each.get("valueFrom", {}).get("secretKeyRef"))
        for each in container(found, role)["env"]
    }


def with_values(base: Mapping[str, Any], path: str, value: object) -> dict[str, Any]:
    """`base` with one more value, whose path has dots."""
    head, _, rest = path.partition(".")
    inner = base.get(head, {})
    return {**base, head: with_values(inner if isinstance(inner, dict) else {}, rest, value) if rest else value}
