"""What the chart makes of its values: valid objects, each role with what it needs and no more."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import pytest
import yaml

from bot.domain.happening import HappeningKind
from bot.gateways.queue import RQ_QUEUES
from bot.logs import LogFormat
from charts import lint
from tests.charts.rendering import (
    CHART,
    EXAMPLES,
    ROOT,
    container,
    example,
    files,
    manifests,
    pods,
    the,
    variables,
    with_values,
)
from tests.charts.resources import custom_problems
from workers import process

SECRETS = {
    "MLFLOW_WEBHOOK_SECRET",
    "GITHUB_WEBHOOK_SECRET",
    "GITHUB_TOKEN",
    "PROMOTION_BOARD_TOKEN",
    "REDIS_URL",
    "VALKEY_PASSWORD",
    "PROMOTION_NOTIFY_SLACK_URL",
    "PROMOTION_NOTIFY_WEBHOOK_URL",
    "PROMOTION_NOTIFY_WEBHOOK_SECRET",
}
# Where each variable of docs/operations.md is set; what has no value of its own is set like any other variable.
SET_BY: dict[str, tuple[str, str, Any]] = {
    "MLFLOW_TRACKING_URI": ("worker", "config.mlflow.trackingUri", "https://mlflow"),
    "MLFLOW_REGISTRY_URI": ("worker", "config.mlflow.registryUri", "https://registry"),
    "MLFLOW_TRACKING_TOKEN": ("worker", "worker.extraEnv", None),
    "MLFLOW_WEBHOOK_SECRET": ("web", "existingSecrets.webhooks", "a-secret"),
    "GITHUB_WEBHOOK_SECRET": ("web", "existingSecrets.webhooks", "a-secret"),
    "GITHUB_API_URL": ("worker", "config.github.apiUrl", "https://github.example.com/api/v3"),
    "GITHUB_APP_ID": ("worker", "config.github.appId", "77"),
    "GITHUB_APP_PRIVATE_KEY": ("worker", "worker.extraEnv", None),
    "GITHUB_APP_PRIVATE_KEY_FILE": ("worker", "config.github.appId", "77"),
    "GITHUB_TOKEN": ("worker", "config.github.appId", ""),
    "PROMOTION_REPOSITORIES": ("worker", "config.repositories", ["a/b", "c/d"]),
    "REDIS_URL": ("worker", "existingSecrets.redis", "a-secret"),
    "PROMOTION_SWEEP_INTERVAL": ("worker", "config.sweepInterval", "90s"),
    "PROMOTION_PUBLIC_URL": ("web", "config.publicUrl", "https://promotion.example.com"),
    "PROMOTION_INTERNAL_URL": ("worker", "config.internalUrl", "http://promotion-bot.tools.svc:8080"),
    "PROMOTION_DATA_DIR": ("worker", "worker.extraEnv", None),
    "PROMOTION_QUEUE_LEASE": ("worker", "config.queueLease", "1m"),
    "PROMOTION_BOARD_TOKEN": ("web", "existingSecrets.board", "a-secret"),
    "PROMOTION_BOARD_USER_HEADER": ("web", "config.boardUserHeader", "X-User"),
    "PROMOTION_METRICS_PORT": ("web", "metrics.port", 9999),
    "PROMOTION_DVC_ROOTS": ("worker", "config.dvcRoots", ["/srv/dvc"]),
    "PROMOTION_DVC_HOSTS": ("worker", "config.dvcHosts", ["minio.internal:9000"]),
    "PROMOTION_NOTIFY_SLACK_URL": ("worker", "existingSecrets.notifications", "a-secret"),
    "PROMOTION_NOTIFY_WEBHOOK_URL": ("worker", "existingSecrets.notifications", "a-secret"),
    "PROMOTION_NOTIFY_WEBHOOK_SECRET": ("worker", "existingSecrets.notifications", "a-secret"),
    "PROMOTION_NOTIFY_EVENTS": ("worker", "config.notifyEvents", ["live", "drift"]),
    "OTEL_EXPORTER_OTLP_ENDPOINT": ("web", "config.otlpEndpoint", "http://collector:4318"),
    "PROMOTION_LOG_FORMAT": ("web", "config.logFormat", "json"),
}


def documented_variables() -> set[str]:
    """The variables of the services in the table of docs/operations.md."""
    table = (ROOT / "docs" / "operations.md").read_text().partition("## Settings\n")[2].partition("\n## ")[0]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
    firsts = [row[1] for row in rows if row[2].strip() != "commands"]
    return {name for first in firsts for name in re.findall(r"`([A-Z_]{5,})`", first)}


def test_helm_finds_nothing_to_say() -> None:
    assert list(lint.findings()) == []


@pytest.mark.parametrize("kubernetes", ["1.30.0", kubernetes_validate.latest_version()])
@pytest.mark.parametrize("name", EXAMPLES)
def test_every_object_is_what_kubernetes_takes(name: str, kubernetes: str) -> None:
    found = manifests(example(name))
    assert len(found) > 8
    for each in found:
        problems = custom_problems(each)
        if problems is None:
            kubernetes_validate.validate(each, kubernetes, strict=True)
        else:
            assert problems == []


def test_what_kubernetes_does_not_take_is_noticed() -> None:
    deployment = the(manifests(example("app")), "Deployment", "-web")
    deployment["spec"]["template"]["spec"]["containers"][0]["readyProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readyProbe"):
        kubernetes_validate.validate(deployment, "1.30.0", strict=True)
    scaled = the(manifests(example("full")), "ScaledObject")
    scaled["spec"]["maxReplicas"] = 3
    assert custom_problems(scaled) == ["$.spec: Additional properties are not allowed ('maxReplicas' was unexpected)"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_names_are_unique_and_short_enough_and_selectors_find_their_pods(name: str) -> None:
    found = manifests(example(name), release="a-release-whose-name-is-as-long-as-helm-allows-it1")
    names = [(each["kind"], each["metadata"]["name"]) for each in found]
    assert len(set(names)) == len(names)
    assert all(len(each) <= 63 for _, each in names)
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in found if "template" in each.get("spec", {})]
    for each in found:
        if each["kind"] == "Service":
            wanted = each["spec"]["selector"].items()
            assert sum(wanted <= pod.items() for pod in labels) == 1


def test_a_releases_name_may_have_dots_which_a_services_may_not() -> None:
    names = [
        each["metadata"]["name"] for each in manifests(example("app"), release="ml.bot") if each["kind"] == "Service"
    ]
    assert names
    assert all(name.startswith("ml-bot-promotion-bot") and "." not in name for name in names)


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_pod_is_locked_down(name: str) -> None:
    for pod_name, pod in pods(manifests(example(name))):
        assert pod["automountServiceAccountToken"] is False
        security = pod["securityContext"]
        assert (security["runAsNonRoot"], security["runAsUser"], security["seccompProfile"]["type"]) == (
            True,
            10001,
            "RuntimeDefault",
        ), pod_name
        for each in pod["containers"]:
            assert each["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"cpu", "memory"} <= each["resources"]["requests"].keys()
            assert "memory" in each["resources"]["limits"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_secret_is_rendered_and_none_is_made(name: str) -> None:
    found = manifests(example(name))
    assert not [each for each in found if each["kind"] == "Secret"]
    for _, pod in pods(found):
        for variable in (each for one in pod["containers"] for each in one.get("env", [])):
            if variable["name"] in SECRETS and "value" in variable:
                assert variable["value"].startswith("redis://:$(VALKEY_PASSWORD)@"), variable["name"]


def test_each_role_has_its_own_credentials_and_no_others() -> None:
    found = manifests(example("full"))
    web, worker = variables(found, "web"), variables(found, "worker")
    assert web.keys() & {"MLFLOW_TRACKING_URI", "GITHUB_APP_PRIVATE_KEY_FILE", "GITHUB_TOKEN"} == set()
    assert worker.keys() & {"MLFLOW_WEBHOOK_SECRET", "GITHUB_WEBHOOK_SECRET", "PROMOTION_BOARD_TOKEN"} == set()
    web_pod = the(found, "Deployment", "-web")["spec"]["template"]["spec"]
    assert not [each for each in web_pod["volumes"] if "secret" in each]
    assert "secretRef" not in str(container(found, "web").get("envFrom"))
    assert {"secretRef": {"name": "mlflow"}} in container(found, "worker")["envFrom"]


def test_the_apps_number_is_a_number_whatever_yaml_made_of_it() -> None:
    for said in ("1234567", 1234567, 1234567.0):
        found = manifests(with_values(example("app"), "config.github.appId", said))
        assert variables(found, "worker")["GITHUB_APP_ID"] == "1234567"


def test_every_documented_variable_is_known_here() -> None:
    assert documented_variables() | {"MLFLOW_REGISTRY_URI", "MLFLOW_TRACKING_TOKEN"} == SET_BY.keys()


@pytest.mark.parametrize("variable", SET_BY)
def test_every_variable_can_be_set(variable: str) -> None:
    role, path, value = SET_BY[variable]
    value = [{"name": variable, "value": "x"}] if value is None else value
    assert variable in variables(manifests(with_values(example("app"), path, value)), role)


def test_the_chart_knows_the_events_that_there_are() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    config = schema["properties"]["config"]["properties"]
    assert config["notifyEvents"]["items"]["enum"] == [kind.value for kind in HappeningKind]
    assert config["logFormat"]["enum"] == ["", *LogFormat]


def test_a_secret_need_not_hold_both_of_those_who_are_notified() -> None:
    found = variables(manifests(with_values(example("app"), "existingSecrets.notifications", "chat")), "worker")
    for name in ("PROMOTION_NOTIFY_SLACK_URL", "PROMOTION_NOTIFY_WEBHOOK_URL", "PROMOTION_NOTIFY_WEBHOOK_SECRET"):
        assert found[name] == {"name": "chat", "key": name, "optional": True}


def test_probes_ask_what_the_service_answers() -> None:
    web = container(manifests(example("app")), "web")
    assert web["livenessProbe"]["httpGet"]["path"] == web["startupProbe"]["httpGet"]["path"] == "/healthz"
    assert web["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_web_and_workers_have_time_to_end() -> None:
    found = manifests(with_values(example("app"), "web.drainSeconds", 30))
    worker = the(found, "Deployment", "-worker")["spec"]["template"]["spec"]
    assert worker["terminationGracePeriodSeconds"] > process._GRACE + process._COLD
    web = the(found, "Deployment", "-web")["spec"]["template"]["spec"]
    assert web["terminationGracePeriodSeconds"] >= 30 + 10, "granian ends its processes within ten seconds"
    too_short = with_values(example("app"), "worker.terminationGracePeriodSeconds", int(process._GRACE + process._COLD))
    with pytest.raises(helm_python.HelmValuesError, match="terminationGracePeriodSeconds"):
        manifests(too_short)


def test_a_worker_is_always_there_since_the_scheduler_lives_in_it() -> None:
    with pytest.raises(helm_python.HelmValuesError, match="/worker/autoscaling/minReplicas"):
        manifests(with_values(example("full"), "worker.autoscaling.minReplicas", 0))
    with pytest.raises(helm_python.HelmValuesError, match="/worker/replicas"):
        manifests(with_values(example("app"), "worker.replicas", 0))


@pytest.mark.parametrize("taken_away", ["web", "worker.autoscaling", "config.github", "metrics.prometheusRule"])
def test_a_part_that_is_set_to_null_is_named(taken_away: str) -> None:
    with pytest.raises(helm_python.HelmValuesError, match=re.escape(taken_away.rpartition(".")[2])):
        manifests(with_values(example("app"), taken_away, None))


@pytest.mark.parametrize(("name", "role"), [("app", "web"), ("hpa", "worker")])
def test_an_autoscaler_is_not_fought_by_a_number_of_replicas(name: str, role: str) -> None:
    found = manifests(example(name))
    deployment = the(found, "Deployment", f"-{role}")
    assert "replicas" not in deployment["spec"]
    target = the(found, "HorizontalPodAutoscaler", f"-{role}")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])


def test_keda_asks_for_the_lists_in_which_looks_wait() -> None:
    found = manifests(example("full"))
    scaled = the(found, "ScaledObject")["spec"]
    lists = [each["metadata"]["listName"] for each in scaled["triggers"]]
    assert lists == [f"rq:queue:{name}" for name in RQ_QUEUES.values()]
    assert scaled["scaleTargetRef"]["name"] == the(found, "Deployment", "-worker")["metadata"]["name"]
    assert "replicas" not in the(found, "Deployment", "-worker")["spec"]
    valkey = the(found, "Service", "-valkey")["metadata"]["name"]
    assert {each["metadata"]["address"] for each in scaled["triggers"]} == {f"{valkey}.ml.svc:6379"}
    authentication = the(found, "TriggerAuthentication")
    assert {each["authenticationRef"]["name"] for each in scaled["triggers"]} == {authentication["metadata"]["name"]}
    assert authentication["spec"]["secretTargetRef"] == [
        {"parameter": "password", "name": "valkey", "key": "VALKEY_PASSWORD"}
    ]


def test_keda_may_ask_a_redis_that_is_not_the_charts() -> None:
    [metadata, *_] = [
        each["metadata"] for each in the(manifests(example("outside")), "ScaledObject")["spec"]["triggers"]
    ]
    assert (metadata["address"], metadata["databaseIndex"], metadata["enableTLS"]) == (
        "redis.example.com:6380",
        "2",
        "true",
    )


def test_the_ingress_reaches_webhooks_alone_unless_told_otherwise() -> None:
    found = manifests({**example("app"), "ingress": {"enabled": True, "host": "promotion.example.com"}})
    [rule] = the(found, "Ingress")["spec"]["rules"]
    assert [each["path"] for each in rule["http"]["paths"]] == ["/webhooks/"]


def test_metrics_are_on_no_service_that_is_reached_from_outside() -> None:
    found = manifests(example("full"))
    assert [each["name"] for each in the(found, "Service", "-web")["spec"]["ports"]] == ["http"]
    assert the(found, "Service", "-metrics")["spec"]["clusterIP"] == "None"


def test_workers_are_reached_by_nobody_and_reach_only_what_they_need() -> None:
    policy = the(manifests(example("full")), "NetworkPolicy", "-worker")["spec"]
    assert policy["ingress"] == []
    queue, _names, outside = policy["egress"]
    assert queue["to"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "valkey"
    assert {each["port"] for each in outside["ports"]} == {443, 5000, 8443, 4318}, "GitHub, MLflow twice, traces"


def test_the_web_service_reaches_the_queue_and_nothing_else() -> None:
    web = the(manifests(example("outside")), "NetworkPolicy", "-web")["spec"]
    assert [[each["port"] for each in rule["ports"]] for rule in web["egress"]] == [[6380, 26379], [53, 53]]
    traced = the(manifests(example("full")), "NetworkPolicy", "-web")["spec"]
    assert traced["egress"][-1] == {"ports": [{"port": 4318}]}


def test_the_bundled_queue_is_reached_by_its_users_alone() -> None:
    policy = the(manifests(example("full")), "NetworkPolicy", "-valkey")["spec"]
    [rule] = policy["ingress"]
    ours = [each["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for each in rule["from"][:2]]
    assert ours == ["web", "worker"]
    assert rule["from"][2]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] == "keda"
    assert policy["egress"] == []


def test_the_queue_may_forget_or_not() -> None:
    kept = the(manifests(example("full")), "StatefulSet")["spec"]
    assert kept["volumeClaimTemplates"][0]["spec"]["storageClassName"] == "fast"
    forgets = the(manifests(example("token")), "StatefulSet")["spec"]
    assert "volumeClaimTemplates" not in forgets
    assert "emptyDir" in next(each for each in forgets["template"]["spec"]["volumes"] if each["name"] == "data")


def test_pods_are_spread_over_nodes_and_zones() -> None:
    found = manifests(example("full"))
    for role in ("web", "worker"):
        spread = the(found, "Deployment", f"-{role}")["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert [each["topologyKey"] for each in spread] == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]


def test_what_runs_may_be_named_by_its_digest() -> None:
    image = container(manifests(example("full")), "web")["image"]
    assert re.fullmatch(r"registry\.example\.com/ml/promotion-bot@sha256:[0-9a-f]{64}", image)


@pytest.mark.parametrize("hook", ["answers", "doctor"])
def test_helm_test_has_hooks(hook: str) -> None:
    pod = the(manifests(example("full")), "Pod", f"-test-{hook}")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert pod["spec"]["restartPolicy"] == "Never"


def test_the_notes_warn_of_an_open_board() -> None:
    values = {**example("app"), "ingress": {"enabled": True, "host": "promotion.example.com", "paths": ["/"]}}
    assert "the board is open" in files(values)["promotion-bot/templates/NOTES.txt"]
    closed = with_values(values, "existingSecrets.board", "board")
    assert "the board is open" not in files(closed)["promotion-bot/templates/NOTES.txt"]


def test_the_chart_has_the_versions_of_the_package() -> None:
    declared = yaml.safe_load((CHART / "Chart.yaml").read_text())
    package = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert package
    assert declared["appVersion"] == package[1]


def test_the_archive_holds_what_an_installation_reads(tmp_path: Path) -> None:
    with tarfile.open(helm_python.package(CHART, destination=tmp_path)) as archive:
        names = {name.removeprefix("promotion-bot/") for name in archive.getnames()}
    assert {"values.schema.json", "README.md", "files/alerts.yaml", "files/dashboard.json"} <= names
    assert not [name for name in names if name.startswith("ci/")]
