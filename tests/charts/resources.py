"""What the objects of KEDA and of Prometheus Operator have to look like.

kubernetes-validate knows Kubernetes' own kinds. These few schemas are written after the documentation of the two, and
name every field that the chart sets: a field that is not here is a spelling mistake or wants a line here.
https://keda.sh/docs/latest/reference/scaledobject-spec/
https://prometheus-operator.dev/docs/api-reference/api/
"""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator

TEXT = {"type": "string"}
TEXTS = {"type": "object", "additionalProperties": TEXT}
DURATION = {"type": "string", "pattern": "^[0-9]+(ms|s|m|h|d|w|y)$"}


def of(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """An object with these fields and no others."""
    return {
        "type": "object",
        "required": [*required],
        "properties": {**required, **optional},
        "additionalProperties": False,
    }


def listed(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": item}


_NAMED = of({"name": TEXT})
_REDIS = of(
    {"type": {"const": "redis"}, "metadata": of({"listName": TEXT, "listLength": TEXT, "address": TEXT},
                                                databaseIndex=TEXT, enableTLS={"enum": ["true", "false"]})},
    authenticationRef=_NAMED,
)  # fmt: skip
_PROMETHEUS = of(
    {"type": {"const": "prometheus"}, "metadata": of({"serverAddress": TEXT, "query": TEXT, "threshold": TEXT})}
)
SPECIFICATIONS = {
    "keda.sh/v1alpha1/ScaledObject": of(
        {"scaleTargetRef": _NAMED, "triggers": listed({"oneOf": [_REDIS, _PROMETHEUS]})},
        minReplicaCount={"type": "integer"},
        maxReplicaCount={"type": "integer"},
        pollingInterval={"type": "integer"},
        advanced=of({"horizontalPodAutoscalerConfig": of({"behavior": {"type": "object"}})}),
    ),
    "keda.sh/v1alpha1/TriggerAuthentication": of(
        {"secretTargetRef": listed(of({"parameter": TEXT, "name": TEXT, "key": TEXT}))}
    ),
    "monitoring.coreos.com/v1/ServiceMonitor": of(
        {
            "selector": of({"matchLabels": TEXTS}),
            "endpoints": listed(
                of(
                    {"port": TEXT},
                    interval=DURATION,
                    scrapeTimeout=DURATION,
                    honorLabels={"type": "boolean"},
                    relabelings=listed(of({"targetLabel": TEXT, "replacement": TEXT})),
                )
            ),
        }
    ),
    "monitoring.coreos.com/v1/PrometheusRule": of(
        {
            "groups": listed(
                of({"name": TEXT, "rules": listed(of({"alert": TEXT, "expr": TEXT, "labels": TEXTS,
                                                      "annotations": TEXTS}, **{"for": DURATION}))})
            )
        }
    ),
}  # fmt: skip


def custom_problems(manifest: dict[str, Any]) -> list[str] | None:
    """What is wrong with an object of KEDA or Prometheus Operator; None for kinds that are Kubernetes' own."""
    specification = SPECIFICATIONS.get(f"{manifest['apiVersion']}/{manifest['kind']}")
    if specification is None:
        return None
    whole = of(
        {"apiVersion": TEXT, "kind": TEXT, "metadata": of({"name": TEXT, "labels": TEXTS}), "spec": specification}
    )
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(whole).iter_errors(manifest)]
