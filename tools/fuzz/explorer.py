"""Fuzz the explorer: mutated exports over HTTP and gRPC, an honest sender and readers beside them."""

import json
import os
import queue
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPConnection, HTTPException
from itertools import count
from multiprocessing.synchronize import Event
from typing import Any

import grpc
import psutil
import requests
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2  # noqa: F401 (what a Status may hold)
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from tests.support.local_stack import LocalStack
from tools.fuzz.exports import METRICS, NAMES, SERVICE_NAMES, Export, export
from tools.fuzz.findings import Findings
from tools.fuzz.probe import GIVE_UP_SECONDS, LATER, STALL_SECONDS, ask, probing, run_each

SENDERS = 6
ANSWER_SECONDS = 120.0
MEMORY_MB = 500
"""Resident, both processes together: the queue takes 32 MiB, an export 8 MiB."""
WHERE = "explorer"
METHODS = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
REFUSED = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED)
READS = (
    *("/healthz", "/api/stats", "/api/services", "/api/instruments", "/api/map?lookback=900", "/api/dependencies"),
    *("/api/traces?limit=100", "/api/summaries?limit=200", "/api/logs?limit=200"),
    *(f"/api/services/fuzz-{number}/operations" for number in range(SERVICE_NAMES)),
    *(f"/api/series?name=fuzz.{kind}.{number}" for kind in METRICS for number in range(NAMES)),
    *(f"/api/series?name=fuzz.{kind}.{number}&stat=p95" for kind in METRICS[2:4] for number in range(NAMES)),
    *(f"/api/heatmap?name=fuzz.{kind}.{number}" for kind in METRICS[2:4] for number in range(NAMES)),
)
"""What is read after the exports. Mutations give an instrument two types at times: 400 says so."""


def fuzz(
    stack: LocalStack,
    number: int,
    seed: int,
    findings: Findings,
    progress: Callable[[int], Any],
    stall_seconds: float = STALL_SECONDS,
) -> None:
    """Send `number` exports, then read everything back."""
    http_port = int(stack.environment["OTLP_HTTP_PORT"])
    grpc_address = f"127.0.0.1:{stack.environment['OTLP_GRPC_PORT']}"
    master = stack.process("explorer")
    processes = [master, *master.children()]
    sent = stack.data / "honest.txt"
    done = count(1)
    numbers: queue.SimpleQueue[int] = queue.SimpleQueue()
    for each in range(number):
        numbers.put(each)
    peak = 0.0
    with (
        grpc.insecure_channel(grpc_address) as channel,
        probing(findings, stall_seconds, probe, http_port, grpc_address, stack.traces_url, str(sent)),
        ThreadPoolExecutor(SENDERS) as pool,
    ):
        senders = [Sender(http_port, channel, findings) for _ in range(SENDERS)]
        work = [pool.submit(sender.run, numbers, seed, lambda: progress(next(done))) for sender in senders]
        while not all(one.done() for one in work):
            peak = max(peak, _megabytes(processes))
            time.sleep(0.1)
        for one in work:
            one.result()
    if any(not process.is_running() or process.status() == psutil.STATUS_ZOMBIE for process in processes):
        findings.fail(WHERE, "a process did not survive")
    findings.note(f"{WHERE}: {peak:.0f} MB at most")
    if peak > MEMORY_MB:
        findings.fail(WHERE, f"it took more than {MEMORY_MB} MB")
    _read_back(stack, sent.read_text().split(), findings)


