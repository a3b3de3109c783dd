"""An OTLP receiver that counts bytes and acknowledges: `python -m bench.telemetry.sink PORT PORT ...`.

It is a process of its own, so that its CPU is not counted. Each line on stdin is answered with the counts by port.
"""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc

from local.settings import ROOT
from tests.support import processes

SERVICES = {
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
}


class Sink:
    """The process, and the bytes that it has received."""

    def __init__(self, ports: Sequence[int]) -> None:
        command = [sys.executable, "-m", "bench.telemetry.sink", *map(str, ports)]
        self._process = processes.start(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.received(ports[0])  # once it answers, it listens

    def received(self, port: int) -> Counter[str]:
        """Return the bytes of protobuf received on a port so far, by signal."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return Counter(json.loads(self._process.stdout.readline())[str(port)])

    def stop(self) -> None:
        """End the process, as the end of this one does too."""
        self._process.communicate()


def listen(port: int) -> tuple[grpc.Server, Counter[str]]:
    """Start to receive on a port. Return the server and its counts."""
    received: Counter[str] = Counter()
    server = grpc.server(ThreadPoolExecutor(1), options=[("grpc.so_reuseport", 0)])  # one thread: counts need no lock

    def handler(signal: str) -> "grpc.RpcMethodHandler[bytes, bytes]":
        def export(request: bytes, _context: grpc.ServicerContext) -> bytes:
            received[signal] += len(request)
            return b""

        return grpc.unary_unary_rpc_method_handler(export)

    for signal, service in SERVICES.items():
        methods = {"Export": handler(signal)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    return server, received


def main() -> None:
    listening = {port: listen(int(port)) for port in sys.argv[1:]}
    for _ in sys.stdin:
        print(json.dumps({port: received for port, (_server, received) in listening.items()}), flush=True)


if __name__ == "__main__":
    main()
