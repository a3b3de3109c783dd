"""An OTLP receiver for tests: takes gRPC and HTTP and keeps what it got as plain Python values."""

import gzip
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, TypeVar

import grpc
import requests
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_pb2
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as logs_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanProto
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from tests.support.waiting import until

T = TypeVar("T")

REQUESTS: dict[str, type[Message]] = {
    "traces": trace_pb2.ExportTraceServiceRequest,
    "metrics": metrics_pb2.ExportMetricsServiceRequest,
    "logs": logs_pb2.ExportLogsServiceRequest,
}


@dataclass(frozen=True)
class Signal:
    """What spans, log records and metric points have in common."""

    resource: dict[str, Any]
    scope: str
    attributes: dict[str, Any]

    @property
    def service(self) -> str:
        """The service.name."""
        return str(self.resource["service.name"])


@dataclass(frozen=True)
class Span(Signal):
    """A span; ids in hex, `parent_id` empty at the root, `links` as (trace id, span id)."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    status: str
    status_message: str
    events: list[tuple[str, dict[str, Any]]]
    links: list[tuple[str, str]]
    start: int
    """Unix time in ns."""


@dataclass(frozen=True)
class LogRecord(Signal):
    """A log record; ids in hex, empty outside any span. `scope` is the logger's name."""

    severity: str
    body: Any
    trace_id: str
    span_id: str


@dataclass(frozen=True)
class Point(Signal):
    """One point of one series; `value` is a histogram's sum, `exemplars` are trace ids."""

    name: str
    unit: str
    kind: str
    value: float
    count: int
    bounds: list[float]
    exemplars: list[str]
    temporality: int
    """1 delta, 2 cumulative, 0 where there is none."""
    monotonic: bool
    """Whether it is a sum that never falls."""
    description: str


@dataclass
class Receiver:
    """Lists of everything received. `transports` holds (signal, grpc or http); `forward_to` gets a copy of all."""

    grpc_port: int = 0
    http_port: int = 0
    forward_to: str | None = None
    spans: list[Span] = field(default_factory=list)
    logs: list[LogRecord] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    transports: set[tuple[str, str]] = field(default_factory=set)
    headers: list[dict[str, str]] = field(default_factory=list)
    """Of each export request; names in lower case."""

    @property
    def endpoint(self) -> str:
        """What OTEL_EXPORTER_OTLP_ENDPOINT is to be for gRPC."""
        return f"http://127.0.0.1:{self.grpc_port}"

    @property
    def http_endpoint(self) -> str:
        """What OTEL_EXPORTER_OTLP_ENDPOINT is to be for HTTP."""
        return f"http://127.0.0.1:{self.http_port}"

    def take(self, transport: str, signal: str, request: Any) -> None:
        """Keep the contents of one export request."""
        self.transports.add((signal, transport))
        takers: dict[str, Callable[[Any], None]] = {
            "traces": self._take_spans,
            "metrics": self._take_points,
            "logs": self._take_logs,
        }
        takers[signal](request)
        if self.forward_to:
            url = f"{self.forward_to}/v1/{signal}"
            headers = {"Content-Type": "application/x-protobuf"}
            requests.post(url, request.SerializeToString(), headers=headers, timeout=60).raise_for_status()

    def trace(self, trace_id: str) -> list[Span]:
        """The spans of one trace in the order of their starts, as far as they have come."""
        return sorted(matching(self.spans, trace_id=trace_id), key=lambda span: span.start)

    def span(self, **fields: Any) -> Span:
        """The one span with these fields; waits for it."""
        return one(self.spans, **fields)

    def log(self, **fields: Any) -> LogRecord:
        """The one log record with these fields; waits for it."""
        return one(self.logs, **fields)

    def _take_spans(self, request: trace_pb2.ExportTraceServiceRequest) -> None:
        taken: list[Span] = []
        for group in request.resource_spans:
            resource = plain(group.resource.attributes)
            for scope in group.scope_spans:
                taken.extend(
                    Span(
                        resource=resource,
                        scope=scope.scope.name,
                        attributes=plain(span.attributes),
                        name=span.name,
                        kind=SpanProto.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                        trace_id=span.trace_id.hex(),
                        span_id=span.span_id.hex(),
                        parent_id=span.parent_span_id.hex(),
                        status=Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
                        status_message=span.status.message,
                        events=[(event.name, plain(event.attributes)) for event in span.events],
                        links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
                        start=span.start_time_unix_nano,
                    )
                    for span in scope.spans
                )
        self.spans.extend(taken)  # at once: whoever waits for one of them finds them all

    def _take_logs(self, request: logs_pb2.ExportLogsServiceRequest) -> None:
        for group in request.resource_logs:
            resource = plain(group.resource.attributes)
            for scope in group.scope_logs:
                self.logs.extend(
                    LogRecord(
                        resource=resource,
                        scope=scope.scope.name,
                        attributes=plain(record.attributes),
                        severity=record.severity_text,
                        body=value(record.body),
                        trace_id=record.trace_id.hex(),
                        span_id=record.span_id.hex(),
                    )
                    for record in scope.log_records
                )

    def _take_points(self, request: metrics_pb2.ExportMetricsServiceRequest) -> None:
        for group in request.resource_metrics:
            resource = plain(group.resource.attributes)
            for scope in group.scope_metrics:
                for metric in scope.metrics:
                    kind = str(metric.WhichOneof("data"))
                    self.points.extend(
                        Point(
                            resource=resource,
                            scope=scope.scope.name,
                            attributes=plain(point.attributes),
                            name=metric.name,
                            unit=metric.unit,
                            kind=kind,
                            value=point.sum if kind == "histogram" else point.as_double or point.as_int,
                            count=getattr(point, "count", 0),
                            bounds=list(getattr(point, "explicit_bounds", [])),
                            exemplars=[exemplar.trace_id.hex() for exemplar in point.exemplars],
                            temporality=getattr(getattr(metric, kind), "aggregation_temporality", 0),
                            monotonic=getattr(getattr(metric, kind), "is_monotonic", False),
                            description=metric.description,
                        )
                        for point in getattr(metric, kind).data_points
                    )


