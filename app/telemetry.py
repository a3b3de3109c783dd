"""OpenTelemetry for one process: providers, exporters, views, instrumentors, shutdown.

The only module that imports `opentelemetry.sdk`. Every standard `OTEL_*` variable works; those below are
given another default than the SDK's.
"""

import logging
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, request
from opentelemetry import _logs, metrics, trace
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.instrumentation.propagators import TraceResponsePropagator, set_global_response_propagator
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.instrumentation.system_metrics import SystemMetricsInstrumentor
from opentelemetry.instrumentation.utils import is_instrumentation_enabled, unwrap
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, use_span
from sqlalchemy import Engine

from app.config import refuse_setting

DEFAULTS = {
    "OTEL_SEMCONV_STABILITY_OPT_IN": "http,database",
    "OTEL_METRIC_EXPORT_INTERVAL": "10000",  # ms
    "OTEL_EXPORTER_OTLP_TIMEOUT": "3",  # s in Python; the default 10 holds up a worker's exit
    "OTEL_PYTHON_FLASK_EXCLUDED_URLS": r"^https?://[^/]+/((healthz|readyz|page-config\.json)?|assets/[^?]*)(\?|$)",
}

# Buckets 2-2.5x apart from 1 ms to 30 s: a percentile read from them is off by half a bucket at most.
BUCKETS_MS = (1, 2.5, 5, 10, 25, 50, 75, 100, 150, 250, 500, 750, 1000, 2500, 5000, 10000, 30000)
VIEWS = [
    View(
        instrument_type=Histogram,
        instrument_unit=unit,
        aggregation=ExplicitBucketHistogramAggregation([bound / scale for bound in BUCKETS_MS]),
    )
    for unit, scale in (("ms", 1), ("s", 1000))
]

PROCESS_METRICS: dict[str, Any] = {
    "process.cpu.time": ["user", "system"],
    "process.cpu.utilization": None,
    "process.memory.usage": None,
    "process.thread.count": None,
    "process.open_file_descriptor.count": None,
    "process.context_switches": ["involuntary", "voluntary"],
    "cpython.gc.collections": None,
    "cpython.gc.collected_objects": None,
    "cpython.gc.uncollectable_objects": None,
}

_providers: list[TracerProvider | MeterProvider | LoggerProvider] = []


class OtlpLogHandler(LoggingHandler):
    """OpenTelemetry's handler, keeping `logging`'s promise that a record never fails the code that wrote it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the record; what goes wrong is printed to stderr, as other handlers do."""
        try:
            super().emit(record)
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        """Nothing: shutdown() flushes. Upstream starts a thread, which Python 3.12 refuses when the process ends."""


def disabled() -> bool:
    """Whether OTEL_SDK_DISABLED says true: then nothing is instrumented, as instrumentors cost without an SDK."""
    return os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def configure(name: str, version: str) -> None:
    """Give this process its three providers and instrument its libraries; a second call does nothing.

    Call it before any engine or HTTP session is made: an engine older than its instrumentor is not traced.
    """
    if disabled() or _providers:
        return
    for variable, value in DEFAULTS.items():
        os.environ[variable] = _variable(variable, value)
    try:
        _set_providers(_resource(name, version))
    except Exception as error:
        # The SDK read its variables; what it says of a bad value does not always name the variable.
        refuse_setting("OTEL_*", str(error))

    set_global_response_propagator(TraceResponsePropagator())
    RequestsInstrumentor().instrument()
    RedisInstrumentor().instrument()
    SQLAlchemyInstrumentor().instrument()
    # The instrumentor makes a `connect` span of every pool checkout: noise between the statements.
    unwrap(Engine, "connect")
    SystemMetricsInstrumentor(config=PROCESS_METRICS).instrument()


def instrument_app(app: Flask) -> None:
    """Trace and measure the requests of `app`, health endpoints excluded, with a `traceresponse` on each answer."""
    if not disabled():
        FlaskInstrumentor().instrument_app(
            app,
            excluded_urls=os.environ["OTEL_PYTHON_FLASK_EXCLUDED_URLS"],
            response_hook=_correct_server_address,
            enable_commenter=False,
        )


