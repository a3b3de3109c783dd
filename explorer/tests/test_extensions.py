"""Routes of the project around the explorer."""

from pathlib import Path

import pytest

from waybill_explorer.client import ClientError
from waybill_explorer.extensions import load_extensions

from .conftest import start

MODULE = """
from flask import Blueprint

def make():
    routes = Blueprint("games", __name__)
    routes.get("/api/games")(lambda: {"data": ["chess"]})
    return routes

def wrong():
    return 5
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the module of an extension is."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "my_games.py").write_text(MODULE)
    return tmp_path / "code"


def test_an_extension_has_routes_and_an_address_of_the_page_and_is_protected_as_all_routes(
    tmp_path: Path, folder: Path
) -> None:
    backend = start(tmp_path, PYTHONPATH=folder, WAYBILL_EXTENSIONS="my_games:make")
    try:
        assert backend.ask("/api/games").json() == {"data": ["chess"]}
        assert backend.ask("/page-config.json").json()["extensions"] == ["games"]
        assert backend.ask("/games").status_code == 200
        assert backend.ask("/other").status_code == 404
    finally:
        backend.stop()


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("no_such_module:make", "no_such_module:make cannot be loaded: No module named 'no_such_module'"),
        ("my_games:none", "cannot be loaded"),
        ("my_games:wrong", "my_games:wrong returns int, not a Flask blueprint"),
    ],
)
def test_one_that_cannot_be_used_is_named_with_the_reason(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, problem: str
) -> None:
    monkeypatch.syspath_prepend(folder)
    with pytest.raises(ClientError, match=f"^WAYBILL_EXTENSIONS: .*{problem}"):
        load_extensions(name)
