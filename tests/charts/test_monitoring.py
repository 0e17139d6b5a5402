"""Alerts and dashboard: they name what the service exports, fire when they should, and each has a runbook."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from bot.domain.board import Cell, Matter, MatterKind, Proposed
from bot.domain.errors import Service
from bot.domain.keys import ModelKey, RepositoryKey
from bot.gateways.measurements import Measurements
from bot.gateways.queue import WorkQueue
from bot.gateways.redis_connection import connect
from bot.settings import Needs, Secret, load_settings
from bot.web.app import create_app
from tests.charts.rendering import CHART, ROOT, example, manifests, the
from tests.measuring import measure_everything
from tests.tools import is_missing
from tests.web.payloads import github, push

UNIT_TESTS = sorted(Path(__file__).parent.glob("*_test.yaml"))
# What Prometheus and its operator add to each series; `up` is Prometheus' own.
TARGET_LABELS = {"namespace", "pod", "container", "endpoint", "service", "job", "instance"}
ALERTS = [
    rule for group in yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["groups"] for rule in group["rules"]
]
DASHBOARD = json.loads((CHART / "files" / "dashboard.json").read_text())
QUERIES = {
    f"{panel['title']}: {target['refId']}": target["expr"]
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", [])
}


@pytest.fixture(scope="module")
def exported(valkey_url: Secret) -> Mapping[str, set[str]]:
    """The labels of each series that the service exports once everything has happened to it."""
    queue = WorkQueue(connect(valkey_url))
    queue.request(RepositoryKey("acme/models"))
    queue.record("Model", "done", 1.0)
    queue.troubles.is_away(Service.MLFLOW, "nobody answers")
    queue.troubles.failed(ModelKey("acme/models", "fraud"), "KeyError")
    cell = Cell(
        "fraud",
        "production",
        since=datetime.now(UTC),
        proposed=(Proposed(version=2, pull_request=7, since=datetime.now(UTC), waits_for="an approval"),),
        matters=(Matter(MatterKind.DRIFTING, "the alias names v1", "Put it back."),),
    )
    queue.boards.show("acme/models", "fraud", [cell])
    measure_everything(Measurements(queue.connection))
    secrets = {"MLFLOW_WEBHOOK_SECRET": "mlflow-new", "GITHUB_WEBHOOK_SECRET": "github-new"}
    settings = load_settings({**secrets, "PROMOTION_REPOSITORIES": "acme/models"}, Needs.WEBHOOKS)
    web = create_app(settings, queue).test_client()
    web.post("/webhooks/github", **github("push", push()))
    series: dict[str, set[str]] = {"up": {"job"}}
    for family in text_string_to_metric_families(web.get("/metrics").text):
        for sample in family.samples:
            series.setdefault(sample.name, set()).update(sample.labels)
    return series


def promtool() -> str:
    """Prometheus' own checker, which comes in no wheel."""
    found = shutil.which("promtool") or shutil.which("promtool", path=ROOT / "build")
    return found or is_missing("promtool", "promtool is missing")


def parsed(query: str) -> promql_parser.Expr:
    return promql_parser.parse(query.replace("$__rate_interval", "5m"))


def nodes(expression: object) -> list[Any]:
    """Every part of an expression."""
    found: list[Any] = []
    promql_parser.walk(expression, found.append)
    return found


def problems(query: str, exported: Mapping[str, set[str]]) -> Iterator[str]:
    """What the query names that nobody exports."""
    known = set(TARGET_LABELS)
    for node in nodes(parsed(query)):
        if isinstance(node, promql_parser.VectorSelector):
            labels = exported.get(node.name)
            if labels is None:
                yield f"{node.name} is not exported"
                continue
            known |= labels
            for matcher in node.matchers.matchers:
                if matcher.name not in labels | TARGET_LABELS:
                    yield f"{node.name} has no label {matcher.name}"
    for node in nodes(parsed(query)):
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            yield from (f"no series has the label {label}" for label in node.modifier.labels if label not in known)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_names_what_is_exported(alert: dict[str, Any], exported: Mapping[str, set[str]]) -> None:
    assert list(problems(alert["expr"], exported)) == []
    shown = set(re.findall(r"\$labels\.(\w+)", str(alert["annotations"])))
    last = [node for node in nodes(parsed(alert["expr"])) if isinstance(node, promql_parser.AggregateExpr)]
    assert all(shown <= set(node.modifier.labels) for node in last[:1]), "what is shown is aggregated away"


