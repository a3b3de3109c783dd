"""What gift-service exports: an OTLP/gRPC receiver that keeps it as plain values and passes it on to a backend.

It is between the service and the explorer while a check runs, so that what is judged is that run's, whatever other
runs have left in the explorer. The explorer shows it all the same.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanProto
from opentelemetry.proto.trace.v1.trace_pb2 import Status

PACKAGE = "opentelemetry.proto.collector"
SERVICES = {
    "traces": f"{PACKAGE}.trace.v1.TraceService",
    "metrics": f"{PACKAGE}.metrics.v1.MetricsService",
    "logs": f"{PACKAGE}.logs.v1.LogsService",
}
FORWARD_SECONDS = 30
AUTOMATIC = "opentelemetry.instrumentation."
"""How the scope of a span begins that an instrumentation library has made."""


@dataclass(frozen=True)
class Span:
    """A span; ids in hex, times in seconds, `kind` and `status` in capitals without their prefix."""

    resource: dict[str, Any]
    scope: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    status: str
    attributes: dict[str, Any]
    events: tuple[str, ...]
    start: float
    end: float

    @property
    def automatic(self) -> bool:
        """Whether an instrumentation library has made it."""
        return self.scope.startswith(AUTOMATIC)

    @property
    def statement(self) -> str:
        """The SQL of a database span, by the old or the stable convention, else nothing."""
        return str(self.attributes.get("db.query.text") or self.attributes.get("db.statement") or "")

    @property
    def calls_http(self) -> bool:
        """Whether it is an outgoing HTTP call."""
        return self.kind == "CLIENT" and bool({"http.request.method", "http.method"} & self.attributes.keys())


@dataclass(frozen=True)
class LogRecord:
    """A log record; ids in hex, empty outside any span."""

    resource: dict[str, Any]
    body: str
    trace_id: str
    span_id: str


@dataclass(frozen=True)
class Point:
    """A point of a metric. `kind` is counter, up-down counter, histogram or gauge; a histogram's value is its count."""

    resource: dict[str, Any]
    name: str
    unit: str
    kind: str
    attributes: dict[str, Any]
    time: int
    cumulative: bool
    value: float
    buckets: tuple[tuple[float, float, int], ...] = ()
    """(lower, upper, count) of each bucket that is not empty."""


@dataclass
class Telemetry:
    """All that has come, in order of arrival."""

    spans: list[Span] = field(default_factory=list)
    logs: list[LogRecord] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)

    @property
    def resources(self) -> list[dict[str, Any]]:
        """The resource of each item of any signal."""
        return [item.resource for items in (self.spans, self.logs, self.points) for item in items]

    def trace(self, trace_id: str) -> list[Span]:
        """Return the spans of a trace, in order of their start."""
        return sorted((span for span in self.spans if span.trace_id == trace_id), key=lambda span: span.start)

    def metric(self, name: str) -> list[Point]:
        """Return the last point of each series of a metric; those of delta series, which are parts, all."""
        points = sorted((point for point in self.points if point.name == name), key=lambda point: point.time)
        last = {str(sorted(point.attributes.items())): point for point in points if point.cumulative}
        return [*last.values(), *(point for point in points if not point.cumulative)]


@contextmanager
def receiving(backend: str) -> Iterator[tuple[Telemetry, str]]:
    """Receive OTLP/gRPC on a free port, and pass it on to `backend` (host:port); yield what came, and the endpoint."""
    telemetry = Telemetry()
    readers: dict[str, Callable[[Telemetry, bytes], None]] = {
        "traces": _read_spans,
        "metrics": _read_points,
        "logs": _read_logs,
    }
    with grpc.insecure_channel(backend) as channel, ThreadPoolExecutor(max_workers=4) as threads:
        server = grpc.server(threads)
        for signal, service in SERVICES.items():
            forward: Any = channel.unary_unary(f"/{service}/Export")
            take = partial(_take, telemetry, readers[signal], forward)
            handler: Any = grpc.unary_unary_rpc_method_handler(take)
            server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {"Export": handler})])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield telemetry, f"http://127.0.0.1:{port}"
        finally:
            server.stop(grace=1).wait()


def _take(
    telemetry: Telemetry,
    read: Callable[[Telemetry, bytes], None],
    forward: Callable[..., bytes],
    body: bytes,
    context: grpc.ServicerContext,
) -> bytes:
    """Keep an export and return the backend's response; the sender tries again if the backend is unavailable."""
    try:
        response = forward(body, timeout=FORWARD_SECONDS)
    except grpc.RpcError as error:
        context.abort(error.code(), error.details() or "")
    read(telemetry, body)
    return response


def _read_spans(telemetry: Telemetry, body: bytes) -> None:
    for group in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = plain(group.resource.attributes)
        for scope in group.scope_spans:
            telemetry.spans += (
                Span(
                    resource=resource,
                    scope=scope.scope.name,
                    name=span.name,
                    kind=SpanProto.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    status=Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
                    attributes=plain(span.attributes),
                    events=tuple(event.name for event in span.events),
                    start=span.start_time_unix_nano / 1e9,
                    end=span.end_time_unix_nano / 1e9,
                )
                for span in scope.spans
            )


def _read_logs(telemetry: Telemetry, body: bytes) -> None:
    for group in ExportLogsServiceRequest.FromString(body).resource_logs:
        resource = plain(group.resource.attributes)
        for scope in group.scope_logs:
            telemetry.logs += (
                LogRecord(resource, str(value(record.body)), _id(record.trace_id), _id(record.span_id))
                for record in scope.log_records
            )


def _read_points(telemetry: Telemetry, body: bytes) -> None:
    for group in ExportMetricsServiceRequest.FromString(body).resource_metrics:
        resource = plain(group.resource.attributes)
        for scope in group.scope_metrics:
            for metric in scope.metrics:
                kind = str(metric.WhichOneof("data"))
                data = getattr(metric, kind)
                telemetry.points += (
                    Point(
                        resource=resource,
                        name=metric.name,
                        unit=metric.unit,
                        kind=_kind(kind, data),
                        attributes=plain(point.attributes),
                        time=point.time_unix_nano,
                        cumulative=getattr(data, "aggregation_temporality", 2) == 2,
                        value=point.as_double or point.as_int if hasattr(point, "as_int") else point.count,
                        buckets=_buckets(point),
                    )
                    for point in data.data_points
                )


def _kind(kind: str, data: Any) -> str:
    if kind == "sum":
        return "counter" if data.is_monotonic else "up-down counter"
    return kind


def _buckets(point: Any) -> tuple[tuple[float, float, int], ...]:
    counts = getattr(point, "bucket_counts", ())
    bounds = [float("-inf"), *getattr(point, "explicit_bounds", ()), float("inf")]
    return tuple((bounds[i], bounds[i + 1], count) for i, count in enumerate(counts) if count)


def _id(given: bytes) -> str:
    return given.hex() if any(given) else ""


def value(given: AnyValue) -> Any:
    """Return the Python value of an OTLP value."""
    kind = given.WhichOneof("value")
    if kind == "array_value":
        return [value(item) for item in given.array_value.values]
    if kind == "kvlist_value":
        return plain(given.kvlist_value.values)
    return getattr(given, kind) if kind else None


def plain(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    """Return OTLP attributes as a dict."""
    return {attribute.key: value(attribute.value) for attribute in attributes}
