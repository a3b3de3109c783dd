"""An OTLP receiver for both transports that keeps the requests as they came."""

import gzip
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from threading import Lock
from typing import Any

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from lean.tests.http_server import serving

REQUESTS: dict[str, Any] = {
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
    "logs": ExportLogsServiceRequest,
}


@dataclass
class Receiver:
    """Where to send, and what came. Each of `refusals` refuses one request, with an HTTP status or a gRPC code."""

    http: str = ""
    grpc: str = ""
    requests: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    refusals: list[Any] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def take(self, signal: str, body: bytes, headers: dict[str, str]) -> Any:
        with self.lock:
            if self.refusals:
                return self.refusals.pop(0)
            self.requests.append(REQUESTS[signal].FromString(body))
            self.headers.append(headers)
            return None

    @property
    def spans(self) -> list[Any]:
        return [
            span for request in self.requests for r in request.resource_spans for s in r.scope_spans for span in s.spans
        ]

    @property
    def records(self) -> list[Any]:
        return [
            record
            for request in self.requests
            for r in getattr(request, "resource_logs", ())
            for s in r.scope_logs
            for record in s.log_records
        ]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Start both servers on free ports."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            refused = receiver.take(self.path.rpartition("/")[2], body, {k.lower(): v for k, v in self.headers.items()})
            self.send_response(refused or 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Export(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> Any:
            signal = {"trace": "traces", "logs": "logs", "metrics": "metrics"}[details.method.split(".")[3]]

            def export(body: bytes, context: grpc.ServicerContext) -> bytes:
                metadata = {key: str(value) for key, value in context.invocation_metadata()}
                if refused := receiver.take(signal, body, metadata):
                    context.abort(refused, "refused")
                return b""

            return grpc.unary_unary_rpc_method_handler(export)

    rpc = grpc.server(ThreadPoolExecutor(4))
    rpc.add_generic_rpc_handlers((Export(),))
    receiver.grpc = f"http://127.0.0.1:{rpc.add_insecure_port('127.0.0.1:0')}"
    rpc.start()
    with serving(Handler) as receiver.http:
        try:
            yield receiver
        finally:
            rpc.stop(None).wait()
