"""`waybill dev` on a copy of the project: a real gunicorn, edited files, a real OTLP receiver."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import requests

from local import data_folder
from tests.support import processes
from tests.support.fifth_service import NOT_SOURCE, ROOT
from tests.support.local_stack import PORTS, free_ports
from tests.support.telemetry_receiver import matching, running_receiver
from tests.support.waiting import CAP, until

pytestmark = pytest.mark.xdist_group("develop")

ROUTE = '\n\n@blueprint.get("/{0}")\ndef {0}() -> dict[str, str]:\n    return {{"path": "{0}"}}\n'
FLUSHED = {"OTEL_BSP_SCHEDULE_DELAY": "600000", "OTEL_BLRP_SCHEDULE_DELAY": "600000"}
"""Nothing is exported unless something flushes it."""


class Developed:
    """`waybill dev inventory` in a copy of the project, and the file that it writes to."""

    def __init__(self, project: Path, folder: Path, **variables: str) -> None:
        self.routes = project / "services" / "inventory" / "routes.py"
        self.data = folder / "data"
        ports = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
        self.port = int(ports["INVENTORY_PORT"])
        inherited = {name: text for name, text in os.environ.items() if not name.startswith("OTEL_")}
        self.terminal = folder / "terminal"
        with self.terminal.open("wb") as terminal:
            self.process = processes.start(
                [sys.executable, "-m", "local.cli", "dev", "inventory"],
                cwd=project,
                env=inherited | ports | {"WAYBILL_DATA": str(self.data), "PYTHONUNBUFFERED": "1"} | variables,
                stdout=terminal,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        return self.terminal.read_text()

    def status(self, path: str) -> int:
        """Return the status of GET `path`, 0 if there is no response; fail if the process has ended."""
        assert self.process.poll() is None, self.output
        try:
            return requests.get(f"http://127.0.0.1:{self.port}{path}", timeout=30).status_code
        except requests.RequestException:
            return 0

    def add(self, code: str) -> None:
        """Save the routes with more code at their end."""
        self.routes.write_text(self.routes.read_text() + code)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project to edit."""
    return shutil.copytree(ROOT, tmp_path_factory.mktemp("copy") / "project", ignore=NOT_SOURCE)


def test_a_change_is_served_its_errors_show_until_they_are_corrected_and_nothing_outlives_a_kill(
    project: Path, tmp_path: Path
) -> None:
    alone = Developed(project, tmp_path)
    before = alone.routes.read_text()
    until(lambda: alone.status("/readyz") == 200)
    alone.add(ROUTE.format("first"))
    until(lambda: alone.status("/first") == 200)

    alone.add("\n\ndef broken(:\n")
    until(lambda: "SyntaxError" in alone.output)
    assert "keeps running the code from before" in alone.output
    assert alone.status("/first") == 200

    alone.routes.write_text(before + "\n\nimport absent_module\n")
    until(lambda: "inventory-service ended" in alone.output)
    assert "ModuleNotFoundError: No module named 'absent_module'" in alone.output

    alone.routes.write_text(before + ROUTE.format("second"))
    until(lambda: alone.status("/second") == 200)
    line = r"\d\d:\d\d:\d\d\.\d{3} INFO     GET /second 200  trace_id=[0-9a-f]{32}  .*http\.route=/second"
    assert until(lambda: re.search(line, alone.output))
    assert alone.output.count("Telemetry goes nowhere") == 1
    assert "exporting" not in alone.output

    started = psutil.Process(alone.process.pid).children(recursive=True)
    assert len(started) >= 3  # gunicorn, its worker, and the guard
    alone.process.kill()
    alone.process.wait()
    psutil.wait_procs(started, timeout=CAP)
    assert not any(process.is_running() for process in started)


def test_ctrl_c_sends_the_last_spans_and_logs_and_returns_the_place_to_the_stack(project: Path, tmp_path: Path) -> None:
    with running_receiver() as receiver:
        developed = Developed(project, tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint, **FLUSHED)
        until(lambda: developed.status("/items") == 200)
        assert not receiver.spans
        assert data_folder.is_taken_over(developed.data, "inventory-service")
        # As a terminal does it, to each process of the foreground.
        started = psutil.Process(developed.process.pid)
        for process in (*started.children(recursive=True), started):
            process.send_signal(signal.SIGINT)
        assert developed.process.wait(CAP) == 0, developed.output
    assert not data_folder.is_taken_over(developed.data, "inventory-service")
    assert matching(receiver.spans, kind="SERVER", name="GET /items")
    assert matching(receiver.logs, body="GET /items 200")


def test_a_port_of_another_program_ends_it_with_a_line_that_names_both(project: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        developed = Developed(project, tmp_path, INVENTORY_PORT=str(port))
        assert developed.process.wait(CAP) == 1
    assert f"port {port} is used by pid {os.getpid()}" in developed.output
    assert "set INVENTORY_PORT to move it" in developed.output
