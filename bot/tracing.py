"""OpenTelemetry traces from a webhook to the last effect that it led to, where an endpoint is configured.

One trace holds the webhook, each look that it led to on whatever worker, what these looks asked of GitHub and MLflow,
and each effect. It is configured by OpenTelemetry's own variables, which its SDK reads
(https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/); where none names an endpoint,
everything here does nothing. Nothing of the product depends on a trace, and a collector that is away stops nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from bot.domain.errors import LostLock, NotYet, PromotionError

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
# A job ends by sending its spans: so long, and no longer, it waits for a collector that does not answer.
_TIMEOUT: Final = 2.0  # seconds
_PROTOCOL: Final = "http/protobuf"
_EXPORTER: Final = "opentelemetry-exporter-otlp-proto-http"
_TIMEOUTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
_DELAY: Final = 1000  # milliseconds that a span waits for others to be sent with it
_CONTEXT: Final = TraceContextTextMapPropagator()

Attributes = Mapping[str, object]
_provider: TracerProvider | None = None


def is_wanted(environ: Mapping[str, str]) -> bool:
    """Whether the environment names where traces go, and does not switch them off."""
    off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none"
    return not off and any(environ.get(name) for name in ENDPOINTS)


def problems(environ: Mapping[str, str]) -> Iterator[str]:
    """What keeps the traces that the environment wants from being sent."""
    if not is_wanted(environ):
        return
    try:
        version(_EXPORTER)
    except PackageNotFoundError:
        yield "OTEL_EXPORTER_OTLP_ENDPOINT needs an extra: pip install 'promotion-bot[otel]'"
    for name in ENDPOINTS:
        if environ.get(name) and not environ[name].startswith(("http://", "https://")):
            yield f"{name} is not an address; for example: http://collector:4318"
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if environ.get(name, _PROTOCOL) not in ("", _PROTOCOL):
            yield f"{name} is not {_PROTOCOL}, the one that is spoken here; collectors listen for it on port 4318"


def configure(environ: Mapping[str, str] = os.environ) -> None:
    """Begin to trace in this process and in those that it forks, if the environment wants it."""
    global _provider  # noqa: PLW0603 - of the process, as the SDK's own is
    if not is_wanted(environ) or _provider is not None:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    timeout = None if any(environ.get(name) for name in _TIMEOUTS) else _TIMEOUT
    own = {"service.version": version("promotion-bot")}
    if not environ.get("OTEL_SERVICE_NAME") and "service.name=" not in environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        own["service.name"] = "promotion-bot"
    _provider = TracerProvider(resource=Resource.create(own))
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=timeout), schedule_delay_millis=_DELAY))


def flush() -> None:
    """Send what has not been sent: a forked job ends without telling anybody."""
    if _provider is not None:
        _provider.force_flush()


@contextmanager
def begun(name: str, kind: SpanKind, attributes: Attributes, led_to_it: str = "") -> Iterator[Span]:
    """A trace's first span; or the next one of the trace that `led_to_it`, which is what `carried` gave."""
    if _provider is None:
        yield INVALID_SPAN
        return
    with _told(_provider, name, kind, attributes, _CONTEXT.extract({"traceparent": led_to_it})) as span:
        yield span


@contextmanager
def inside(name: str, attributes: Attributes, kind: SpanKind = SpanKind.INTERNAL) -> Iterator[Span]:
    """A span below the one around it; none where nothing around it is traced, such as in another thread."""
    if _provider is None or not trace.get_current_span().is_recording():
        yield INVALID_SPAN
        return
    with _told(_provider, name, kind, attributes) as span:
        yield span


def carried() -> str:
    """What leads on to another process: the current span as W3C's `traceparent`; empty where nothing is traced."""
    carrier: dict[str, str] = {}
    _CONTEXT.inject(carrier)
    return carrier.get("traceparent", "")


@contextmanager
def _told(
    provider: TracerProvider, name: str, kind: SpanKind, attributes: Attributes, context: Context | None = None
) -> Iterator[Span]:
    """A span, which tells of an error no more than may be told."""
    texts = {key: str(value) for key, value in attributes.items() if value is not None}
    tracer = provider.get_tracer("promotion-bot")
    with tracer.start_as_current_span(
        name, context, kind, texts, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield span
        except (LostLock, NotYet):
            raise  # nothing went wrong
        except BaseException as error:
            # Of an error that is not the product's own, only the name: its text may hold anything.
            span.set_status(StatusCode.ERROR, str(error) if isinstance(error, PromotionError) else None)
            span.set_attribute("error.type", type(error).__name__)
            raise
