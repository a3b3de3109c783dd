"""A whole local stack of its own, for the tools that need one: real processes, free ports, a folder of its own."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from local.registry import SERVICES
from tests.support import processes
from tests.support.waiting import CAP

PORTS = (
    *(f"{service.upper()}_PORT" for service in SERVICES),
    "CACHE_PORT",
    "OTLP_GRPC_PORT",
    "OTLP_HTTP_PORT",
    "TRACES_PORT",
)
READY = b"Ready in "
"""What `waybill up` prints when every process is ready."""
UP = (str(Path(sys.executable).with_name("waybill")), "up")
FIRST_PORT, LAST_PORT = 12_000, 30_000
"""Below the ports that the kernel gives to outgoing connections: one of these would keep a service from restarting."""


@dataclass(frozen=True)
class LocalStack:
    """A running stack: its supervisor, the environment that it was given, and the folder of its files."""

    supervisor: subprocess.Popen[bytes]
    environment: Mapping[str, str]
    data: Path

    @property
    def traces_url(self) -> str:
        """Return the base URL of the read API of the explorer."""
        return self._url("TRACES_PORT")

    def url(self, service: str) -> str:
        """Return the base URL of a service, by the name of its folder."""
        return self._url(f"{service.upper()}_PORT")

    def port(self, service: str) -> int:
        """Return the port of a service, by the name of its folder."""
        return int(self.environment[f"{service.upper()}_PORT"])

    def process(self, name: str) -> psutil.Process:
        """Return the process of this name in the process table; raise psutil.NoSuchProcess if none runs."""
        with suppress(OSError, json.JSONDecodeError, KeyError):
            return psutil.Process(json.loads((self.data / "processes.json").read_text())[name])
        raise psutil.NoSuchProcess(0, name)

    def _url(self, variable: str) -> str:
        return f"http://127.0.0.1:{self.environment[variable]}"


def free_ports(number: int) -> list[int]:
    """Return ports on which no process listens at this moment, each another."""
    with ExitStack() as held:
        ports: list[int] = []
        while len(ports) < number:
            probe = held.enter_context(socket.socket())
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", random.randint(FIRST_PORT, LAST_PORT)))
                ports.append(probe.getsockname()[1])
        return ports


@contextmanager
def local_stack(
    data: Path, variables: Mapping[str, str], *, command: Sequence[str] = UP, folder: Path | None = None
) -> Iterator[LocalStack]:
    """Run a stack until the block ends, with `variables` in its environment and its files in `data`.

    `command` runs in `folder`: `waybill up` of this checkout unless another is named. Raises RuntimeError with what
    the stack wrote if it ends before it is ready.
    """
    data.mkdir(parents=True, exist_ok=True)
    ports = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("OTEL_")}
    environment = {**inherited, **ports, "WAYBILL_DATA": str(data / "stack"), **variables}
    output = data / "stack.txt"
    with output.open("wb") as file:
        supervisor = processes.start(list(command), cwd=folder, env=environment, stdout=file, stderr=file)
    stack = LocalStack(supervisor, environment, data / "stack")
    try:
        # Until the supervisor itself has seen that all are ready, a process that dies stops the whole stack.
        while READY not in output.read_bytes():
            if supervisor.poll() is not None:
                raise RuntimeError(f"The stack ended before it was ready:\n{output.read_text()}")
            time.sleep(0.1)
        yield stack
    finally:
        supervisor.send_signal(signal.SIGINT)
        supervisor.wait(CAP)
