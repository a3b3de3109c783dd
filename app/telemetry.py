"""OpenTelemetry for one process: providers, exporters, views, instrumentors, shutdown.

The only module that imports `opentelemetry.sdk`. Every standard `OTEL_*` variable works; those below are
given another default than the SDK's.
"""

import logging
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache, partial
from importlib.metadata import entry_points
from threading import Thread
from typing import Any, TypeVar

from flask import Flask, request
from opentelemetry import _logs, metrics, propagate, trace
from opentelemetry.context import Context, create_key, get_value, set_value
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.instrumentation.propagators import TraceResponsePropagator, set_global_response_propagator
from opentelemetry.instrumentation.system_metrics import SystemMetricsInstrumentor
from opentelemetry.instrumentation.utils import is_instrumentation_enabled, unwrap
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, Sampler
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, use_span
from opentelemetry.util.http import sanitize_method
from opentelemetry.util.types import Attributes
from sqlalchemy import Engine
from werkzeug.sansio.utils import get_host

from .blueprints import QuietBlueprint
from .config import TraceContextPolicy, refuse_setting
from .logs import plain
from .otel_variables import give_back, held_back

DEFAULTS = {
    "OTEL_SEMCONV_STABILITY_OPT_IN": "http,database",
    "OTEL_METRIC_EXPORT_INTERVAL": "10000",  # ms
    "OTEL_EXPORTER_OTLP_TIMEOUT": "3",  # s in Python; the default 10 holds up a worker's exit
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
MISSING_UNITS = {
    "process.context_switches": "{context_switch}",
    "process.open_file_descriptor.count": "{file_descriptor}",
    "process.thread.count": "{thread}",
}
"""The units of the semantic conventions, where the instrumentor gives none."""

CLIENT_TEXT = (
    *("url.path", "server.address", "user_agent.original", "http.request.method_original"),
    *("http.host", "http.server_name", "http.user_agent", "net.host.name"),
)
"""Attributes whose text a client chooses. The names that begin with `http.` and `net.` are from before the stable
conventions; `OTEL_SEMCONV_STABILITY_OPT_IN=http/dup` writes both."""
MAX_CLIENT_TEXT = 256
MAX_PARAMETERS = 20
PARAMETER_NAME = re.compile(r"[A-Za-z_][\w.\[\]-]{0,63}")
MASK = "REDACTED"

ProviderT = TypeVar("ProviderT", TracerProvider, MeterProvider, LoggerProvider)

_CALLER = create_key("caller")
_providers: list[TracerProvider | MeterProvider | LoggerProvider] = []


class OtlpLogHandler(LoggingHandler):
    """OpenTelemetry's handler, keeping `logging`'s promise that a record never fails the code that wrote it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the record; what goes wrong is printed to stderr, as other handlers do."""
        try:
            super().emit(record)
        except Exception:
            self.handleError(record)

    def _get_attributes(self, record: logging.LogRecord) -> tuple[dict[str, Any], str | None]:
        # A value that OTLP cannot hold would fail the export of the whole batch, minutes later.
        try:
            attributes, event_name = super()._get_attributes(record)
        except Exception as error:
            return {"log.error": type(error).__name__}, None
        return plain(attributes), event_name if event_name is None else str(plain(event_name))

    def flush(self) -> None:
        """Nothing: shutdown() flushes. Upstream starts a thread, which Python 3.12 refuses when the process ends."""


class _Loggers(_logs.LoggerProvider):
    """The global logger provider, asked for each logger once: the SDK's takes two locks each time."""

    def __init__(self) -> None:
        self._known: dict[str, _logs.Logger] = {}

    def get_logger(
        self,
        name: str,
        version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes | None = None,
    ) -> _logs.Logger:
        """Return the logger of a name, without version, schema and attributes, which LoggingHandler never gives."""
        found = self._known.get(name)
        if found is None:
            found = self._known[name] = _logs.get_logger_provider().get_logger(name, version, schema_url, attributes)
        return found


class _ProcessMeters(metrics.MeterProvider):
    """The global meter provider, whose meters add MISSING_UNITS: a view cannot set a unit."""

    def get_meter(
        self,
        name: str,
        version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes | None = None,
    ) -> metrics.Meter:
        """Return a new meter; only instruments of the kinds that lack a unit are changed."""
        meter = metrics.get_meter_provider().get_meter(name, version, schema_url, attributes)
        for method in ("create_observable_counter", "create_observable_up_down_counter"):
            setattr(meter, method, partial(_with_unit, getattr(meter, method)))
        return meter


def _with_unit(create: Callable[..., Any], name: str, unit: str = "", **options: Any) -> Any:
    return create(name, unit=unit or MISSING_UNITS.get(name, ""), **options)


class TrustBoundary(TextMapPropagator):
    """The propagators of OTEL_PROPAGATORS, with a policy for what callers send."""

    def __init__(self, propagator: TextMapPropagator, policy: TraceContextPolicy) -> None:
        self._propagator = propagator
        self._policy = policy

    def extract(
        self, carrier: CarrierT, context: Context | None = None, getter: Getter[CarrierT] = default_getter
    ) -> Context:
        """Return the context to continue; where the trace is not continued, it holds the caller for link_caller."""
        # Without any propagator (OTEL_PROPAGATORS=none) None would come back, on which the Flask instrumentor fails:
        # https://github.com/open-telemetry/opentelemetry-python/issues/4143
        parent = Context() if context is None else context
        if self._policy == "accept":
            return self._propagator.extract(carrier, parent, getter)
        caller = self._propagator.extract(carrier, parent, _WithoutBaggage(getter))
        # Browsers set this header, and a foreign page cannot. A client of another kind can: it may choose the id of
        # its own trace, but not whether it is sampled.
        if self._policy == "page" and getter.get(carrier, "sec-fetch-site") == ["same-origin"]:
            return caller
        return set_value(_CALLER, trace.get_current_span(caller).get_span_context(), parent)

    def inject(
        self, carrier: CarrierT, context: Context | None = None, setter: Setter[CarrierT] = default_setter
    ) -> None:
        """Send what the configured propagators send."""
        self._propagator.inject(carrier, context, setter)

    @property
    def fields(self) -> set[str]:
        """The headers that the configured propagators write."""
        return self._propagator.fields


class _WithoutBaggage(Getter[CarrierT]):
    """Hides the headers in which a caller's free text travels from service to service."""

    def __init__(self, getter: Getter[CarrierT]) -> None:
        self._getter = getter

    def get(self, carrier: CarrierT, key: str) -> list[str] | None:
        return None if key in ("baggage", "tracestate") else self._getter.get(carrier, key)

    def keys(self, carrier: CarrierT) -> list[str]:
        return self._getter.keys(carrier)


def disabled() -> bool:
    """Whether OTEL_SDK_DISABLED says true: then nothing is instrumented, as instrumentors cost without an SDK."""
    return os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def configure(name: str, version: str, incoming: TraceContextPolicy) -> None:
    """Give this process its three providers and instrument its libraries; a second call does nothing.

    `incoming` is what becomes of the trace context that requests bring. Call it before any engine or HTTP session is
    made: an engine older than its instrumentor is not traced.
    """
    if disabled() or _providers:
        return
    for variable, value in DEFAULTS.items():
        os.environ.setdefault(variable, value)
    logging.getLogger("opentelemetry").setLevel(os.environ.get("OTEL_LOG_LEVEL", "NOTSET"))
    try:
        _set_providers(_resource(name, version), incoming)
    except Exception as error:
        # The SDK read its variables; what it says of a bad value does not always name the variable.
        refuse_setting("OTEL_*", str(error))
    give_back()

    propagate.set_global_textmap(TrustBoundary(propagate.get_global_textmap(), incoming))
    set_global_response_propagator(TraceResponsePropagator())
    _instrumentor("requests").instrument(request_hook=lambda span, _request: _hide_client_values(span))
    _instrumentor("redis").instrument()
    # Its metric is added to four times per transaction; database.py reads the pool once per export instead.
    _instrumentor("sqlalchemy").instrument(meter_provider=metrics.NoOpMeterProvider())
    # The instrumentor makes a `connect` span of every pool checkout: noise between the statements.
    unwrap(Engine, "connect")
    SystemMetricsInstrumentor(config=PROCESS_METRICS).instrument(meter_provider=_ProcessMeters())


def instrument_app(app: Flask) -> None:
    """Trace and measure the requests of `app` with a `traceresponse` on each response.

    Call it once all blueprints are registered: the URLs of quiet ones are excluded, as are those of the variables.
    """
    if not disabled():
        variables = ("OTEL_PYTHON_FLASK_EXCLUDED_URLS", "OTEL_PYTHON_EXCLUDED_URLS")
        excluded = [*_quiet_urls(app), *(os.environ[name] for name in variables if name in os.environ)]
        _instrumentor("flask").instrument_app(
            app,
            excluded_urls=",".join(excluded),
            request_hook=_link_caller,
            response_hook=_describe_request,
            enable_commenter=False,
        )


def _instrumentor(library: str) -> Any:
    """Return the instrumentor of a library: that which goes with the tracer provider, if there is one, or the official.

    With OTEL_PYTHON_TRACER_PROVIDER=lean that is the entry point `lean_<library>`, unless
    OTEL_PYTHON_DISABLED_INSTRUMENTATIONS names it.
    """
    name = f"{os.environ.get('OTEL_PYTHON_TRACER_PROVIDER')}_{library}"
    disabled = {name.strip() for name in os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")}
    group = "opentelemetry_instrumentor"
    found = name not in disabled and entry_points(group=group, name=name)
    return next(iter(found or entry_points(group=group, name=library))).load()()


def _quiet_urls(app: Flask) -> Iterator[str]:
    """Yield a regular expression for the URLs of all routes of quiet blueprints; a variable part is any text.

    Of one expression, the beginning is searched for once in each URL.
    """
    paths = [
        "[^?]*".join(map(re.escape, re.split(r"<[^>]*>", rule.rule)))
        for rule in app.url_map.iter_rules()
        if isinstance(app.blueprints.get(rule.endpoint.rpartition(".")[0]), QuietBlueprint)
    ]
    if paths:
        yield rf"^https?://[^/]+({'|'.join(paths)})(\?|$)"


def add_log_export() -> None:
    """Send what reaches the root logger as OTLP log records too: the one and only such bridge."""
    root = logging.getLogger()
    if disabled() or any(isinstance(handler, OtlpLogHandler) for handler in root.handlers):
        return
    handler = OtlpLogHandler(logger_provider=_Loggers())
    # What the exporters log, such as that the backend is unavailable, must not be queued for that backend.
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

    One after the other they take 15-38 s when the collector is unavailable, longer than any process manager waits.
    """
    threads = [Thread(target=provider.shutdown, daemon=True) for provider in _providers]
    _providers.clear()
    ends = time.monotonic() + deadline
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, ends - time.monotonic()))


def _link_caller(span: Span, _environ: object) -> None:
    caller = get_value(_CALLER)
    if isinstance(caller, SpanContext) and caller.is_valid:
        span.add_link(caller)


def _describe_request(span: Span | None, _status: str, _headers: object) -> None:
    """Correct what the instrumentor says of a request, and hide what its client may have put in.

    Last of all, since the instrumentor sets its attributes again after the request hook.
    """
    if span is None or not span.is_recording():
        return
    span.set_attribute("server.address", _host())  # the instrumentor takes the Host header, port and all
    if request.url_rule is None:
        # Each URL would be a name of its own, and any of them may hold a secret.
        method = sanitize_method(request.method)
        span.update_name("HTTP" if method == "_OTHER" else method)
        _rewrite(span, dict.fromkeys(("url.path", "http.target", "http.url"), lambda _: f"/{MASK}"))
    _hide_client_values(span)


def _host() -> str:
    environ = request.environ
    if "HTTP_HOST" not in environ:
        return _name_of(request.host)
    return _host_of(environ["wsgi.url_scheme"], environ["HTTP_HOST"])


@lru_cache(maxsize=256)
def _host_of(scheme: str, field: str) -> str:
    """Return what request.host makes of the Host field, without the port; few hosts are requested often."""
    return _name_of(get_host(scheme, field))


def _name_of(host: str) -> str:
    host = host.lower()
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _hide_client_values(span: Span) -> None:
    _rewrite(span, CLIENT_VALUES)


def _rewrite(span: Span, changes: Mapping[str, Callable[[str], str]]) -> None:
    # A copy: each look-up in the attributes themselves takes their lock, and raises an exception for a missing one.
    found: Any = getattr(span, "attributes", None)
    attributes = found.copy() if found else {}
    for name in attributes.keys() & changes.keys():
        old = str(attributes[name])
        if (new := changes[name](old)) != old:
            span.set_attribute(name, new)


def _cut(text: str) -> str:
    return text[:MAX_CLIENT_TEXT]


def mask_url(url: str) -> str:
    """Mask the values of a URL's query parameters; a fragment goes."""
    path, mark, query = url.partition("#")[0].partition("?")
    return path[:MAX_CLIENT_TEXT] + mark + (mask_query(query) if query else "")


def mask_query(query: str) -> str:
    """Keep the names of the first MAX_PARAMETERS parameters and mask their values, and what does not look like one."""
    return "&".join(_mask_parameter(parameter) for parameter in query.split("&")[:MAX_PARAMETERS])


def _mask_parameter(parameter: str) -> str:
    name, equals, _ = parameter.partition("=")
    return f"{name}={MASK}" if equals and PARAMETER_NAME.fullmatch(name) else MASK


CLIENT_VALUES: dict[str, Callable[[str], str]] = {
    "url.query": mask_query,
    **dict.fromkeys(("url.full", "http.url", "http.target"), mask_url),
    **dict.fromkeys(CLIENT_TEXT, _cut),
}
"""What hides the values that a client chooses, by attribute."""


def _provider_class(signal: str, default: type[ProviderT]) -> type[ProviderT]:
    """Return the class that OTEL_PYTHON_<SIGNAL>_PROVIDER names; it takes the arguments of the SDK's."""
    variable = f"OTEL_PYTHON_{signal.upper()}_PROVIDER"
    if variable not in held_back:
        return default
    (found,) = entry_points(group=f"opentelemetry_{signal}_provider", name=held_back[variable])
    provider = found.load()
    if not (isinstance(provider, type) and issubclass(provider, default)):
        refuse_setting(variable, f"{found.value} is no subclass of the SDK's {default.__name__}")
    return provider


def _set_providers(resource: Resource, incoming: TraceContextPolicy) -> None:
    tracer_provider = _provider_class("tracer", TracerProvider)(resource=resource, shutdown_on_exit=False)
    if incoming != "accept":
        tracer_provider.sampler = _sampler_of_its_own(tracer_provider.sampler)
    for exporter in _exporters("traces"):
        tracer_provider.add_span_processor(BatchSpanProcessor(exporter))
    meter_provider = _provider_class("meter", MeterProvider)(
        resource=resource,
        metric_readers=[PeriodicExportingMetricReader(exporter) for exporter in _exporters("metrics")],
        views=VIEWS,
        shutdown_on_exit=False,
    )
    logger_provider = _provider_class("logger", LoggerProvider)(resource=resource, shutdown_on_exit=False)
    for exporter in _exporters("logs"):
        logger_provider.add_log_record_processor(BatchLogRecordProcessor(exporter))

    trace.set_tracer_provider(tracer_provider)
    metrics.set_meter_provider(meter_provider)
    _logs.set_logger_provider(logger_provider)
    _providers.extend((tracer_provider, meter_provider, logger_provider))


def _sampler_of_its_own(sampler: Sampler) -> Sampler:
    """Return the sampler without the caller's decision: `-00` hides no request, `-01` forces no trace."""
    if not isinstance(sampler, ParentBased):
        return sampler
    return ParentBased(sampler._root, remote_parent_sampled=sampler._root, remote_parent_not_sampled=sampler._root)


def deployment_environment() -> str:
    """Return deployment.environment.name of OTEL_RESOURCE_ATTRIBUTES, "development" without one."""
    return str(OTELResourceDetector().detect().attributes.get("deployment.environment.name", "development"))


def _resource(name: str, version: str) -> Resource:
    ours = Resource.create(
        {"service.name": name, "service.version": version, "deployment.environment.name": deployment_environment()}
    )
    # Last, over the environment: workers that share an instance id overwrite each other's metrics.
    instance = Resource({"service.instance.id": str(uuid.uuid4())})
    return ours.merge(OTELResourceDetector().detect()).merge(instance)


def _exporters(signal: str) -> Iterator[Any]:
    """Yield the exporters that OTEL_<SIGNAL>_EXPORTER names (default otlp), found as the SDK's configurator does."""
    names_variable = f"OTEL_{signal.upper()}_EXPORTER"
    for name in os.environ.get(names_variable, "otlp").split(","):
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
    if variable not in os.environ:
        variable = "OTEL_EXPORTER_OTLP_PROTOCOL"
    protocol = os.environ.get(variable, "grpc")
    names = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}
    return variable, names.get(protocol, protocol)