def _megabytes(processes: list[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        try:
            total += process.memory_info().rss / 1e6
        except psutil.NoSuchProcess:
            continue
    return total


class Sender:
    """Sends exports one after the other and holds each answer to the promises."""

    def __init__(self, http_port: int, channel: grpc.Channel, findings: Findings) -> None:
        self._port = http_port
        self._channel = channel
        self._findings = findings
        self._connection = HTTPConnection("127.0.0.1", http_port, timeout=ANSWER_SECONDS)

    def run(self, numbers: "queue.SimpleQueue[int]", seed: int, done: Callable[[], Any]) -> None:
        """Send the exports of these numbers until none is left."""
        while True:
            try:
                number = numbers.get_nowait()
            except queue.Empty:
                self._connection.close()
                return
            one = export(seed, number)
            (self._send_grpc if one.grpc else self._send_http)(one)
            done()

    def _send_grpc(self, one: Export) -> None:
        try:
            export_over(self._channel, one.signal, one.body, ANSWER_SECONDS)
        except grpc.RpcError as error:
            code = error.code()
            self._findings.count(f"gRPC {code.name}")
            if code is not grpc.StatusCode.UNAVAILABLE and code not in REFUSED:
                self._fail(one, f"gRPC {code.name}: {(error.details() or '')[:120]}")
            return
        self._findings.count("gRPC OK")

    def _send_http(self, one: Export) -> None:
        headers = {"Content-Type": one.content_type}
        if one.content_encoding is not None:
            headers["Content-Encoding"] = one.content_encoding
        try:
            self._connection.request("POST", f"/v1/{one.signal}", one.body, headers)
            response = self._connection.getresponse()
            body = response.read()
        except (OSError, HTTPException) as error:
            self._connection.close()
            # A body over the limit may be refused before all of it was sent.
            if not isinstance(error, (BrokenPipeError, ConnectionResetError)) or len(one.body) < 2**20:
                self._fail(one, f"no answer: {type(error).__name__}")
            return
        status = response.status
        self._findings.count(f"HTTP {status}")
        if status >= 500 and not (status == 503 and response.getheader("Retry-After")):
            self._fail(one, f"HTTP {status}")
        elif status >= 400 and (wrong := _not_a_status(body, response.getheader("Content-Type") or "")):
            self._fail(one, f"HTTP {status} is no OTLP Status: {wrong}")

    def _fail(self, one: Export, seen: str) -> None:
        encoding = f" -H 'Content-Encoding: {one.content_encoding}'" if one.content_encoding is not None else ""
        url = f"http://127.0.0.1:{self._port}/v1/{one.signal}"
        command = f"curl -i -H 'Content-Type: {one.content_type}'{encoding} --data-binary @{{file}} {url}"
        if one.grpc:
            command += "   # it was sent over gRPC"
        self._findings.fail(WHERE, seen, one.mutation, one.body, command)


def export_over(channel: grpc.Channel, signal: str, body: bytes, seconds: float) -> None:
    """Send an encoded export over gRPC; raise grpc.RpcError if it is not taken."""
    call: Any = channel.unary_unary(METHODS[signal])
    call(body, timeout=seconds)


def _not_a_status(body: bytes, content_type: str) -> str:
    status = Status()
    try:
        if content_type.startswith("application/json"):
            json_format.Parse(body, status)
        elif content_type.startswith("application/x-protobuf"):
            status.ParseFromString(body)
        else:
            return f"Content-Type {content_type}"
    except (json_format.ParseError, DecodeError, ValueError):
        return "it cannot be read"
    return "" if status.message else "it has no message"


def probe(results: Any, stopping: Event, http_port: int, grpc_address: str, traces_url: str, sent: str) -> None:
    """Send small exports over both protocols, writing down each trace id that was acknowledged, and ask for health."""
    with open(sent, "w") as file, grpc.insecure_channel(grpc_address) as channel:

        def over_http() -> str:
            trace_id, body = _small_export()
            url = f"http://127.0.0.1:{http_port}/v1/traces"
            try:
                response = requests.post(
                    url, body, headers={"Content-Type": "application/x-protobuf"}, timeout=GIVE_UP_SECONDS
                )
            except requests.RequestException as error:
                return f"no answer: {type(error).__name__}"
            if response.status_code == 503 and response.headers.get("Retry-After"):
                return LATER
            if response.status_code != 200:
                return f"HTTP {response.status_code}"
            file.write(f"{trace_id}\n")
            return ""

        def over_grpc() -> str:
            trace_id, body = _small_export()
            try:
                export_over(channel, "traces", body, GIVE_UP_SECONDS)
            except grpc.RpcError as error:
                return LATER if error.code() is grpc.StatusCode.UNAVAILABLE else f"gRPC {error.code().name}"
            file.write(f"{trace_id}\n")
            return ""

        health = partial(ask, "GET", f"{traces_url}/healthz")
        run_each(results, stopping, {"HTTP export": over_http, "gRPC export": over_grpc, "explorer /healthz": health})


def _small_export() -> tuple[str, bytes]:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name", value=AnyValue(string_value="honest"))
    now, trace_id = time.time_ns(), secrets.token_bytes(16)
    resource.scope_spans.add().spans.add(
        trace_id=trace_id, span_id=os.urandom(8), name="honest", start_time_unix_nano=now, end_time_unix_nano=now + 1000
    )
    return trace_id.hex(), request.SerializeToString()


def _read_back(stack: LocalStack, trace_ids: list[str], findings: Findings) -> None:
    """Read each honest trace, and everything else that the read API tells of what the fuzzer stored."""
    lost = 0
    with requests.Session() as session:
        for trace_id in trace_ids:
            response = session.get(f"{stack.traces_url}/api/traces/{trace_id}", timeout=GIVE_UP_SECONDS)
            lost += response.status_code != 200 or not response.json()["data"]
        for path in READS:
            response = session.get(stack.traces_url + path, timeout=GIVE_UP_SECONDS)
            strict = _is_strict_json(response.content)
            if response.status_code >= 500 or not strict:
                seen = f"HTTP {response.status_code}" + ("" if strict else ", not JSON as RFC 8259 has it")
                findings.fail(
                    path,
                    f"{seen} for a GET after the exports",
                    "",
                    path.encode(),
                    f"curl -i '{stack.traces_url}{path}'",
                )
    findings.note(f"{len(trace_ids):,} honest exports were acknowledged, {lost} of them cannot be read")
    if lost:
        findings.fail(WHERE, f"{lost} acknowledged exports cannot be read")


def _is_strict_json(body: bytes) -> bool:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        json.loads(body, parse_constant=refuse)
    except ValueError:
        return False
    return True
