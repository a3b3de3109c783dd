"""Runs the local stack in one terminal: starts it, watches it, restarts what dies, stops it cleanly."""

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.text import Text

from local import data_folder
from local.child import Child
from local.data_folder import StackError
from local.ports import taken_ports
from local.process_group import ProcessGroup
from local.process_log import pretty
from local.processes import ProcessSpec, process_table
from local.settings import LocalSettings

START_SECONDS = 60
STOP_SECONDS = 12  # gunicorn gives requests in flight 10
POLL_SECONDS = 0.1
BACKOFF_SECONDS = 0.5
GIVE_UP_AFTER = 5
COLOURS = ("magenta", "bright_black", "cyan", "green", "bright_blue", "yellow")


def up(settings: LocalSettings, *, logs: bool = False, after_ready: Callable[[], None] | None = None) -> int:
    """Run the local stack until Ctrl-C or SIGTERM and return an exit status; call from the main thread.

    `after_ready` is called once, in a thread, when every process is ready; `logs` shows what they log.
    """
    return Supervisor(process_table(settings), settings.waybill_data, logs=logs).run(after_ready)


def migrate(settings: LocalSettings) -> None:
    """Bring the services' databases to their newest revision; raise `StackError` when one fails."""
    data_folder.create(settings.waybill_data)
    (spec,) = (spec for spec in process_table(settings) if spec.name == "migrations")
    with Console().status("Migrating the databases"):
        Child(spec, settings.waybill_data / "logs").run()


def reset(settings: LocalSettings) -> None:
    """Delete the data folder; raise `StackError` when a stack runs on it or it is not Waybill's."""
    data_folder.remove(settings.waybill_data)


class StopRequested(Exception):
    """Ctrl-C, SIGTERM, or the terminal is gone."""


