"""What the explorer takes and how fast it answers: `python -m bench.explorer`; with --full 10^6 spans.

Starts an explorer of its own on free ports with its data in a temporary folder. A sender in another process sends, as
fast as it is answered, orders of 9 spans in 4 services with 8 attributes each, of which the path has the id of its
order and the port is one of 20,000, in exports of 512 spans, first over gRPC, then over HTTP. Then it counts what is
stored, times the queries and reads the resident memory.
"""

import argparse
import http.client
import json
import math
import multiprocessing
import os
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import grpc
import psutil
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

ORDER = (  # service, spans of it in one trace
    ("order-service", ("POST /orders", "process_order", "validate_inventory", "charge_payment", "send_notification")),
    ("inventory-service", ("PUT /reservations/<uuid:order_id>", "UPDATE items")),
    ("payment-service", ("PUT /charges/<uuid:order_id>",)),
    ("notification-service", ("PUT /notifications/<uuid:order_id>/<string:template>",)),
)
SPANS_PER_TRACE = 9
EXPORT = 512
ROUND = EXPORT * SPANS_PER_TRACE
KEYS = ("http.request.method", "url.path", "server.address", "http.route", "network.peer.address")
NUMBERS = {"http.response.status_code": 200, "server.port": 8080, "network.peer.port": 40_000}
PATH, PORT = KEYS.index("url.path"), len(KEYS) + list(NUMBERS).index("network.peer.port")
IN_FLIGHT = 4
METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def template() -> list[tuple[ExportTraceServiceRequest, list[tuple[int, Span]]]]:
    """Make the 9 exports of 512 traces, each with its spans and the number of the trace they belong to."""
    exports = []
    for service, names in ORDER:
        wanted = [(trace, position, name) for trace in range(EXPORT) for position, name in enumerate(names)]
        for first in range(0, len(wanted), EXPORT):
            request = ExportTraceServiceRequest()
            resource_spans = request.resource_spans.add()
            for key, value in (("service.name", service), ("service.instance.id", secrets.token_hex(16))):
                resource_spans.resource.attributes.add(key=key, value=AnyValue(string_value=value))
            scope_spans = resource_spans.scope_spans.add()
            scope_spans.scope.name = "opentelemetry.instrumentation.flask"
            spans = []
            for trace, position, name in wanted[first : first + EXPORT]:
                span = scope_spans.spans.add(span_id=secrets.token_bytes(8), name=name, kind=Span.SPAN_KIND_SERVER)
                if (service, position) != ("order-service", 0):
                    span.parent_span_id = secrets.token_bytes(8)
                for key in KEYS:
                    span.attributes.add(key=key, value=AnyValue(string_value=f"{key} of {name}"))
                for key, number in NUMBERS.items():
                    span.attributes.add(key=key, value=AnyValue(int_value=number))
                spans.append((trace, span))
            exports.append((request, spans))
    return exports


def payloads(rounds: int) -> Iterator[bytes]:
    """Yield encoded exports with new trace ids and times, ROUND spans a round."""
    exports = template()
    for _ in range(rounds):
        ids = [secrets.token_bytes(16) for _ in range(EXPORT)]
        now = time.time_ns()
        for request, members in exports:
            for trace, span in members:
                span.trace_id = ids[trace]
                span.attributes[PATH].value.string_value = f"/orders/{ids[trace].hex()}-x"
                span.attributes[PORT].value.int_value = 40_000 + secrets.randbelow(20_000)
                span.start_time_unix_nano = now + trace * 1000
                span.end_time_unix_nano = now + trace * 1000 + 5_000_000
            yield request.SerializeToString()


def send(protocol: str, port: int, rounds: int, result: "multiprocessing.Queue[tuple[float, int]]") -> None:
    """Send, `IN_FLIGHT` exports at a time, again whatever is refused for now; put the seconds and the refusals."""
    bodies = list(payloads(rounds))
    connections = threading.local()
    channel = grpc.insecure_channel(f"127.0.0.1:{port}") if protocol == "grpc" else None
    call: Any = channel.unary_unary(METHOD) if channel else None
    refusals = []

    def taken(body: bytes) -> bool:
        if call:
            try:
                call(body)
                return True
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                return False
        if not hasattr(connections, "http"):
            connections.http = http.client.HTTPConnection("127.0.0.1", port)
        connections.http.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
        response = connections.http.getresponse()
        response.read()
        if response.status not in (200, 503):
            raise RuntimeError(f"answered {response.status}")
        return bool(response.status == 200)

    def deliver(body: bytes) -> None:
        while not taken(body):
            refusals.append(body)
            time.sleep(1)

    begin = time.perf_counter()
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        list(pool.map(deliver, bodies))
    result.put((time.perf_counter() - begin, len(refusals)))


