"""Runs the local stack in one terminal: starts it, watches it, restarts what dies, stops it cleanly."""

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.text import Text

from local import data_folder, wanted
from local.child import Child
from local.data_folder import StackError
from local.ports import taken_ports
from local.process_group import ProcessGroup
from local.process_log import pretty
from local.processes import ProcessSpec, ignored_in_the_shell, process_table
from local.settings import LocalSettings

# A slow machine is not a failure: what ends a wait is that a process dies or does nothing, never a time alone.
SAY_AFTER_SECONDS = 10
"""Then, and each time twice as late, say what is awaited."""
START_IDLE_SECONDS = 120
STOP_IDLE_SECONDS = 30  # requests in flight may wait up to gunicorn's graceful_timeout without using CPU time
HUNG_SECONDS = 30
HUNG_FAILURES = 5
LATE_SECONDS = 1.0
"""If our own loop is this late, the machine is starved and no process is judged."""
POLL_SECONDS = 0.1
BACKOFF_SECONDS = 0.5
GIVE_UP_AFTER = 5


def up(settings: LocalSettings, *, logs: bool = False, after_ready: Callable[[], None] | None = None) -> int:
    """Run the local stack until Ctrl-C or SIGTERM and return an exit status; call from the main thread.

    `after_ready` is called once, in a thread, when every process is ready; `logs` shows what they log.
    """
    return Supervisor(process_table(settings), settings.waybill_data, logs=logs).run(after_ready)


