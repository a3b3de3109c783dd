"""A bad setting stops the start, and says which."""

import logging
from collections.abc import Callable

import pytest

from app.config import EXIT_BAD_SETTING, load_settings
from tests.app.probe import Settings

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
        ("CACHE_URL", "http://:s3cret@cache/0"),
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
    assert load_settings(Settings).database_url.get_secret_value() == taken


@pytest.mark.parametrize("show", [repr, str, lambda settings: settings.model_dump_json(), vars])
def test_settings_never_show_a_password(show: Callable[[Settings], object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://waybill:s3cret@db/shop")
    monkeypatch.setenv("CACHE_URL", "rediss://:s3cret@cache/0")
    assert "s3cret" not in str(show(load_settings(Settings)))


@pytest.mark.parametrize("level", ["debug", "Info", " warn ", "WARNING", "error", "critical", "FATAL", "notset"])
def test_a_log_level_is_taken_in_any_case(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "sqlite:///good.db")
    monkeypatch.setenv("LOG_LEVEL", level)
    taken = load_settings(Settings).log_level
    assert taken == level.strip().upper()
    assert isinstance(logging.getLevelName(taken), int)
