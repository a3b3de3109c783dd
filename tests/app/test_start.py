"""A bad setting stops the start of gunicorn."""

from pathlib import Path

from app.config import EXIT_BAD_SETTING
from tests.support.service_process import start_process
from tests.support.waiting import CAP

PROBE = "tests.app.probe:create_app()"


def test_gunicorn_stops_at_once_with_the_line_and_without_a_traceback(tmp_path: Path) -> None:
    good = {"DATABASE_URL": f"sqlite:///{tmp_path}/probe.db", "OTEL_TRACES_EXPORTER": "none"}
    bad = {
        "THREADS": "THREADS",  # read by gunicorn's own process
        "TICK": "TICK",  # read by each worker
        "OTEL_LOGS_EXPORTER": "OTEL_LOGS_EXPORTER",
        "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "OTEL_EXPORTER_OTLP_TIMEOUT",
    }
    starts = {
        variable: start_process(PROBE, tmp_path / variable, **{**good, variable: "otlp,awry"}) for variable in bad
    }
    try:
        statuses = {variable: service.process.wait(CAP) for variable, service in starts.items()}
    finally:
        for service in starts.values():
            service.process.kill()
    assert statuses == dict.fromkeys(bad, EXIT_BAD_SETTING)
    for variable, service in starts.items():
        (line,) = service.stderr.read_text().splitlines()
        assert line.startswith(f"bad setting {bad[variable]}: ")
        assert "Traceback" not in service.stdout.read_text()
        booted = [line for line in service.log_lines() if line["message"].startswith("Booting worker")]
        assert len(booted) <= 1, "the worker was started again"
