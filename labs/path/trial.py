"""A run of the learner's service under a check: started with `sh run`, called with probes, stopped, and looked at."""

import contextlib
import http.client
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import requests

from labs.path.findings import Finding, Stopped
from labs.path.shop_link import Call, ShopLink, linked
from labs.path.telemetry import LogRecord, Span, Telemetry, receiving
from labs.path.workspace import Workspace
from local.ports import free_port
from local.process_group import ProcessGroup
from local.settings import HOST
from waybill_explorer.client import ClientError, new_session

START_SECONDS = 120
STOP_SECONDS = 60
RESPONSE_SECONDS = 120
"""Deadlines of what hangs: a slow machine takes long and fails nothing."""
RUN = "check.run"
"""The resource attribute by which the telemetry of a run is known."""
SHELLS = ("sh", "dash", "bash", "busybox")
LAST_LINES = 12


@dataclass(frozen=True)
class Probe:
    """A request to send: its budget in cents, and the seconds that its call to the shop is held up."""

    budget: int
    delay: float = 0.0


@dataclass(frozen=True)
class Result:
    """What became of a probe: its ids are those that its `traceparent` had."""

    trace_id: str
    span_id: str
    status: int
    seconds: float
    calls: tuple[Call, ...]


@dataclass
class Trial:
    """What a run of the service left behind."""

    run: str
    telemetry: Telemetry
    results: list[Result] = field(default_factory=list)
    output: str = ""
    output_at_start: str = ""
    """What it had written when it was ready."""
    wrapped: bool = False
    """Whether a shell is between the checker and the service, so that signals do not reach it."""

    @property
    def first(self) -> Result:
        """The first probe."""
        return self.results[0]

    def spans(self, result: Result | None = None) -> list[Span]:
        """Return the spans that came for a probe, by default the first."""
        return self.telemetry.trace((result or self.first).trace_id)

    def logs(self, result: Result | None = None) -> list[LogRecord]:
        """Return the log records that came for a probe, by default the first."""
        return [record for record in self.telemetry.logs if record.trace_id == (result or self.first).trace_id]


@dataclass(frozen=True)
class Catalog:
    """Two budgets: one that something can be bought for, and one that nothing can."""

    enough: int
    too_little: int


def catalog(space: Workspace) -> Catalog:
    """Return the budgets by what order-service sells. Raise ClientError if it or the explorer is unavailable."""
    with new_session() as session:
        try:
            session.get(f"{space.explorer}/healthz", timeout=RESPONSE_SECONDS).raise_for_status()
            items = session.get(f"{space.shop}/items", timeout=RESPONSE_SECONDS).json()["items"]
            prices = [int(item["price"]) for item in items]
            return Catalog(max(prices), min(prices) - 1)
        except (requests.RequestException, ValueError, KeyError, TypeError) as error:
            raise ClientError(
                f"the stack is not ready ({type(error).__name__} from {space.shop} or {space.explorer}): "
                "start it with `make demo` in another terminal, or look with `waybill doctor`"
            ) from error


def run(
    space: Workspace,
    probes: Sequence[Probe],
    *,
    stop: signal.Signals = signal.SIGINT,
    endpoint: str = "",
    **environment: str,
) -> Trial:
    """Start the service, send probes one after the other, stop it, and return what it left behind.

    Its telemetry goes to the explorer by OTEL_EXPORTER_OTLP_ENDPOINT, which `endpoint` replaces, and by COLLECTOR_OTLP.
    Raise Stopped with a finding if the service does not start.
    """
    with receiving(space.otlp) as (telemetry, receiver), linked(space.shop) as link:
        trial = Trial(secrets.token_hex(8), telemetry)
        port = free_port(GIFT_PORT_OF_CHECKS, [])
        given = {
            "PORT": str(port),
            "SHOP": link.url,
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint or receiver,
            "COLLECTOR_OTLP": receiver.removeprefix("http://"),
            "OTEL_RESOURCE_ATTRIBUTES": f"{RUN}={trial.run}",
            **environment,
        }
        with running(space.folder, given, port, trial) as process, new_session() as session:
            for probe in probes:
                trial.results.append(_send(session, port, probe, link))
            _stop(process, stop, trial.wrapped)
    return trial