def migrate(settings: LocalSettings) -> None:
    """Bring the services' databases to their newest revision; raise `StackError` when one fails."""
    (spec,) = (spec for spec in process_table(settings) if spec.name == "migrations")
    with data_folder.private(settings.waybill_data), Console().status("Migrating the databases"):
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
        self.late_at = -math.inf
        """When our own loop was late."""
        self.say_at = math.inf
        self.table = {spec.name: spec for spec in specs if spec.ready}
        """The processes that run, as they are without a wanted state."""
        self.wanted: wanted.Wanted | None = None
        self.wanted_stamp: tuple[int, int] | None = None
        self.reported: wanted.State | None = None

    def run(self, after_ready: Callable[[], None] | None = None) -> int:
        """Run until a signal (returns 0) or until something cannot start (returns 1)."""
        handled = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as `nohup` sets it
            handled.append(signal.SIGHUP)
        handlers = {number: signal.signal(number, self._on_signal) for number in handled}
        try:
            with data_folder.private(self.data), data_folder.locked(self.data):
                self._drop_wanted()
                self._check_ports()
                if ignored := ignored_in_the_shell():
                    why = "it would merge the services into one"
                    self._say((f"Ignored for the services: {', '.join(ignored)} ({why})", "yellow"))
                try:
                    self._start()
                    self._announce()
                    threading.Thread(target=self._call, args=(after_ready,), daemon=True).start()
                    self._watch()
                finally:
                    self._stop()
                    self._drop_wanted()
                    wanted.report(self.data, None)
        except StopRequested:
            return 0
        except (StackError, OSError) as error:
            self._say((str(error), "red"))
            return 1
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _check_ports(self) -> None:
        specs = (spec for spec in self.specs if not data_folder.is_taken_over(self.data, spec.name))
        ports = {variable: port for spec in specs for variable, port in spec.ports.items()}
        if taken := taken_ports(ports):
            raise StackError("\n  ".join(["Cannot start:", *(f"port {line}" for line in taken)]))

    def _start(self) -> None:
        began = time.monotonic()
        self._record(data_folder.PORTS, {name: port for spec in self.specs for name, port in spec.ports.items()})
        self.group.keep_guard()
        self.children = [
            Child(spec, self.data / "logs", self._log_viewer(spec.name, spec.color)) for spec in self.specs
        ]
        with self.console.status("Starting") as status:
            for child in list(self.children):
                if self._steps_aside(child):
                    continue
                if child.spec.ready:
                    self._spawn(child)
                else:
                    status.update(f"Running {child.spec.name}")
                    self._expect()
                    child.run(self.group.id, partial(self._pause_for, [child]))
                    self.children.remove(child)
                    self._say(("✓", "green"), f" {child.spec.name} done")
            self._expect()
            while waiting := [child for child in self.children if not child.aside and not self._is_ready(child)]:
                names = ", ".join(child.spec.name for child in waiting)
                status.update(f"Waiting for {names}")
                for child in waiting:
                    if not child.alive:
                        raise StackError(f"{child.obituary()} before it was ready:\n{child.last_words()}")
                self._pause_for(waiting, POLL_SECONDS)
        self._say(f"Ready in {time.monotonic() - began:.1f} s. Ctrl-C stops it all.\n")

    def _expect(self) -> None:
        """Begin to wait: it is said at first after SAY_AFTER_SECONDS."""
        self.wait_began = time.monotonic()
        self.say_at = self.wait_began + SAY_AFTER_SECONDS

    def _pause_for(self, waiting: Sequence[Child], seconds: float) -> None:
        """Pause while these start; now and then say what is awaited, and what does nothing."""
        self._pause(seconds)
        self._say_what_is_awaited(
            f"still starting: {child.spec.name} (running for {child.age:.0f} s, not ready yet; log: {child.log_file})"
            for child in waiting
        )
        for child in waiting:
            if child.idle_seconds() > START_IDLE_SECONDS and not child.reported_idle:
                child.reported_idle = True
                advice = (
                    "Is what it waits for available, such as its database? If nothing else helps, stop the stack "
                    "with Ctrl-C and start it again"
                )
                what = f"{child.spec.name} is running, but for {START_IDLE_SECONDS:g} s it has done nothing"
                self._say((f"{what} (no CPU time, no log line). {advice}:\n{child.last_words()}", "yellow"))

    def _say_what_is_awaited(self, lines: Iterable[str]) -> None:
        if (now := time.monotonic()) >= self.say_at:
            self.say_at += now - self.wait_began
            for line in lines:
                self._say((line, "dim"))

    def _watch(self) -> NoReturn:
        self._expect()
        while True:
            if starting := [child for child in self.children if child.alive and not child.ready]:
                self._pause_for(starting, POLL_SECONDS)
            else:
                self._expect()
                self._pause(POLL_SECONDS)
            self.group.keep_guard()
            self._reconcile()
            for child in self.children:
                if self._steps_aside(child):
                    continue
                if child.alive:
                    if self._is_ready(child):
                        self._kill_if_hung(child)
                elif child.process:
                    self._bury(child)
                elif time.monotonic() >= child.restart_at:
                    self._spawn(child)

    def _reconcile(self) -> None:
        """Bring the processes to the wanted state once it has changed, and end it when its time is over."""
        if self.wanted and time.time() >= self.wanted.ends_at:
            self._say(f"The time of this is over: {self.wanted.says}")
            self._drop_wanted()
        if (stamp := self._stamp_of_wanted()) != self.wanted_stamp:
            self.wanted_stamp = stamp
            try:
                self.wanted = wanted.read(self.data)
            except ValueError as error:
                self._say((f"{error}\nThe processes stay as they are", "yellow"))
            else:
                self._replace_processes(wanted.changes(self.wanted, self.table))
        self._report_wanted()

    def _replace_processes(self, specs: Mapping[str, ProcessSpec]) -> None:
        """Stop each process whose spec is another or gone. Those that are to run are started by `_watch`."""
        ended = [child for child in self.children if child.spec != specs.get(child.spec.name)]
        self._stop_wave([child for child in ended if child.alive])
        for child in ended:
            child.process, child.ready, child.failures, child.restart_at = None, False, 0, 0.0
            if child.spec.name in specs:
                child.spec = specs[child.spec.name]
            else:
                child.close()
                self.children.remove(child)
        self.group.kill_orphans(self._pids().values())  # a worker of what was killed would keep its port
        running = {child.spec.name for child in self.children}
        new = [spec for name, spec in specs.items() if name not in running]
        self.children += [Child(spec, self.data / "logs", self._log_viewer(spec.name, spec.color)) for spec in new]
        self._write_pids()
        if names := [*(child.spec.name for child in ended), *(spec.name for spec in new)]:
            self._say(("✓", "green"), f" as wanted: {', '.join(names)}")

    def _stamp_of_wanted(self) -> tuple[int, int] | None:
        try:
            status = wanted.file(self.data).stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino

    def _report_wanted(self) -> None:
        waiting = [child for child in self.children if not child.ready and not child.aside]
        given_up = {child.spec.name: child.last_words() for child in waiting if child.failures >= GIVE_UP_AFTER}
        state = wanted.State(
            id=self.wanted.id if self.wanted else "",
            waiting=tuple(child.spec.name for child in waiting),
            given_up=given_up,
        )
        if state != self.reported:
            self.reported = state
            wanted.report(self.data, state)

    def _drop_wanted(self) -> None:
        self.wanted = None
        for failure in wanted.drop(self.data):
            self._say((failure, "yellow"))

    def _spawn(self, child: Child) -> None:
        child.start(self.group.id)
        self._write_pids()

    def _steps_aside(self, child: Child) -> bool:
        """Return whether `waybill dev` runs this service now; stop our own process of it when that begins."""
        before, child.aside = child.aside, data_folder.is_taken_over(self.data, child.spec.name)
        if child.aside and not before:
            self._say(("✓", "green"), f" {child.spec.name} is left to `waybill dev` until that ends")
            self._stop_wave([child])
            child.process, child.ready, child.failures, child.restart_at = None, False, 0, 0.0
            self._write_pids()
        return child.aside

    def _is_ready(self, child: Child) -> bool:
        if not child.ready and child.alive and (child.health is None or child.health.ready):
            child.ready = True
            child.failures = 0
            self._say(("✓", "green"), f" {child.spec.name} is ready")
        return child.ready

    def _kill_if_hung(self, child: Child) -> None:
        """Kill a process that is alive but fails its health checks and does nothing; it is then started again.

        A slow machine fails checks too, so nothing is killed while our own loop is late or no other process responds.
        A process that works, which CPU time or log lines show, is overloaded and not hung.
        """
        health, now = child.health, time.monotonic()
        if not health or not health.failures:
            child.suspected = False
            return
        if not child.suspected:
            child.suspected = True
            child.mark_active()
        silent = now - health.responded_at
        others = [other.health for other in self.children if other is not child and other.health and other.ready]
        starved = now - self.late_at < HUNG_SECONDS or (others and all(other.failures for other in others))
        if health.failures < HUNG_FAILURES or silent < HUNG_SECONDS or starved:
            return
        if child.idle_seconds() > HUNG_SECONDS:
            why = f"no response to {health.failures} health checks in {silent:.0f} s, no CPU time, no log line"
            self._say((f"✗ {child.spec.name} hangs ({why}): killed", "red"))
            child.send(signal.SIGKILL)
            child.end_health()

    def _bury(self, child: Child) -> None:
        """Report how a child died and when it is restarted: immediately if it was ready, else with growing delays."""
        obituary = child.obituary()
        # One killed from outside before it was ready has not failed to start: it would give up under chaos.
        child.failures += not child.ready and not child.killed
        child.ready = False
        child.end_health()
        self.group.kill_orphans(self._pids().values())
        if child.failures >= GIVE_UP_AFTER:
            child.restart_at = math.inf
            advice = "fix it, then stop and start the stack"
            self._say(
                (f"✗ {obituary}:\n{child.last_words()}\nIt is given up after {child.failures} deaths: {advice}", "red")
            )
        else:
            delay = BACKOFF_SECONDS * 2 ** (child.failures - 1) if child.failures else 0.0
            child.restart_at = time.monotonic() + delay
            self._say((f"✗ {obituary}, restarts {f'in {delay:.1f} s' if delay else 'immediately'}", "red"))
        child.process = None
        self._write_pids()

    def _pids(self) -> dict[str, int]:
        return {child.spec.name: child.process.pid for child in self.children if child.process}

    def _write_pids(self) -> None:
        """Keep processes.json (name -> pid) true for `waybill doctor`."""
        self._record("processes.json", self._pids())

    def _record(self, name: str, content: Mapping[str, int]) -> None:
        """Write a file of the data folder; its readers never see half of it."""
        path = self.data / name
        try:
            data_folder.write(path, json.dumps(content, indent=2) + "\n")
        except OSError as error:
            self._say((f"{path} could not be written: {error.strerror}", "yellow"))

    def _stop(self) -> None:
        """Stop each process after those that depend on it: the explorer last, so that it receives all telemetry."""
        running = [child for child in self.children if child.alive]
        if running:
            self._say("Stopping (press Ctrl-C again to stop immediately)")
        while running and self.stop_requests < 2:
            needed = {name for child in running for name in child.spec.depends_on}
            wave = [child for child in running if child.spec.name not in needed]
            self._stop_wave(wave)
            running = [child for child in running if child not in wave]
        self.group.kill()
        for child in self.children:
            child.close()
        with suppress(OSError):
            for name in ("processes.json", data_folder.PORTS):
                (self.data / name).unlink(missing_ok=True)
        self._say("Stopped")

    def _stop_wave(self, wave: Sequence[Child]) -> None:
        self._expect()
        for child in wave:
            child.end_health()
            child.mark_active()
            child.stopped_at = time.monotonic()
            child.send(signal.SIGTERM)
        while self.stop_requests < 2 and (alive := [child for child in wave if child.alive]):
            self._say_what_is_awaited(
                f"still stopping: {child.spec.name} (for {time.monotonic() - child.stopped_at:.0f} s; "
                f"Ctrl-C again kills it; log: {child.log_file})"
                for child in alive
            )
            for child in alive:
                if child.idle_seconds() > STOP_IDLE_SECONDS:
                    child.send(signal.SIGKILL)
                    since = time.monotonic() - child.stopped_at
                    why = f"it has done nothing for {STOP_IDLE_SECONDS:g} s"
                    self._say((f"{child.spec.name} did not stop within {since:.0f} s and {why}: killed", "yellow"))
            time.sleep(POLL_SECONDS / 2)

    def _on_signal(self, *_: object) -> None:
        # A wrapper such as `uv run` or `make` may pass on a Ctrl-C that the terminal has sent us already.
        if time.monotonic() > self.last_request + 0.5:
            self.stop_requests += 1
            self.last_request = time.monotonic()

    def _pause(self, seconds: float) -> None:
        began = time.monotonic()
        time.sleep(seconds)
        if time.monotonic() - began > seconds + LATE_SECONDS:
            self.late_at = time.monotonic()
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

    def _log_viewer(self, name: str, color: str) -> Callable[[str], None]:
        return (lambda line: self._say(pretty(name, color, line))) if self.logs else lambda _: None

    def _say(self, *parts: str | tuple[str, str] | Text) -> None:
        # The reader may be gone: a closed terminal raises OSError, a broken pipe makes rich exit.
        with suppress(OSError, SystemExit):
            self.console.print(Text.assemble(*parts), soft_wrap=True)