@contextmanager
def running_receiver(forward_to: str | None = None) -> Iterator[Receiver]:
    """Listen for OTLP on two free ports of 127.0.0.1."""
    receiver = Receiver(forward_to=forward_to)
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    trace_grpc.add_TraceServiceServicer_to_server(_servicer(receiver, "traces"), server)
    metrics_grpc.add_MetricsServiceServicer_to_server(_servicer(receiver, "metrics"), server)
    logs_grpc.add_LogsServiceServicer_to_server(_servicer(receiver, "logs"), server)
    receiver.grpc_port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    http_server = ThreadingHTTPServer(("127.0.0.1", 0), _http_handler(receiver))
    receiver.http_port = http_server.server_port
    Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield receiver
    finally:
        http_server.shutdown()
        http_server.server_close()
        server.stop(grace=None).wait()


def _servicer(receiver: Receiver, signal: str) -> Any:
    class Servicer:
        def Export(self, request: Message, context: grpc.ServicerContext) -> Message:
            receiver.headers.append({str(name): str(text) for name, text in context.invocation_metadata()})
            receiver.take("grpc", signal, request)
            return ANSWERS[signal]()

    return Servicer()


ANSWERS: dict[str, type[Message]] = {
    "traces": trace_pb2.ExportTraceServiceResponse,
    "metrics": metrics_pb2.ExportMetricsServiceResponse,
    "logs": logs_pb2.ExportLogsServiceResponse,
}


def _http_handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            signal = self.path.rsplit("/", 1)[-1]
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            receiver.headers.append({name.lower(): text for name, text in self.headers.items()})
            receiver.take("http", signal, REQUESTS[signal].FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def value(any_value: AnyValue) -> Any:
    """The Python value of an OTLP value."""
    kind = any_value.WhichOneof("value")
    if kind == "array_value":
        return [value(item) for item in any_value.array_value.values]
    if kind == "kvlist_value":
        return plain(any_value.kvlist_value.values)
    return getattr(any_value, kind) if kind else None


def plain(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    """OTLP attributes as a dict."""
    return {attribute.key: value(attribute.value) for attribute in attributes}


def matching(signals: Iterable[T], **fields: Any) -> list[T]:
    """Those with these fields."""
    return [signal for signal in list(signals) if all(getattr(signal, k) == v for k, v in fields.items())]


def one(signals: Iterable[T], **fields: Any) -> T:
    """Wait for the first with these fields; there must be no second."""
    found = until(lambda: matching(signals, **fields))
    assert len(found) == 1, found
    return found[0]
