"""A process of the local stack as it runs: its log, its health, its progress, its end."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from local.data_folder import StackError
from local.health import Health
from local.process_log import ProcessLog
from local.processes import ONE_PER_SERVICE, ProcessSpec
from local.settings import HOST, ROOT

SAMPLE_SECONDS = 1.0
IDLE_CPU = 0.05
"""The share of a core under which a process counts as idle: our services use up to 0.013 with nothing to do."""


class Child:
    """A row of the process table and the process that plays it now, if any."""

    def __init__(self, spec: ProcessSpec, logs: Path, show: Callable[[str], None] | None = None) -> None:
        self.spec = spec
        self.log = ProcessLog(logs / f"{spec.name}.log")
        self.show = show or (lambda _line: None)
        self.process: subprocess.Popen[str] | None = None
        self.reader: threading.Thread | None = None
        self.health: Health | None = None
        self.started_at = 0.0
        self.restart_at = 0.0
        self.active_at = 0.0
        self.activity = (0.0, 0)
        self.sampled_at = 0.0
        self.aside = False
        """Whether `waybill dev` runs it instead."""
        self.stopped_at = 0.0
        """When it was asked to stop."""
        self.reported_idle = False
        self.suspected = False
        """Whether it fails its health checks: its idle seconds then count from the first failure."""
        self.ready = False
        self.failures = 0
        """Deaths in a row before it was ready."""

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def log_file(self) -> str:
        return self.log.baseFilename

    @property
    def killed(self) -> bool:
        """Whether SIGKILL ended it, which no process does to itself."""
        return self.process is not None and self.process.returncode == -signal.SIGKILL

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self.started_at

    def start(self, group: int | None) -> None:
        """Start the process as a member of a process group and follow what it writes."""
        self.log.tail.clear()
        self.ready = False
        self.started_at = time.monotonic()
        self.reported_idle = self.suspected = False
        self.process = subprocess.Popen(  # noqa: S603 (a command of the table)
            self.spec.command,
            cwd=ROOT,
            env=environment(self.spec),
            process_group=group,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
        self.reader = threading.Thread(target=self.log.follow, args=(self.process.stdout, self.show), daemon=True)
        self.reader.start()
        self.mark_active()
        if self.spec.ready:
            self.health = Health(self.spec.ready, self.spec.live)
            self.health.start()

    def mark_active(self) -> None:
        """Count idle seconds from this moment."""
        self.active_at = self.sampled_at = time.monotonic()
        self.activity = self._activity()

    def idle_seconds(self) -> float:
        """Return for how long the process has neither logged a line nor used CPU time worth mentioning."""
        now = time.monotonic()
        if now - self.sampled_at > SAMPLE_SECONDS:
            self.sampled_at = now
            cpu, lines = self._activity()
            # The CPU time of a tree falls when one of its processes ends: that is a change too.
            if lines != self.activity[1] or abs(cpu - self.activity[0]) > IDLE_CPU * max(1, now - self.active_at):
                self.active_at, self.activity = now, (cpu, lines)
        return now - self.active_at

    def _activity(self) -> tuple[float, int]:
        """Return the CPU seconds of the process and its descendants, and the number of lines logged."""
        cpu = 0.0
        with contextlib.suppress(psutil.Error):
            if self.process:
                root = psutil.Process(self.process.pid)
                for process in (root, *root.children(recursive=True)):
                    with contextlib.suppress(psutil.Error):
                        times = process.cpu_times()
                        cpu += times.user + times.system
        return cpu, self.log.lines

    def run(self, group: int | None = None, pause: Callable[[float], None] = time.sleep) -> None:
        """Run a command to its end, calling `pause` meanwhile; raise `StackError` with its last words if it fails."""
        self.start(group)
        while self.alive:
            pause(0.05)
        self.close()
        if self.process and self.process.returncode:
            raise StackError(f"{self.obituary()}:\n{self.last_words()}")

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless the process is gone."""
        if self.process:
            self.process.send_signal(number)

    def close(self) -> None:
        """Close its log, once all that it wrote is there."""
        self.end_health()
        if self.reader:
            self.reader.join(timeout=1)
        if self.process:
            self.process.wait()
        self.log.close()

    def end_health(self) -> None:
        """Stop the health checks of a process that is stopping or gone."""
        if self.health:
            self.health.ended.set()

    def obituary(self) -> str:
        """Return how the process ended, as a person would: `exit status 3`, `killed by SIGKILL`."""
        status = self.process.returncode if self.process else 0
        names = {number.value: number.name for number in signal.Signals}
        how = f"exit status {status}" if status >= 0 else f"killed by {names.get(-status, f'signal {-status}')}"
        return f"{self.spec.name} died ({how}) {self.age:.1f} s after its start"

    def last_words(self) -> str:
        """Return the end of its log, once all that it wrote has been read."""
        if self.reader:
            self.reader.join(timeout=1)
        return "\n".join(f"  | {line}" for line in self.log.tail) + f"\n  all of it: {self.log_file}"


def environment(spec: ProcessSpec) -> dict[str, str]:
    """Return the shell's environment with the row's on top.

    Calls between the children never take a proxy, and no name that the shell gives to one service is given to all.
    """
    no_proxy = f"{os.environ.get('no_proxy') or os.environ.get('NO_PROXY', '')},{HOST}".strip(",")
    return {
        **{name: value for name, value in os.environ.items() if name not in ONE_PER_SERVICE},
        "PYTHONUNBUFFERED": "1",
        "no_proxy": no_proxy,
        "NO_PROXY": no_proxy,
        **spec.environment,
    }