class Supervisor:
    """Runs one process per spec, with their files in `data`."""

    def __init__(self, specs: Sequence[ProcessSpec], data: Path, *, logs: bool = False) -> None:
        self.specs = specs
        self.data = data
        self.logs = logs
        self.console = Console()
        self.group = ProcessGroup()
        self.children: list[Child] = []
        self.stop_requests = 0
        self.last_request = -math.inf

    def run(self, after_ready: Callable[[], None] | None = None) -> int:
        """Run until a signal (returns 0) or until something cannot start (returns 1)."""
        handled = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as `nohup` sets it
            handled.append(signal.SIGHUP)
        handlers = {number: signal.signal(number, self._on_signal) for number in handled}
        try:
            data_folder.create(self.data)
            with data_folder.locked(self.data):
                self._check_ports()
                try:
                    self._start()
                    self._announce()
                    threading.Thread(target=self._call, args=(after_ready,), daemon=True).start()
                    self._watch()
                finally:
                    self._stop()
        except StopRequested:
            return 0
        except (StackError, OSError) as error:
            self._say((str(error), "red"))
            return 1
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _check_ports(self) -> None:
        ports = {variable: port for spec in self.specs for variable, port in spec.ports.items()}
        if taken := taken_ports(ports):
            raise StackError("\n  ".join(["Cannot start:", *(f"port {line}" for line in taken)]))

    def _start(self) -> None:
        began = time.monotonic()
        self.group.keep_guard()
        self.children = [
            Child(spec, self.data / "logs", self._log_viewer(spec.name, colour))
            for spec, colour in zip(self.specs, cycle(COLOURS), strict=False)
        ]
        with self.console.status("Starting") as status:
            for child in list(self.children):
                if child.spec.ready:
                    self._spawn(child)
                else:
                    status.update(f"Running {child.spec.name}")
                    child.run(self.group.id, self._pause)
                    self.children.remove(child)
                    self._say(("✓", "green"), f" {child.spec.name} done")
            while waiting := [child for child in self.children if not self._is_ready(child)]:
                names = ", ".join(child.spec.name for child in waiting)
                status.update(f"Waiting for {names}")
                for child in waiting:
                    if not child.alive:
                        raise StackError(f"{child.obituary()} before it was ready:\n{child.last_words()}")
                if time.monotonic() - began > START_SECONDS:
                    raise StackError(f"Not ready after {START_SECONDS} s: {names}\n{waiting[0].last_words()}")
                self._pause(POLL_SECONDS)
        self._say(f"Ready in {time.monotonic() - began:.1f} s. Ctrl-C stops it all.\n")

    def _watch(self) -> NoReturn:
        while True:
            self._pause(POLL_SECONDS)
            self.group.keep_guard()
            for child in self.children:
                if child.alive:
                    self._is_ready(child)
                elif child.process:
                    self._bury(child)
                elif time.monotonic() >= child.restart_at:
                    self._spawn(child)

    def _spawn(self, child: Child) -> None:
        child.start(self.group.id)
        self._write_pids()

    def _is_ready(self, child: Child) -> bool:
        if not child.ready and child.alive and child.answers():
            child.ready = True
            child.failures = 0
            self._say(("✓", "green"), f" {child.spec.name} is ready")
        return child.ready

    def _bury(self, child: Child) -> None:
        """Say how a child died and when it is started again: at once if it had been ready, else ever later."""
        obituary = child.obituary()
        # One killed from outside before it was ready has not failed to start: it would give up under chaos.
        child.failures += not child.ready and not child.killed
        child.ready = False
        self.group.kill_orphans(self._pids().values())
        if child.failures >= GIVE_UP_AFTER:
            child.restart_at = math.inf
            advice = "mend it, then stop and start the stack"
            self._say(
                (f"✗ {obituary}:\n{child.last_words()}\nIt is given up after {child.failures} deaths: {advice}", "red")
            )
        else:
            delay = BACKOFF_SECONDS * 2 ** (child.failures - 1) if child.failures else 0.0
            child.restart_at = time.monotonic() + delay
            self._say((f"✗ {obituary}, starts again {f'in {delay:.1f} s' if delay else 'at once'}", "red"))
        child.process = None
        self._write_pids()

    def _pids(self) -> dict[str, int]:
        return {child.spec.name: child.process.pid for child in self.children if child.process}

    def _write_pids(self) -> None:
        """Keep processes.json (name -> pid) true for `waybill doctor`; its readers never see half of it."""
        path = self.data / "processes.json"
        try:
            path.with_suffix(".tmp").write_text(json.dumps(self._pids(), indent=2) + "\n")
            path.with_suffix(".tmp").replace(path)
        except OSError as error:
            self._say((f"{path} could not be written: {error.strerror}", "yellow"))

    def _stop(self) -> None:
        """Stop what nobody depends on, then what that depended on: the backend last, so it gets all telemetry."""
        running = [child for child in self.children if child.alive]
        if running:
            self._say("Stopping (Ctrl-C again: at once)")
        while running and self.stop_requests < 2:
            needed = {name for child in running for name in child.spec.depends_on}
            wave = [child for child in running if child.spec.name not in needed]
            self._stop_wave(wave)
            running = [child for child in running if child not in wave]
        self.group.kill()
        for child in self.children:
            child.close()
        with suppress(OSError):
            (self.data / "processes.json").unlink(missing_ok=True)
        self._say("Stopped")

    def _stop_wave(self, wave: Sequence[Child]) -> None:
        for child in wave:
            child.send(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while self.stop_requests < 2 and (alive := [child for child in wave if child.alive]):
            if time.monotonic() > deadline:
                for child in alive:
                    child.send(signal.SIGKILL)
                    self._say((f"{child.spec.name} did not stop within {STOP_SECONDS} s: killed", "yellow"))
                return
            time.sleep(POLL_SECONDS / 2)

    def _on_signal(self, *_: object) -> None:
        # A wrapper such as `uv run` or `make` may pass on a Ctrl-C that the terminal has sent us already.
        if time.monotonic() > self.last_request + 0.5:
            self.stop_requests += 1
            self.last_request = time.monotonic()

    def _pause(self, seconds: float) -> None:
        time.sleep(seconds)
        if self.stop_requests:
            raise StopRequested

    def _call(self, after_ready: Callable[[], None] | None) -> None:
        try:
            if after_ready:
                after_ready()
        except (Exception, SystemExit) as error:
            if not self.stop_requests:
                self._say((f"The stack is up, but what was to follow failed: {error!r}", "red"))

    def _announce(self) -> None:
        links = {title: link for spec in reversed(self.specs) for title, link in spec.links.items()}
        for title, link in {**links, "Logs": str(self.data / "logs")}.items():
            self._say(f"  {title:<22}", (link, "cyan"))

    def _log_viewer(self, name: str, colour: str) -> Callable[[str], None]:
        return (lambda line: self._say(pretty(name, colour, line))) if self.logs else lambda _: None

    def _say(self, *parts: str | tuple[str, str] | Text) -> None:
        # Nobody may be there to read: a closed terminal raises OSError, a broken pipe makes rich exit.
        with suppress(OSError, SystemExit):
            self.console.print(Text.assemble(*parts), soft_wrap=True)
