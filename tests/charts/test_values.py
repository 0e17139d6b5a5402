"""Bad values are refused with a message that says which, and every value has its meaning written down."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import helm_python
import pytest
import yaml

from charts import values_table
from tests.charts.rendering import CHART, EXAMPLES, example, manifests, the, with_values
from tests.documentation.pages import fences

# A value that a person might get wrong, and what they read then.
WRONG = {
    "misspelt": ("web.replica", 3, "at '/web': additional properties 'replica' not allowed"),
    "unknown": ("secrets", {}, "additional properties 'secrets' not allowed"),
    "a password": ("valkey.password", "x", "at '/valkey': additional properties 'password' not allowed"),
    "text for a number": ("worker.processes", "two", "at '/worker/processes': got string, want integer"),
    "too many": ("worker.processes", 65, "at '/worker/processes': maximum: got 65, want 64"),
    "not a repository": ("config.repositories", ["models"], "at '/config/repositories/0': 'models' does not match"),
    "not a duration": ("config.sweepInterval", "5 minutes", "at '/config/sweepInterval': '5 minutes' does not match"),
    "not an address": ("config.publicUrl", "promotion.example.com", "at '/config/publicUrl'"),
    "no address": ("config.github.apiUrl", "", "at '/config/github/apiUrl'"),
    "not an App": ("config.github.appId", "my-app", "at '/config/github/appId'"),
    "a Secret's content": ("existingSecrets.github", "-----BEGIN RSA PRIVATE KEY-----", "at '/existingSecrets/github'"),
    "a tag for a digest": ("image.digest", "latest", "at '/image/digest'"),
    "a scaler that is none": ("worker.autoscaling.kind", "vpa", "at '/worker/autoscaling/kind': value must be one of"),
    "not a port": ("metrics.port", 70000, "at '/metrics/port': maximum: got 70,000, want 65,535"),
    "a port of root's": ("metrics.port", 80, "at '/metrics/port': minimum: got 80, want 1,024"),
    "no name of a Service": (
        "fullnameOverride",
        "Promotion.Bot",
        "at '/fullnameOverride': 'Promotion.Bot' does not match",
    ),
    "a path that is none": ("ingress.paths", ["webhooks"], "at '/ingress/paths/0'"),
    "not a size": ("worker.tmpSize", "much", "at '/worker/tmpSize'"),
    "the same port": ("metrics.port", 8080, "metrics.port is 8080, which is the web service's own"),
    "more than most": ("web.autoscaling.minReplicas", 9, "web.autoscaling.minReplicas is greater than maxReplicas"),
    "two queues": ("valkey", {"enabled": True, "existingSecret": "v"}, "are both set; keep one of them"),
    "no password": ("valkey", {"enabled": True}, "valkey.existingSecret is missing"),
    "no host": ("ingress.enabled", True, "ingress.host is missing; for example: promotion.example.com"),
    "no account": ("web.serviceAccount.create", False, "web.serviceAccount.name is missing"),
    "credentials in MLflow's address": (
        "config.mlflow.trackingUri",
        "https://user:hunter2@mlflow",
        "config.mlflow holds credentials",
    ),
    "KEDA without an address": (
        "worker.autoscaling",
        {"kind": "keda"},
        "worker.autoscaling.keda.redis.address is missing",
    ),
    "KEDA without Prometheus": (
        "worker.autoscaling",
        {"kind": "keda", "keda": {"trigger": "prometheus"}},
        "worker.autoscaling.keda.prometheus.serverAddress is missing",
    ),
}


def leaves(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        path = f"{before}{key}"
        if isinstance(value, dict) and value and path not in values_table.WHOLE:
            yield from leaves(value, f"{path}.")
        else:
            yield path, value


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_value_is_refused_by_its_name(case: str) -> None:
    path, value, says = WRONG[case]
    with pytest.raises(helm_python.HelmError) as refused:
        manifests(with_values(example("app"), path, value))
    assert says in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_what_is_missing_is_said_all_at_once() -> None:
    with pytest.raises(helm_python.HelmError) as refused:
        manifests({})
    for needed in ("config.repositories", "config.mlflow.trackingUri", "existingSecrets.webhooks",
                   "existingSecrets.github", "existingSecrets.redis"):  # fmt: skip
        assert f"\n  {needed} is " in str(refused.value)


def test_every_value_has_a_place_in_the_schema() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    for path, _ in leaves(yaml.safe_load((CHART / "values.yaml").read_text())):
        at = schema
        for part in path.split("."):
            if at == {"$ref": "#/$defs/open"}:  # Kubernetes' own
                break
            assert at["additionalProperties"] is False, path
            assert part in at["properties"], path
            at = at["properties"][part]


def test_every_value_changes_something() -> None:
    """No value is dead: in some set of values another one makes another installation."""
    every = dict(leaves(yaml.safe_load((CHART / "values.yaml").read_text())))
    with helm_python.Chart.load(CHART) as chart:
        sets = [example(name) for name in sorted(EXAMPLES, key="full".__ne__)]
        installed = [(values, chart.render(values)) for values in sets]
        dead = [path for path, default in every.items() if not _changes_something(chart, installed, path, default)]
    # Whose other values want a second value beside them: the sets that are checked differ in these.
    assert dead == ["worker.autoscaling.keda.trigger", "valkey.enabled"]


def _changes_something(
    chart: helm_python.Chart, installed: list[tuple[dict[str, Any], dict[str, str]]], path: str, default: object
) -> bool:
    for values, before in installed:
        for other in _others(default):
            with contextlib.suppress(helm_python.HelmError):
                if chart.render(with_values(values, path, other)) != before:
                    return True
    return False


def _others(default: object) -> tuple[object, ...]:
    """Values of the same type, of which some place takes at least one."""
    match default:
        case bool():
            return (not default, default)
        case int():
            return (default + 1,)
        case str():
            digest = f"sha256:{'f' * 64}"
            return ("other", "https://other", "3m", "7", "3Gi", digest, "host:1", "hpa", "prometheus", "json",
                    "DoNotSchedule", "ScheduleAnyway", "Always", "NodePort")  # fmt: skip
        case list():
            return (["other"], ["other/models"], [{"name": "OTHER"}], [7], ["/other"], ["live"], ["PromotionBotDown"])
        case _:
            return ({"other": "thing"},)


def test_every_value_has_its_meaning() -> None:
    assert [each.path for each in values_table.values() if not each.meaning] == []


def test_the_readme_tells_of_the_values_as_they_are() -> None:
    assert (CHART / "README.md").read_text() == values_table.readme(), "run `make chart`"


@pytest.mark.parametrize("page", ["docs/kubernetes.md", "charts/promotion-bot/README.md"])
def test_the_values_that_a_page_shows_are_taken(page: str) -> None:
    shown = fences(page, "yaml")
    assert shown
    for values in shown:
        assert the(manifests(yaml.safe_load(values)), "Deployment", "-web")
