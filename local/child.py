"""A process of the local stack as it runs: its log, its readiness, its end."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from local.data_folder import StackError
from local.process_log import ProcessLog
from local.processes import ProcessSpec
from local.settings import HOST, ROOT


class Child:
    """A row of the process table and the process that plays it now, if any."""

    def __init__(self, spec: ProcessSpec, logs: Path, show: Callable[[str], None] | None = None) -> None:
        self.spec = spec
        self.log = ProcessLog(logs / f"{spec.name}.log")
        self.show = show or (lambda _line: None)
        self.process: subprocess.Popen[str] | None = None
        self.reader: threading.Thread | None = None
        self.started_at = 0.0
        self.restart_at = 0.0
        self.ready = False
        self.failures = 0
        """Deaths in a row before it was ready."""

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

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

    def answers(self) -> bool:
        """Ask once whether the process is ready."""
        address = urlsplit(self.spec.ready or "")
        try:
            if address.scheme == "tcp":
                socket.create_connection((address.hostname, address.port), timeout=1).close()
                return True
            with contextlib.closing(http.client.HTTPConnection(address.netloc, timeout=1)) as connection:
                connection.request("GET", address.path)
                return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False

    def run(self, group: int | None = None, pause: Callable[[float], None] = time.sleep) -> None:
        """Run a command to its end; raise `StackError` with its last words if it fails."""
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
        if self.reader:
            self.reader.join(timeout=1)
        if self.process:
            self.process.wait()
        self.log.close()

    def obituary(self) -> str:
        """Say how the process ended, as a person would: `exit status 3`, `killed by SIGKILL`."""
        status = self.process.returncode if self.process else 0
        names = {number.value: number.name for number in signal.Signals}
        how = f"exit status {status}" if status >= 0 else f"killed by {names.get(-status, f'signal {-status}')}"
        return f"{self.spec.name} died ({how}) {self.age:.1f} s after its start"

    def last_words(self) -> str:
        """Give the end of its log, once all that it wrote has been read."""
        if self.reader:
            self.reader.join(timeout=1)
        return "\n".join(f"  | {line}" for line in self.log.tail) + f"\n  all of it: {self.log.baseFilename}"


def environment(spec: ProcessSpec) -> dict[str, str]:
    """Give the shell's environment with the row's on top; calls between the children never take a proxy."""
    no_proxy = f"{os.environ.get('no_proxy') or os.environ.get('NO_PROXY', '')},{HOST}".strip(",")
    return {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "no_proxy": no_proxy,
        "NO_PROXY": no_proxy,
        **spec.environment,
    }