def free_ports() -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def get(port: int, path: str) -> object:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as response:
        return json.load(response)["data"]


def timed(port: int, path: str, times: int = 50) -> str:
    """Time a query over one kept connection; gives best, median and worst in ms."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        taken.append((time.perf_counter() - begin) * 1000)
        if response.status != 200:
            raise RuntimeError(f"{path} answered {response.status}")
    return f"{min(taken):8.1f} {statistics.median(taken):8.1f} {max(taken):8.1f}"


def resident_mb(pid: int) -> float:
    process = psutil.Process(pid)
    return sum(p.memory_info().rss for p in (process, *process.children(recursive=True))) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=200_000, help="how many spans to send (default %(default)s)")
    parser.add_argument("--full", action="store_true", help="send 10^6 spans; takes a few minutes")
    options = parser.parse_args()
    spans = 1_000_000 if options.full else options.spans
    rounds = math.ceil(spans / 2 / ROUND)  # of each protocol
    grpc_port, http_port, traces_port = free_ports()
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "WAYBILL_DATA": folder,
            "OTLP_GRPC_PORT": str(grpc_port),
            "OTLP_HTTP_PORT": str(http_port),
            "TRACES_PORT": str(traces_port),
        }
        command = [sys.executable, "-m", "waybill_explorer"]
        explorer = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        try:
            while True:
                try:
                    get(traces_port, "/api/stats")
                    break
                except OSError:
                    time.sleep(0.1)
            sent = 0
            for protocol, port in (("grpc", grpc_port), ("http", http_port)):
                result: multiprocessing.Queue[tuple[float, int]] = multiprocessing.Queue()
                sender = multiprocessing.Process(target=send, args=(protocol, port, rounds, result))
                sender.start()
                peak = 0.0
                while result.empty() and sender.is_alive():
                    peak = max(peak, resident_mb(explorer.pid))
                    time.sleep(0.2)
                seconds, refused = result.get(timeout=5)
                sender.join()
                sent += rounds * ROUND
                stored = get(traces_port, "/api/stats")["spans"]  # type: ignore[index]
                rate = rounds * ROUND / seconds
                print(f"{protocol}: {rate:,.0f} spans/s, {refused} exports refused and sent again,", end=" ")
                print(f"{sent:,} sent, {stored:,} stored, lost {sent - stored}; resident {peak:.0f} MB at most")
            query(traces_port)
            print(f"resident after the queries: {resident_mb(explorer.pid):.0f} MB (gunicorn's two processes)")
            print(f"file: {get(traces_port, '/api/stats')['bytes'] / stored:.0f} bytes a span")  # type: ignore[index]
        finally:
            explorer.send_signal(signal.SIGTERM)
            explorer.wait()


def query(port: int) -> None:
    newest = get(port, "/api/traces?limit=200")
    print(f"{'milliseconds':42} {'best':>8} {'median':>8} {'worst':>8}")
    for name, path in (
        ("a trace by id", f"/api/traces/{newest[-1]['traceID']}"),  # type: ignore[index]
        ("the newest 50 traces", "/api/traces?limit=50"),
        ("the newest 50 traces of a service", "/api/traces?service=payment-service&limit=50"),
        ("the newest 50 of an operation", "/api/traces?service=order-service&operation=charge_payment&limit=50"),
        ("the newest 50 as summaries", "/api/summaries?limit=50"),
        ("services", "/api/services"),
    ):
        print(f"{name:42} {timed(port, path)}")
    oldest = newest[0]["traceID"]  # type: ignore[index]
    for name, query in (
        ("a text that is nowhere", "nowhere"),
        ("an attribute value that is nowhere", "url.path=/orders/none"),
        ("a number that is nowhere", "http.response.status_code>=9000"),
        ("the text of one trace", f"{oldest}-x"),
        ("two terms that no span has both", "name:process_order http.route:charge_payment"),
        ("the newest 50 with a text", "payment-service"),
    ):
        print(f"{name:42} {timed(port, f'/api/summaries?limit=50&q={quote(query)}', times=3)}")
    for name, path in (
        ("no trace longer than 1 h", "/api/traces?service=order-service&minDuration=1h&limit=50"),
        ("no trace with a tag", "/api/traces?service=order-service&tags=%7B%22order.id%22:%22none%22%7D&limit=50"),
        ("dependencies of the last minute", f"/api/dependencies?endTs={time.time_ns() // 1_000_000}&lookback=60000"),
        ("statistics", "/api/stats"),
    ):
        print(f"{name:42} {timed(port, path, times=2)}")


if __name__ == "__main__":
    main()