GIFT_PORT_OF_CHECKS = 8090


@contextmanager
def running(folder: Path, given: dict[str, str], port: int, trial: Trial) -> Iterator[subprocess.Popen[bytes]]:
    """Run `sh run` until the block ends; nothing that it started outlives this process, even by `kill -9`."""
    # A shell's background job ignores SIGINT, and what it starts would ignore it too.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    inherited = {
        name: text for name, text in os.environ.items() if not name.startswith("OTEL_") and name != "PYTHONPATH"
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    no_proxy = {"NO_PROXY": HOST, "no_proxy": HOST, "PYTHONUNBUFFERED": "1", "PATH": path}
    output = folder.parent / f"output-{trial.run}.txt"
    group = ProcessGroup()
    group.keep_guard()
    try:
        with output.open("wb") as file:
            process = subprocess.Popen(
                ("/bin/sh", "run"),
                cwd=folder,
                env={**inherited, **no_proxy, **given},
                process_group=group.id,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait_until_ready(process, port, output)
            trial.output_at_start = output.read_text(errors="replace")
            trial.wrapped = _is_shell(process.pid)
            yield process
        finally:
            group.kill()
            process.wait()
            trial.output = output.read_text(errors="replace")
    finally:
        output.unlink(missing_ok=True)


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, output: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Stopped(_not_started(f"`sh run` ended with status {process.returncode}", output))
        # Not just a connection: gunicorn listens before its worker has loaded the service.
        if _responds(port):
            return
        time.sleep(0.05)
    raise Stopped(_not_started(f"nothing responded on $PORT within {START_SECONDS} s", output))


def _responds(port: int) -> bool:
    """Return whether there is a response, of whatever status."""
    with contextlib.closing(http.client.HTTPConnection(HOST, port, timeout=RESPONSE_SECONDS)) as connection:
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            return False
    return True


def _not_started(why: str, output: Path) -> Finding:
    lines = output.read_text(errors="replace").rstrip().splitlines()[-LAST_LINES:]
    return Finding(
        "gift-service starts",
        ok=False,
        seen="\n".join([f"{why}. Its last lines:", *lines]),
        expected="`sh run` starts a server on 127.0.0.1, port $PORT, and keeps running",
        read="the last line of its output",
    )


def _is_shell(pid: int) -> bool:
    try:
        return psutil.Process(pid).name() in SHELLS
    except psutil.Error:
        return False


def _send(session: requests.Session, port: int, probe: Probe, link: ShopLink) -> Result:
    """Send a probe in a trace of its own."""
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    link.delay, before = probe.delay, len(link.calls)
    began = time.monotonic()
    try:
        status = session.get(
            f"http://{HOST}:{port}/suggestion",
            params={"budget": probe.budget},
            headers={"traceparent": f"00-{trace_id}-{span_id}-01", "Connection": "close"},
            timeout=RESPONSE_SECONDS,
        ).status_code
    except requests.RequestException:
        status = 0
    return Result(trace_id, span_id, status, time.monotonic() - began, tuple(link.calls[before:]))


def _stop(process: subprocess.Popen[bytes], number: signal.Signals, wrapped: bool) -> None:
    """Stop the service as its platform would, by a signal to the process of `run`, and wait for its end."""
    targets = [process.pid]
    if wrapped and number == signal.SIGINT:  # Ctrl-C in a terminal reaches all of them
        targets += [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
    for pid in targets:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        raise Stopped(
            Finding(
                "gift-service stops",
                ok=False,
                seen=f"it still ran {STOP_SECONDS} s after {number.name}",
                expected="it sends its last telemetry and ends",
                read="brief 2, the end of a process",
            )
        ) from None
