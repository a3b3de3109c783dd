"""A bad setting stops the start, and says which."""

import logging
from pathlib import Path

import pytest

from app.config import EXIT_BAD_SETTING, Settings, load_settings
from tests.app.probe import Settings as ProbeSettings
from tests.support.service_process import start_process

PROBE = "tests.app.probe:create_app()"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORT", "eighty"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("WEB_CONCURRENCY", "0"),
        ("THREADS", "-1"),
        ("LOG_LEVEL", "LOUD"),
        ("INCOMING_TRACE_CONTEXT", "trust"),
        ("DATABASE_URL", "s3cret"),
        ("DATABASE_URL", "mysql://root:s3cret@db/shop"),
        ("DATABASE_URL", "postgresql://waybill:s3cret@db:port/shop"),
        ("DATABASE_URL", "sqlite://"),
        ("DATABASE_URL", "sqlite:///:memory:"),
    ],
)
def test_a_bad_value_is_refused_with_one_line_that_names_the_variable_and_not_the_value(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "sqlite:///good.db")
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as stopped:
        load_settings(Settings)
    assert stopped.value.code == EXIT_BAD_SETTING
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"bad setting {variable}: ")
    assert "Value error" not in line
    assert "s3cret" not in line


def test_a_missing_value_is_called_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(SystemExit):
        load_settings(Settings)
    assert capsys.readouterr().err == "missing setting DATABASE_URL: Field required\n"


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("sqlite:////var/lib/shop.db", "sqlite:////var/lib/shop.db"),
        ("postgresql://me:pw@db/shop", "postgresql+psycopg://me:pw@db/shop"),
        ("postgres://me@db:5433/shop?sslmode=require", "postgresql+psycopg://me@db:5433/shop?sslmode=require"),
    ],
)
def test_the_usual_forms_of_a_database_url_are_taken(given: str, taken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", given)
    assert load_settings(ProbeSettings).database_url == taken


@pytest.mark.parametrize("level", ["debug", "Info", " warn ", "WARNING", "error", "critical", "FATAL", "notset"])
def test_a_log_level_is_taken_in_any_case(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "sqlite:///good.db")
    monkeypatch.setenv("LOG_LEVEL", level)
    taken = load_settings(Settings).log_level
    assert taken == level.strip().upper()
    assert isinstance(logging.getLevelName(taken), int)


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
        statuses = {variable: service.process.wait(60) for variable, service in starts.items()}
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