def add_log_export() -> None:
    """Send what reaches the root logger as OTLP log records too: the one and only such bridge."""
    root = logging.getLogger()
    if disabled() or any(isinstance(handler, OtlpLogHandler) for handler in root.handlers):
        return
    handler = OtlpLogHandler()
    # What exporting itself has to say, such as that the backend is away, must not be queued for that backend.
    handler.addFilter(lambda record: is_instrumentation_enabled() and not record.name.startswith("opentelemetry."))
    root.addHandler(handler)


@contextmanager
def untraced() -> Iterator[None]:
    """Leave no spans below: a parent that is not sampled, so that metrics still count (suppressing would not)."""
    parent = SpanContext(trace_id=uuid.uuid4().int, span_id=1, is_remote=False)
    with use_span(NonRecordingSpan(parent)):
        yield


def shutdown(deadline: float) -> None:
    """Flush and stop all three signals side by side, for `deadline` seconds at most.

    One after the other they take 15-38 s when the collector is away, longer than any process manager waits.
    """
    threads = [Thread(target=provider.shutdown, daemon=True) for provider in _providers]
    _providers.clear()
    ends = time.monotonic() + deadline
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, ends - time.monotonic()))


def _correct_server_address(span: Span | None, _status: str, _headers: object) -> None:
    # The instrumentor takes the whole Host header, port and all.
    if span is not None:
        span.set_attribute("server.address", urlsplit(request.host_url).hostname or "")


def _set_providers(resource: Resource) -> None:
    tracer_provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    for exporter in _exporters("traces"):
        tracer_provider.add_span_processor(BatchSpanProcessor(exporter))
    meter_provider = MeterProvider(
        resource=resource,
        metric_readers=[PeriodicExportingMetricReader(exporter) for exporter in _exporters("metrics")],
        views=VIEWS,
        shutdown_on_exit=False,
    )
    logger_provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
    for exporter in _exporters("logs"):
        logger_provider.add_log_record_processor(BatchLogRecordProcessor(exporter))

    trace.set_tracer_provider(tracer_provider)
    metrics.set_meter_provider(meter_provider)
    _logs.set_logger_provider(logger_provider)
    _providers.extend((tracer_provider, meter_provider, logger_provider))


def _resource(name: str, version: str) -> Resource:
    ours = Resource.create(
        {"service.name": name, "service.version": version, "deployment.environment.name": "development"}
    )
    # Last, over the environment: workers that share an instance id overwrite each other's metrics.
    instance = Resource({"service.instance.id": str(uuid.uuid4())})
    return ours.merge(OTELResourceDetector().detect()).merge(instance)


def _exporters(signal: str) -> Iterator[Any]:
    """The exporters OTEL_<SIGNAL>_EXPORTER names (default otlp), found as the SDK's own configurator does."""
    names_variable = f"OTEL_{signal.upper()}_EXPORTER"
    for name in _variable(names_variable, "otlp").split(","):
        variable, name = names_variable, name.strip()
        if name in ("", "none"):
            continue
        if name == "otlp":
            variable, name = _otlp_protocol(signal)
        found = entry_points(group=f"opentelemetry_{signal}_exporter", name=name)
        if not found:
            refuse_setting(variable, f"there is no {signal} exporter {name!r}")
        yield next(iter(found)).load()()


def _otlp_protocol(signal: str) -> tuple[str, str]:
    """(variable, exporter name) of the protocol in force: the signal's own variable, the general one, gRPC."""
    variable = f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL"
    if not _variable(variable):
        variable = "OTEL_EXPORTER_OTLP_PROTOCOL"
    protocol = _variable(variable, "grpc")
    names = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}
    return variable, names.get(protocol, protocol)


def _variable(name: str, default: str = "") -> str:
    """An empty variable counts as unset: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/"""
    return os.environ.get(name, "").strip() or default
