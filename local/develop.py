"""`waybill dev`: one service in this terminal, restarted when its code changes. See docs/develop.md."""

import signal
import socket
import subprocess
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

from rich.console import Console
from watchfiles import PythonFilter, watch

from local import data_folder
from local.child import environment
from local.data_folder import StackError
from local.health import responds
from local.ports import listeners, taken_ports
from local.processes import PYTHON, ProcessSpec, process_table
from local.registry import REGISTRY
from local.settings import ROOT, LocalSettings

# A worker that is stopped at a breakpoint does not notify gunicorn, which must not kill it for that.
OPTIONS = ("--timeout", "0", "--graceful-timeout", "6")
# Ends gunicorn when the writer of its stdin, which is this process, is gone, even by `kill -9`.
GUARD = ("/bin/sh", "-c", 'trap "" HUP INT TERM; read _; kill -TERM "$1"', "guard")
STOP_SECONDS = 10
"""gunicorn's own limits end earlier."""
POLL_MILLISECONDS = 500
LOOPBACK = ("127.0.0.1", "::1", "localhost")
TELEMETRY = {
    False: "Telemetry goes nowhere: nothing listens at {}. Start the stack with `waybill up` in another terminal.",
    True: "Telemetry goes to {}.",
}
EXPORTERS = ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER")


def develop(settings: LocalSettings, name: str) -> int:
    """Run the service of this name until Ctrl-C, SIGTERM or the end of its terminal, and return an exit status.

    A local stack on the same data folder leaves the service out meanwhile. Raise `StackError` if the port is in use.
    """
    (spec,) = (spec for spec in process_table(settings) if spec.name == REGISTRY[name].host)
    data = settings.waybill_data
    with data_folder.private(data), data_folder.taken_over(data, spec.name), _stop_signals() as stopping:
        service = DevelopedService(name, spec, stopping)
        try:
            service.wait_for_port(data)
            service.run()
        finally:
            service.stop()
    return 0


@contextmanager
def _stop_signals() -> Iterator[Event]:
    """Yield an event that is set when this process is to stop."""
    stopping = Event()
    handled = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as `nohup` sets it
        handled.append(signal.SIGHUP)
    handlers = {number: signal.signal(number, lambda *_: stopping.set()) for number in handled}
    try:
        yield stopping
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


class DevelopedService:
    """A service under gunicorn, in the terminal of this process: its lines and `breakpoint()` are there."""

    def __init__(self, name: str, spec: ProcessSpec, stopping: Event) -> None:
        self.name = name
        self.spec = spec
        self.folders = (ROOT / "app", ROOT / "services" / name)
        self.stopping = stopping
        self.environment = {"LOG_FORMAT": "console"} | environment(spec)
        self.console = Console(highlight=False, soft_wrap=True)
        self.migrated = not REGISTRY[name].database
        self.process: subprocess.Popen[bytes] | None = None
        self.guard: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0
        self.ready = False
        self.exports: bool | None = None
        """Whether the process was given a backend to send telemetry to; None before the first start."""

    def wait_for_port(self, data: Path) -> None:
        """Wait until the stack has stopped its own process. Raise `StackError` if another program has the port."""
        if any(listener.data == data for listener in listeners(self.spec.ports.values()).values()):
            self._say(f"The local stack stops its own {self.spec.name}.")
            while taken_ports(self.spec.ports) and not self.stopping.wait(0.2):
                pass
        if taken := taken_ports(self.spec.ports):
            raise StackError("\n  ".join(["Cannot start:", *(f"port {line}" for line in taken)]))

    def run(self) -> None:
        """Keep the service running its newest code until `stopping` is set."""
        turns = watch(
            *self.folders,
            watch_filter=PythonFilter(),
            stop_event=self.stopping,
            rust_timeout=POLL_MILLISECONDS,
            yield_on_timeout=True,
        )
        for changes in turns:
            listens = self._backend_listens()
            if listens != self.exports:
                self._say(TELEMETRY[listens].format(self.environment["OTEL_EXPORTER_OTLP_ENDPOINT"]))
            if changes or listens != self.exports:
                self.exports = listens
                self._restart(sorted(str(Path(path).relative_to(ROOT)) for _, path in changes))
            self._watch()

    def stop(self) -> None:
        """Stop the process, which sends its last telemetry."""
        if self.guard:
            self.guard.kill()
            self.guard.communicate()
            self.guard = None
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def _restart(self, changed: list[str]) -> None:
        """Start the newest code in place of the running; while a file has a syntax error, show it and keep that."""
        if changed:
            self._say(f"Changed: {', '.join(changed)}")
        if error := self._syntax_error():
            kept = f"\n{self.spec.name} keeps running the code from before." if self.process else ""
            self._say(f"{error}{kept}", "red")
            return
        self.stop()
        self.started_at, self.ready = time.monotonic(), False
        self.migrated = self.migrated or self._migrate()
        if self.migrated:
            exporters = {} if self.exports else dict.fromkeys(EXPORTERS, "none")
            command = (*self.spec.command, *OPTIONS)
            self.process = subprocess.Popen(command, cwd=ROOT, env=exporters | self.environment)  # noqa: S603
            self.guard = subprocess.Popen((*GUARD, str(self.process.pid)), stdin=subprocess.PIPE)  # noqa: S603
        else:
            self._say("The migration failed; the error is above. Correct it, then save a file of the service.", "red")

    def _syntax_error(self) -> str:
        """Return the first syntax error of the watched files as Python shows it, or ""."""
        for file in sorted(file for folder in self.folders for file in folder.rglob("*.py")):
            try:
                compile(file.read_bytes(), file.relative_to(ROOT), "exec", dont_inherit=True)
            except (SyntaxError, ValueError) as error:  # a null byte is a ValueError before Python 3.12
                return "".join(traceback.format_exception_only(error)).rstrip()
            except FileNotFoundError:
                pass
        return ""

    def _migrate(self) -> bool:
        command = (PYTHON, "-m", "alembic", "-c", "migrations/alembic.ini", "-n", self.name, "upgrade", "head")
        return subprocess.run(command, cwd=ROOT, env=self.environment).returncode == 0  # noqa: S603

    def _watch(self) -> None:
        """Say once that the process is ready, or that it has ended."""
        if self.process is None or self.stopping.is_set():
            return
        if self.process.poll() is not None:
            self.stop()
            self._say(f"{self.spec.name} ended; the error is above. Correct it and save.", "red")
        elif not self.ready and self.spec.ready and responds(self.spec.ready, timeout=1):
            self.ready = True
            links = " ".join(self.spec.links.values())
            self._say(f"{self.spec.name} is ready after {time.monotonic() - self.started_at:.1f} s: {links}")

    def _backend_listens(self) -> bool:
        """Return whether something listens at the OTLP endpoint; of another host, assume it."""
        address = urlsplit(self.environment["OTEL_EXPORTER_OTLP_ENDPOINT"])
        if address.hostname not in LOOPBACK:
            return True
        try:
            socket.create_connection((address.hostname, address.port or 80), timeout=1).close()
        except OSError:
            return False
        return True

    def _say(self, text: str, style: str = "bold") -> None:
        self.console.print(text, style=style, markup=False)
