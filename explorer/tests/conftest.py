"""A real backend process on free ports, and OTLP messages made by hand."""

import itertools
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from waybill_explorer.receiver import SERVICES

PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


@dataclass
class Backend:
    """A running `python -m waybill_explorer` and how to talk to it."""

    process: subprocess.Popen[str]
    data: Path
    grpc_port: int
    http_port: int
    traces_port: int

    def post(self, signal: str, body: bytes | str, headers: dict[str, str] = PROTOBUF) -> requests.Response:
        return requests.post(f"http://127.0.0.1:{self.http_port}/v1/{signal}", body, headers=headers, timeout=10)

    def send(self, *messages: Message) -> None:
        """Send over HTTP what must be taken whole."""
        for message in messages:
            kind = message.DESCRIPTOR.name.removeprefix("Export").removesuffix("ServiceRequest")
            signal = {"Trace": "traces", "Metrics": "metrics", "Logs": "logs"}[kind]
            response = self.post(signal, message.SerializeToString())
            assert (response.status_code, response.content) == (200, b"")

    def export(self, signal: str, body: bytes) -> bytes:
        """Send over gRPC."""
        with grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}") as channel:
            call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{SERVICES[signal]}/Export")
            return call(body, timeout=10)

    def ask(self, path: str, **parameters: Any) -> requests.Response:
        return requests.get(f"http://127.0.0.1:{self.traces_port}{path}", parameters, timeout=10, allow_redirects=False)

    def get(self, path: str, **parameters: Any) -> Any:
        """Give the `data` of an answer that must be good."""
        response = self.ask(path, **parameters)
        assert response.status_code == 200, response.text
        body = response.json()
        assert body["errors"] is None
        return body["data"]

    def workers(self) -> list[int]:
        """The pids of gunicorn's workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def kill(self) -> None:
        """End all its processes as `kill -9` does."""
        for pid in (self.process.pid, *self.workers()):
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end and give its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=10)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def start(data: Path, **settings: Any) -> Backend:
    """Start a backend and wait until it is healthy."""
    ports = dict(zip(("OTLP_GRPC_PORT", "OTLP_HTTP_PORT", "TRACES_PORT"), free_ports(3), strict=True))
    ports |= {name: settings.pop(name) for name in ports if name in settings}
    environment = os.environ | {"WAYBILL_DATA": str(data)} | {k: str(v) for k, v in (ports | settings).items()}
    with (data / "stderr").open("a") as stderr:
        command = [sys.executable, "-m", "waybill_explorer"]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=stderr, text=True)
    backend = Backend(process, data, *ports.values())
    until(lambda: process.poll() is not None or is_healthy(backend), 120)
    assert process.poll() is None, (data / "stderr").read_text()
    return backend


def is_healthy(backend: Backend) -> bool:
    try:
        return backend.ask("/healthz").status_code == 200
    except requests.ConnectionError:
        return False


def until(condition: Callable[[], Any], seconds: float = 10) -> Any:
    """Wait for a condition and give its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return value


@pytest.fixture(scope="session")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """One backend for all tests that each use services, traces and instruments of their own."""
    running = start(tmp_path_factory.mktemp("backend"))
    yield running
    assert running.stop() == 0


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Backend]]:
    """Start backends with settings of their own on one data folder; they are stopped after the test."""
    running: list[Backend] = []

    def run(**settings: Any) -> Backend:
        running.append(start(tmp_path, **settings))
        return running[-1]

    yield run
    for one in running:
        if one.process.poll() is None:
            one.kill()


numbers = itertools.count()


@pytest.fixture
def service() -> str:
    """A service name no other test uses."""
    return f"service-{next(numbers)}-{secrets.token_hex(4)}"


def any_value(value: Any) -> AnyValue:
    if isinstance(value, list):
        result = AnyValue()
        result.array_value.values.extend(any_value(item) for item in value)
        return result
    if isinstance(value, dict):
        return AnyValue(kvlist_value=KeyValueList(values=attributes(value)))
    if value is None:
        return AnyValue()
    names = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value", bytes: "bytes_value"}
    return AnyValue(**{names[type(value)]: value})


def attributes(values: dict[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=any_value(value)) for key, value in values.items()]


def span(
    trace_id: bytes, name: str = "work", parent: bytes = b"", at: int = START, ms: int = 10, **fields: Any
) -> Span:
    """Make a span that begins `at` ns and lasts `ms`."""
    fields.setdefault("span_id", secrets.token_bytes(8))
    fields["attributes"] = attributes(fields.get("attributes", {}))
    times: dict[str, Any] = {"start_time_unix_nano": at, "end_time_unix_nano": at + ms * 1_000_000}
    return Span(trace_id=trace_id, name=name, parent_span_id=parent, **times, **fields)


def spans(
    service: str, *members: Span, resource: dict[str, Any] | None = None, scope: str = ""
) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    part = request.resource_spans.add()
    part.resource.attributes.extend(attributes({"service.name": service} | (resource or {})))
    part.scope_spans.add().spans.extend(members)
    part.scope_spans[0].scope.name = scope
    return request


def logs(service: str, *records: dict[str, Any], scope: str = "app") -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    part = request.resource_logs.add()
    part.resource.attributes.extend(attributes({"service.name": service}))
    group = part.scope_logs.add()
    group.scope.name = scope
    for record in records:
        fields = {"time_unix_nano": START, "severity_number": 9} | record
        fields["attributes"] = attributes(fields.get("attributes", {}))
        group.log_records.add(**fields | {"body": any_value(fields.get("body", "something happened"))})
    return request


def metrics(service: str, instance: str = "1") -> tuple[ExportMetricsServiceRequest, Any]:
    """Make a request and the list its metrics are added to."""
    request = ExportMetricsServiceRequest()
    part = request.resource_metrics.add()
    part.resource.attributes.extend(attributes({"service.name": service, "service.instance.id": instance}))
    return request, part.scope_metrics.add().metrics
