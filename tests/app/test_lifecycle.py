"""A process of a service starts and stops the same under each server, and in a command of the service."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import requests

from tests.support.servers import free_port
from tests.support.service_process import ROOT, ServiceProcess, starting_service
from tests.support.telemetry_receiver import Receiver, matching
from tests.support.waiting import until

LATER = "600000"
"""Milliseconds until telemetry would be exported if nothing flushed it."""


def environment(receiver: Receiver, database_url: str) -> dict[str, str]:
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("OTEL_")}
    return inherited | {
        "PYTHONUNBUFFERED": "1",
        "DATABASE_URL": database_url,
        "TICK": "0.05",
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
        "OTEL_METRIC_EXPORT_INTERVAL": LATER,
        "OTEL_BSP_SCHEDULE_DELAY": LATER,
        "OTEL_BLRP_SCHEDULE_DELAY": LATER,
    }


def flask(*command: str) -> list[str]:
    return [sys.executable, "-m", "flask", "--app", "tests.app.probe:create_app", *command]


def test_under_flask_run_background_tasks_run_and_telemetry_is_flushed_on_exit(
    own_receiver: Receiver, database_url: str, tmp_path: Path
) -> None:
    port = free_port()
    service = ServiceProcess(None, port, tmp_path / "stdout", tmp_path / "stderr")  # type: ignore[arg-type]
    with service.stdout.open("wb") as stdout, service.stderr.open("wb") as stderr:
        service.process = subprocess.Popen(
            flask("run", "--port", str(port)),
            cwd=ROOT,
            env=environment(own_receiver, database_url),
            stdout=stdout,
            stderr=stderr,
        )
    try:
        until(service.ready)
        assert service.get("/things/1").status_code == 200
        until(lambda: '"message": "tick"' in service.stdout.read_text())
        assert not own_receiver.spans
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(60) == 0
    finally:
        service.process.kill()
        service.process.wait()
    assert matching(own_receiver.spans, kind="SERVER", name="GET /things/<int:thing_id>")
    assert matching(own_receiver.logs, body="tick")
    assert own_receiver.points


def test_a_command_runs_no_background_task_and_flushes_telemetry_when_it_ends(
    own_receiver: Receiver, database_url: str
) -> None:
    ran = subprocess.run(
        flask("routes"),
        cwd=ROOT,
        env=environment(own_receiver, database_url),
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    assert "/things/<int:thing_id>" in ran.stdout
    assert "tick" not in ran.stdout
    assert own_receiver.points


def test_under_reload_a_syntax_error_is_survived_and_its_correction_is_served(
    database_url: str, tmp_path: Path
) -> None:
    module = tmp_path / "edited.py"
    module.write_text("def create_app(:\n")
    with starting_service(
        "edited:create_app()",
        tmp_path,
        PYTHONPATH=str(tmp_path),
        GUNICORN_CMD_ARGS="--reload",
        DATABASE_URL=database_url,
        OTEL_SDK_DISABLED="true",
    ) as service:

        def shows_the_error() -> bool:
            assert service.process.poll() is None, service.stdout.read_text()
            try:
                response = service.get("/readyz")
            except requests.RequestException:
                return False
            return response.status_code == 500 and "SyntaxError" in response.text

        until(shows_the_error)
        failing = service.workers()
        module.write_text("from tests.app.probe import create_app\n")

        def reloads() -> bool:
            # gunicorn compares the time of a file with that of its last look, which may not have been taken yet.
            os.utime(module)
            return service.workers() != failing

        until(reloads)
        until(service.ready)
