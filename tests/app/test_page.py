"""A built page beside an API: what is served, how long it may be kept, and what it may not do."""

from pathlib import Path

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app.page import serve_page

COLLECTOR = "https://collector.example:4318"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A built page."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>page</title>")
    (tmp_path / "assets" / "index-5f3a.js").write_text("document.title = 'script'")
    (tmp_path / "secret").write_text("not for the world")
    return tmp_path


def get(folder: Path, path: str, **headers: str) -> TestResponse:
    app = Flask("probe", static_folder=None)
    app.register_blueprint(serve_page(folder, {"otlp_endpoint": COLLECTOR}, connect=(COLLECTOR,)))
    return app.test_client().get(path, headers=headers, buffered=True)


def test_the_page_is_asked_for_each_time_and_sent_only_when_it_has_changed(folder: Path) -> None:
    response = get(folder, "/")
    assert response.text == "<!doctype html><title>page</title>"
    assert response.cache_control.no_cache
    assert get(folder, "/", **{"If-None-Match": response.headers["ETag"]}).status_code == 304


def test_an_asset_is_kept_for_ever_since_its_name_changes_with_it(folder: Path) -> None:
    response = get(folder, "/assets/index-5f3a.js")
    assert response.mimetype == "text/javascript"
    assert response.cache_control.immutable
    assert response.cache_control.max_age == 31_536_000


@pytest.mark.parametrize("path", ["/assets/absent.js", "/assets/../secret", "/assets/%2e%2e/secret", "/secret"])
def test_nothing_but_the_page_and_its_assets_is_served(folder: Path, path: str) -> None:
    assert get(folder, path).status_code == 404


def test_the_page_reads_its_settings(folder: Path) -> None:
    response = get(folder, "/page-config.json")
    assert response.json == {"otlp_endpoint": COLLECTOR}
    assert response.cache_control.no_cache


@pytest.mark.parametrize("path", ["/", "/assets/index-5f3a.js", "/page-config.json"])
def test_the_browser_runs_and_connects_to_nothing_else(folder: Path, path: str) -> None:
    headers = get(folder, path).headers
    policy = dict(directive.split(" ", 1) for directive in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["connect-src"] == f"'self' {COLLECTOR}"
    assert policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_a_page_that_is_not_built_says_how_to_build_it(tmp_path: Path) -> None:
    response = get(tmp_path, "/")
    assert response.mimetype == "text/plain"
    assert "`make demo`" in response.text
