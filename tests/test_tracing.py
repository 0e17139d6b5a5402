"""When traces are made, and what an error may tell in one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from bot import tracing
from bot.domain.errors import Misconfigured, NotYet, Unreachable
from bot.settings import load_settings

HERE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, False),
        (HERE, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({**HERE, "OTEL_SDK_DISABLED": "true"}, False),
        ({**HERE, "OTEL_TRACES_EXPORTER": "none"}, False),
        ({**HERE, "OTEL_TRACES_EXPORTER": "otlp"}, True),
    ],
)
def test_an_endpoint_asks_for_traces(environ: dict[str, str], wanted: bool) -> None:
    assert tracing.is_wanted(environ) is wanted


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "is not an address; for example: http://collector:4318"),
        ({**HERE, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "is not http/protobuf, the one that is spoken here"),
    ],
)
def test_what_keeps_traces_from_being_sent_is_said_at_the_start(
    environ: dict[str, str], wrong: dict[str, str], said: str
) -> None:
    with pytest.raises(Misconfigured, match=said):
        load_settings({**environ, **wrong})


def test_a_missing_extra_is_named(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "_EXPORTER", "opentelemetry-exporter-that-nobody-has")
    load_settings(environ)
    with pytest.raises(Misconfigured, match=r"pip install 'promotion-bot\[otel\]'"):
        load_settings({**environ, **HERE})


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[ReadableSpan]]:
    """The spans that have ended in this process."""
    memory, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    monkeypatch.setattr(tracing, "_provider", provider)
    spans: list[ReadableSpan] = []
    monkeypatch.setattr(memory, "_finished_spans", spans)
    yield spans
    provider.shutdown()


def test_an_error_tells_no_more_than_may_be_told(ended: list[ReadableSpan]) -> None:
    for error in (
        ValueError("the password is 4711"),
        Unreachable("MLflow does not answer"),
        NotYet("not before noon", 1.0),
    ):
        with (
            pytest.raises(type(error)),
            tracing.begun("look", SpanKind.CONSUMER, {"promotion.model": "fraud", "promotion.environment": None}),
        ):
            raise error
    mistake, away, waits = ended
    assert mistake.attributes == {"promotion.model": "fraud", "error.type": "ValueError"}
    assert (mistake.status.status_code, mistake.status.description) == (StatusCode.ERROR, None)
    assert (away.status.status_code, away.status.description) == (StatusCode.ERROR, "MLflow does not answer")
    assert waits.status.status_code is StatusCode.UNSET
    assert all(span.events == () for span in ended), "no stack, no message"


def test_a_trace_goes_on_from_what_was_carried_and_from_nothing_else(ended: list[ReadableSpan]) -> None:
    with tracing.inside("nobody asked for this", {}):
        assert tracing.carried() == ""
    with tracing.begun("webhook", SpanKind.SERVER, {}):
        carried = tracing.carried()
    with tracing.begun("look", SpanKind.CONSUMER, {}, carried), tracing.inside("effect", {}):
        pass
    with tracing.begun("another look", SpanKind.CONSUMER, {}, "what nobody can read"):
        pass
    webhook, effect, look, another = ended
    assert look.parent is not None
    assert webhook.context is not None
    assert look.parent.span_id == webhook.context.span_id
    assert {span.context.trace_id for span in (look, effect) if span.context} == {webhook.context.trace_id}
    assert another.parent is None
