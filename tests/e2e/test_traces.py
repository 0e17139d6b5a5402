"""A promotion as a trace: from the webhook, through looks in other processes, to the last effect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest
import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bot.settings import Secret
from tests.conftest import wait_until
from tests.e2e.service import service, web
from tests.receiver import Receiver, receiving
from tests.web.payloads import mlflow, model_event

SECRETS = {"MLFLOW_WEBHOOK_SECRET": "mlflow-secret-4711", "GITHUB_WEBHOOK_SECRET": "github-secret-4711"}


@dataclass(frozen=True)
class Span:
    """One span as it arrived."""

    name: str
    trace: bytes
    id: bytes
    parent: bytes
    known: Mapping[str, str]
    service: str

    @classmethod
    def all(cls, receiver: Receiver) -> list[Self]:
        spans = []
        for path, _, body in tuple(receiver.came):
            assert path == "/v1/traces"
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                [service] = [a.value.string_value for a in resource.resource.attributes if a.key == "service.name"]
                for span in (span for scope in resource.scope_spans for span in scope.spans):
                    known = {a.key: a.value.string_value or str(a.value.int_value) for a in span.attributes}
                    spans.append(cls(span.name, span.trace_id, span.span_id, span.parent_span_id, known, service))
        return spans


def is_whole(spans: list[Span], name: str) -> bool:
    """Whether a span of that name is there, and all that are around it, which end and arrive later."""
    ids = {span.id for span in spans}
    found = [span.trace for span in spans if span.name == name]
    return bool(found) and all(span.parent in ids for span in spans if span.trace in found and span.parent)


@pytest.mark.slow
def test_one_trace_leads_from_the_webhook_to_the_last_effect(
    registry_url: str, cache_url: Secret, tmp_path: Path
) -> None:
    with receiving() as collector:
        # No sweep looks before the webhook does.
        further = {
            **SECRETS,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_EXPORTER_OTLP_TIMEOUT": "60",
            "PROMOTION_SWEEP_INTERVAL": "1h",
        }
        with (
            service(registry_url, cache_url, tmp_path, further) as running,
            web(running, tmp_path / "web.log") as url,
        ):
            running.worker.start()
            wait_until(lambda: [s for s in Span.all(collector) if s.name == "look Repository"], "it has begun")
            world = running.house
            version = world.register()
            posted = mlflow(model_event(name=world.model), SECRETS["MLFLOW_WEBHOOK_SECRET"])
            forged = {"traceparent": "00-11111111111111111111111111111111-2222222222222222-01"}
            answer = requests.post(
                f"{url}/webhooks/mlflow",
                posted["data"],
                headers={**posted["headers"], **forged, "Content-Type": "application/json"},
                timeout=60,
            )
            assert answer.status_code == 202
            wait_until(lambda: world.aliases().get("staging") == version, "it is live in staging")
            spans: list[Span] = []

            def is_there() -> bool:
                spans[:] = Span.all(collector)
                return is_whole(spans, "SetAlias")

            wait_until(is_there, "its spans have arrived")
            secrets = {*SECRETS.values(), *world.github.world.tokens}

    by_id = {span.id: span for span in spans}
    [webhook] = [span for span in spans if span.name == "webhook mlflow"]
    assert webhook.parent == b"", "what a sender says of a trace is not believed"
    assert webhook.known["http.response.status_code"] == "202"
    assert webhook.known["promotion.delivery"] == "delivery-1"

    def way(span: Span) -> list[str]:
        return [*(way(by_id[span.parent]) if span.parent else []), span.name]

    [alias] = [span for span in spans if span.name == "SetAlias" and span.known["promotion.version"] == str(version)]
    assert alias.trace == webhook.trace
    assert way(alias)[:3] == ["webhook mlflow", "look RegisteredModel", "look Model"]
    asked = [span for span in spans if span.trace == webhook.trace and span.name in ("GitHub POST", "MLflow")]
    assert any(way(span)[-2:] == ["OpenProposal", "GitHub POST"] for span in asked)
    assert any(way(span)[-2:] == ["SetAlias", "MLflow"] for span in asked)
    assert {span.service for span in spans} == {"promotion-bot"}
    told = "".join(repr(body) for _, _, body in collector.came)
    assert not [secret for secret in secrets if secret in told]


@pytest.mark.slow
def test_a_collector_that_never_answers_stops_nothing(registry_url: str, cache_url: Secret, tmp_path: Path) -> None:
    with receiving() as collector:
        collector.status = 503
        further = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        with service(registry_url, cache_url, tmp_path, further) as running:
            running.worker.start()
            version = running.house.register()
            wait_until(lambda: running.house.aliases().get("staging") == version, "it is live in staging", 150)
            wait_until(lambda: collector.came, "it was told")
