"""Writes the table of values in the chart's README: from `values.yaml`, where the meaning stands above each value."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parent / "promotion-bot"
# Values that are one thing, though they have parts.
WHOLE = frozenset(
    {
        "web.resources.requests", "web.resources.limits", "worker.resources.requests", "worker.resources.limits",
        "valkey.resources.requests", "valkey.resources.limits", "metrics.dashboard.labels",
    }
)  # fmt: skip
_BEGIN, _END = "<!-- values: made by `make chart` -->\n", "<!-- end of values -->\n"


@dataclass(frozen=True, slots=True)
class Value:
    """One value: its path with dots, its default, and what stands above it."""

    path: str
    default: Any
    meaning: str


def values() -> Iterator[Value]:
    """Every value in the order of the file."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    yield from _below(root, "", text.splitlines())


def _below(node: yaml.MappingNode, before: str, lines: list[str]) -> Iterator[Value]:
    for key, value in node.value:
        path = f"{before}{key.value}"
        if isinstance(value, yaml.MappingNode) and value.value and path not in WHOLE:
            yield from _below(value, f"{path}.", lines)
        else:
            default = yaml.SafeLoader("").construct_document(value)
            yield Value(path, default, _above(lines, key.start_mark.line) or _COMMON.get(key.value, ""))


def _above(lines: list[str], line: int) -> str:
    """The comment that ends directly above a line."""
    said: list[str] = []
    while line and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        said.insert(0, lines[line].strip().removeprefix("#").strip())
    return " ".join(said)


# What means the same wherever it stands, and as much as its name says.
_COMMON = {
    "enabled": "Whether it is there at all.",
    "pullPolicy": "When the image is pulled.",
    "repository": "The image.",
    "tag": "The image's tag.",
    "digest": "`sha256:…`; wins over the tag.",
    "minReplicas": "The fewest pods.",
    "maxReplicas": "The most pods.",
    "maxUnavailable": "Pods that a drain of nodes may take away at once; a number or a share.",
    "type": "`ClusterIP`, `NodePort` or `LoadBalancer`.",
    "port": "Its port.",
    "annotations": "Its annotations.",
    "labels": "Labels besides the usual ones.",
    "whenUnsatisfiable": "`DoNotSchedule` or `ScheduleAnyway`, where pods cannot be spread over nodes and zones.",
    "requests": "What a pod is sure to get.",
    "limits": "The most that a pod may take.",
    "create": "Otherwise the one that is named is there already.",
    "name": "Default: the role's own.",
    "podAnnotations": "Annotations of the pods.",
    "podLabels": "Labels of the pods besides the usual ones.",
    "nodeSelector": "Labels of the nodes that it may run on.",
    "tolerations": "Taints that it tolerates.",
    "affinity": "As in a pod's `affinity`.",
    "priorityClassName": "The pods' priority class.",
    "extraVolumeMounts": "Where the volumes are.",
    "database": "The number of the database in `REDIS_URL`.",
    "tls": "Whether the server speaks TLS.",
    "size": "How large it may become.",
    "className": "Which ingress controller is meant.",
    "interval": "How often Prometheus asks.",
    "scrapeTimeout": "How long it waits.",
}


def table() -> str:
    """All of them as Markdown."""
    rows = "".join(f"| `{each.path}` | `{_shown(each.default)}` | {each.meaning} |\n" for each in values())
    return f"| value | default | meaning |\n| --- | --- | --- |\n{rows}"


def _shown(default: Any) -> str:  # noqa: ANN401 - whatever YAML holds
    return default if isinstance(default, str) and default else json.dumps(default, ensure_ascii=False)


def readme() -> str:
    """The README with the table of today's values."""
    text = (CHART / "README.md").read_text(encoding="utf-8")
    head, _, rest = text.partition(_BEGIN)
    _, _, tail = rest.partition(_END)
    return f"{head}{_BEGIN}\n{table()}\n{_END}{tail}"


if __name__ == "__main__":
    (CHART / "README.md").write_text(readme(), encoding="utf-8")