@pytest.mark.parametrize("title", QUERIES)
def test_a_panel_names_what_is_exported(title: str, exported: Mapping[str, set[str]]) -> None:
    assert list(problems(QUERIES[title], exported)) == []


@pytest.mark.parametrize(
    "query", ["promotion_no_such_thing", 'promotion_held{model="x"}', "sum by (model) (promotion_held)"]
)
def test_what_is_not_exported_is_noticed(query: str, exported: Mapping[str, set[str]]) -> None:
    assert list(problems(query, exported))


def test_keda_asks_prometheus_for_what_is_exported(exported: Mapping[str, set[str]]) -> None:
    [trigger] = the(manifests(example("prometheus")), "ScaledObject")["spec"]["triggers"]
    assert list(problems(trigger["metadata"]["query"], exported)) == []


def test_prometheus_renames_none_of_our_labels(exported: Mapping[str, set[str]]) -> None:
    ours = {label for name, labels in exported.items() if name != "up" for label in labels}
    [endpoint] = the(manifests(example("full")), "ServiceMonitor")["spec"]["endpoints"]
    assert "service" in ours & TARGET_LABELS
    assert endpoint["honorLabels"] is True
    assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": "promotion-bot"}]


def test_promtool_takes_the_rules_as_they_are_rendered(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(yaml.safe_dump(the(manifests(example("full")), "PrometheusRule")["spec"]))
    checked = subprocess.run([promtool(), "check", "rules", rules], capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"SUCCESS: {len(ALERTS) - 1} rules found" in checked.stdout


def test_alerts_fire_when_they_should_and_only_then() -> None:
    tested = subprocess.run([promtool(), "test", "rules", *UNIT_TESTS], capture_output=True, text=True, timeout=120)
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.parametrize("alert", [rule["alert"] for rule in ALERTS])
def test_an_alert_is_seen_firing_in_a_unit_test(alert: str) -> None:
    expected = [line for path in UNIT_TESTS for line in path.read_text().splitlines() if "labels:" in line]
    assert any(f'alertname="{alert}"' in line for line in expected)


@pytest.mark.parametrize("alert", [rule["alert"] for rule in ALERTS])
def test_an_alert_has_a_runbook(alert: str) -> None:
    runbook = (ROOT / "docs" / "operations.md").read_text().partition("## Runbook\n")[2].partition("\n## ")[0]
    steps = runbook.partition(f"### {alert}\n")[2].partition("\n### ")[0]
    assert len(steps) > 100


def test_an_alert_leads_to_its_runbook() -> None:
    rules = the(manifests(example("full")), "PrometheusRule")["spec"]["groups"][0]["rules"]
    for rule in rules:
        assert rule["annotations"]["runbook_url"] == f"https://docs.example.com/operations/#{rule['alert'].lower()}"
        assert rule["labels"]["team"] == "ml"
        assert rule["labels"]["severity"] in ("critical", "warning", "info")


def test_an_alert_may_be_left_out() -> None:
    groups = the(manifests(example("full")), "PrometheusRule")["spec"]["groups"]
    assert {rule["alert"] for group in groups for rule in group["rules"]} == {rule["alert"] for rule in ALERTS} - {
        "PromotionBotHeld"
    }


def test_every_metric_has_a_place_on_the_dashboard(exported: Mapping[str, set[str]]) -> None:
    shown = {
        node.name
        for query in QUERIES.values()
        for node in nodes(parsed(query))
        if isinstance(node, promql_parser.VectorSelector)
    }
    ours = {
        name for name in exported if name.startswith("promotion_") and not name.endswith(("_created", "_sum", "_count"))
    }
    assert ours == shown - {"up"}


def test_the_dashboards_panels_have_a_place_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_the_dashboard_is_installed_as_it_is() -> None:
    installed = the(manifests(example("full")), "ConfigMap", "-dashboard")
    assert json.loads(installed["data"]["promotion-bot.json"]) == DASHBOARD
    assert installed["metadata"]["labels"]["grafana_dashboard"] == "1"
