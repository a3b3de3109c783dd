"""Secrets can come from files, one for each setting."""

from pathlib import Path

import pytest

from app.config import load_settings
from tests.app.probe import Settings


def test_a_secret_can_be_a_file_and_the_variable_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    (tmp_path / "database_url").write_text("sqlite:///from-file.db\n")
    (tmp_path / "cache_url").write_text("redis://:s3cret@cache:6379/0\n")
    settings = load_settings(Settings)
    assert settings.database_url.get_secret_value() == "sqlite:///from-file.db"
    assert settings.cache_url.get_secret_value() == "redis://:s3cret@cache:6379/0"
    monkeypatch.setenv("DATABASE_URL", "sqlite:///from-variable.db")
    assert load_settings(Settings).database_url.get_secret_value() == "sqlite:///from-variable.db"


def test_a_bad_secret_in_a_file_is_refused_by_its_name_and_without_its_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    (tmp_path / "database_url").write_text("mysql://root:s3cret@db/api")
    with pytest.raises(SystemExit):
        load_settings(Settings)
    line = capsys.readouterr().err
    assert line.startswith("bad setting DATABASE_URL: ")
    assert "s3cret" not in line


def test_a_folder_of_secrets_that_does_not_exist_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path / "absent"))
    with pytest.raises(SystemExit):
        load_settings(Settings)
    assert capsys.readouterr().err == "bad setting SECRETS_DIR: there is no such folder\n"
