"""A service as it runs in production: a gunicorn process of its own, whose answers, logs and workers tests look at."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.support import processes
from tests.support.servers import free_port
from tests.support.waiting import CAP, until

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class ServiceProcess:
    """A running gunicorn and the files that it writes its stdout and stderr to."""

    process: subprocess.Popen[bytes]
    port: int
    stdout: Path
    stderr: Path

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, **headers: str) -> requests.Response:
        """GET `path`."""
        return requests.get(self.url + path, headers=headers, timeout=30)

    def log_lines(self) -> list[dict[str, Any]]:
        """What it wrote to stdout so far: each line must be a JSON object."""
        whole, _, _partial = self.stdout.read_bytes().rpartition(b"\n")
        lines = [json.loads(line) for line in whole.split(b"\n") if line]
        assert all(isinstance(line, dict) for line in lines)
        return lines

    def workers(self) -> list[int]:
        """The pids of its workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def ready(self) -> bool:
        """Whether it answers /readyz with 200; fails if the process has ended."""
        assert self.process.poll() is None, self.stdout.read_text() + self.stderr.read_text()
        try:
            return requests.get(f"{self.url}/readyz", timeout=30).status_code == 200
        except requests.RequestException:
            return False

    def terminate(self, timeout: float = CAP) -> int:
        """Send SIGTERM, wait for the end and return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)


def start_process(application: str, folder: Path, **environment: str) -> ServiceProcess:
    """Start gunicorn with these variables and no other OTEL_*; the caller ends it."""
    folder.mkdir(exist_ok=True)
    port = int(environment.get("PORT", free_port()))
    service = ServiceProcess(None, port, folder / "stdout", folder / "stderr")  # type: ignore[arg-type]
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("OTEL_")}
    with service.stdout.open("ab") as stdout, service.stderr.open("ab") as stderr:
        service.process = processes.start(
            [sys.executable, "-m", "gunicorn", "-c", "python:app.gunicorn_conf", application],
            cwd=ROOT,
            env={**inherited, "PYTHONUNBUFFERED": "1", "PORT": str(service.port), **environment},
            stdout=stdout,
            stderr=stderr,
        )
    return service


@contextmanager
def starting_service(application: str, folder: Path, **environment: str) -> Iterator[ServiceProcess]:
    """A service that may not be ready yet, and is gone afterwards whatever happens."""
    service = start_process(application, folder, **environment)
    try:
        yield service
    finally:
        if service.process.poll() is None:
            try:
                service.terminate()
            finally:
                service.process.kill()
                service.process.wait()


@contextmanager
def running_service(application: str, folder: Path, **environment: str) -> Iterator[ServiceProcess]:
    """A service that is ready, and gone afterwards whatever happens."""
    with starting_service(application, folder, **environment) as service:
        until(service.ready)
        yield service
